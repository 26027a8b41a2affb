"""The errors that the session-pool API answers with, and their bodies."""

from __future__ import annotations

import uuid
from typing import Any


class ApiError(Exception):
    """An answer that isn't a success."""

    def __init__(self, status: int, code: str, message: str, *, target: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.target = target

    def body(self) -> dict[str, Any] | None:
        """Give the JSON body; `None` for an empty one."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.target is not None:
            error["target"] = self.target
        return {"error": {**error, "traceId": _trace_id()}}


class UnauthorizedError(ApiError):
    """401 with an empty body: a wrong token, and also an unknown api-version."""

    def __init__(self) -> None:
        super().__init__(401, "", "")

    def body(self) -> None:
        """Give nothing: the service's body is empty."""


class PoolFullError(ApiError):
    """429, or what else the pool answers when it is full; the one whose body is not nested in `error`."""

    def __init__(self, active: int, maximum: int, *, status: int = 429, retry_after: int | None = None) -> None:
        message = (
            f"The request sessions count is '1'. There are already '{active}' active sessions "
            f"and the maximum active sessions count is '{maximum}'."
        )
        super().__init__(status, "SessionsCountExceedsLimit", message)
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Give the body as recorded."""
        return {"code": self.code, "message": str(self)}


class MalformedJsonError(ApiError):
    """400 in the form of a problem description."""

    def __init__(self, problem: str) -> None:
        super().__init__(400, "", problem)

    def body(self) -> dict[str, Any]:
        """Give the body as the service's web framework words it."""
        return {
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "One or more validation errors occurred.",
            "status": 400,
            "errors": {"$": [str(self)]},
            "traceId": _trace_id(),
        }


def invalid(message: str, target: str | None = None) -> ApiError:
    """Refuse a request that breaks a rule of the API."""
    return ApiError(400, "SessionRequestValidationFailed", message, target=target)


def unknown_version(status: int) -> ApiError:
    """Refuse an api-version that nobody knows."""
    return UnauthorizedError() if status == 401 else invalid("The `api-version` is not supported.", "api-version")


def no_such_call() -> ApiError:
    """Say that there is no such path."""
    return ApiError(404, "NotFound", "There is no such call.")


def no_session(identifier: str) -> ApiError:
    """Say that there is no such session."""
    return ApiError(404, "NoSessionFoundError", f"Could not find session with name '{identifier}'.")


def too_large(limit_bytes: int) -> ApiError:
    """Refuse a body over the limit."""
    return ApiError(413, "RequestEntityTooLarge", f"The request body is larger than {limit_bytes} bytes.")


def _trace_id() -> str:
    return uuid.uuid4().hex
