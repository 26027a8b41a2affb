"""The pool's HTTP side: who may ask, and which call it is. What a call means lives in `calls`."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from . import inspector
from .answers import error_response
from .api_errors import ApiError, UnauthorizedError, invalid, no_such_call, unknown_version
from .calls import Call
from .kernel import KernelStartError
from .planned_faults import PlannedFaults
from .pool import SessionPool
from .routing import CURRENT_ONLY, CURRENT_VERSIONS, LEGACY_VERSIONS, Match, match

_LOOPBACK = re.compile(r"(?:localhost|[\w.-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.IGNORECASE)


class PoolApp:
    """The ASGI application of one session pool; once `stopping` is set, no fault holds up a call any longer."""

    def __init__(
        self, pool: SessionPool, *, token: str, endpoint: str, faults: PlannedFaults, stopping: asyncio.Event
    ) -> None:
        self._pool = pool
        self._token = token.encode()
        self._endpoint = endpoint
        self._faults = faults
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await _worded(self._answer(request))
            await response(scope, receive, send)
        except ClientDisconnect:
            return

    async def _answer(self, request: Request) -> Response:
        _check_origin(request.headers)
        raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
        path = raw_path.decode("latin-1")
        # The page is the same for everybody and holds nothing; whoever opens it has no way to send a header.
        if request.method == "GET" and (page := inspector.page(path)) is not None:
            return page
        self._check_token(request.headers)
        query = {key.lower(): value for key, value in parse_qsl(_query_string(request), keep_blank_values=True)}
        version = query.get("api-version", "")
        if version not in LEGACY_VERSIONS and version not in CURRENT_VERSIONS:
            raise unknown_version(self._pool.behaviour.unknown_version)
        found = match(request.method, path)
        if found is None:
            raise no_such_call()
        if not found.call:
            response = error_response(ApiError(405, "SessionRequestNotSupported", "The method is not supported."))
            response.headers["allow"] = ", ".join(found.allowed)
            return response
        if found.call in CURRENT_ONLY and not version:
            raise invalid("The `api-version` query parameter is required.", "api-version")
        call = Call(self._pool, self._endpoint, request, query, version, found)
        perform: Callable[[], Awaitable[Response]] = getattr(call, found.call)
        if self._faults and not found.is_looking:
            return await self._perform_with_faults(request, call, found, version, perform)
        return await perform()

    async def _perform_with_faults(
        self, request: Request, call: Call, found: Match, version: str, perform: Callable[[], Awaitable[Response]]
    ) -> Response:
        from .exchange import Exchange

        exchange = Exchange(call, found, version, request, self._pool, lambda: _worded(perform()), self._stopping)
        return await self._faults.meet(exchange)

    def _check_token(self, headers: Headers) -> None:
        # Any number of spaces: the tutorial's own requests have two.
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            raise UnauthorizedError


async def _worded(answer: Awaitable[Response]) -> Response:
    """Wait for an answer; what went wrong is one, too."""
    try:
        return await answer
    except ApiError as error:
        return error_response(error)
    except KernelStartError as error:
        return error_response(ApiError(500, "SessionStartFailed", str(error)))
    except OSError as error:
        # A full disk, or no more descriptors: nothing that the request could be blamed for.
        return error_response(ApiError(500, "InternalServerError", error.strerror or "I/O failed"))


def _check_origin(headers: Headers) -> None:
    # A page in a browser must not reach the pool, by a name of its own that leads here or by a request across.
    if _LOOPBACK.fullmatch(headers.get("host", "")) is None:
        raise ApiError(403, "HostNotAllowed", "The pool answers to loopback names only.")
    origin = headers.get("origin")
    if origin is not None and _LOOPBACK.fullmatch(_network_location(origin)) is None:
        raise ApiError(403, "OriginNotAllowed", "The pool does not answer to other origins.")


def _query_string(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _network_location(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
