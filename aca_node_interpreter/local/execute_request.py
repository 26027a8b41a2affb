"""Read the body of an execute call, in both API families."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from .api_errors import ApiError, MalformedJsonError, invalid

DEFAULT_SECONDS = 60
MAX_SECONDS = 220
"""The service ends every run after this; a longer wish is cut to it."""

DEFAULT_STREAM_BYTES = 4096

_CODE_TYPES = ("inline", "inlinetext", "inlinebase64")
_EXECUTION_TYPES = ("synchronous", "asynchronous")


@dataclass(frozen=True)
class ExecuteRequest:
    """What to run and how."""

    code: str
    timeout: float
    """Seconds."""
    execution_type: str
    """In the caller's spelling."""
    output_limit: int | None
    """Bytes of each stream that the answer may hold; `None`: all."""

    @property
    def is_asynchronous(self) -> bool:
        """Tell whether the caller wants to poll instead of to wait."""
        return self.execution_type.lower() == "asynchronous"


def read_execute_request(
    body: bytes, *, wrapped: bool, has_output_limit: bool, refuses_long_limits: bool = False
) -> ExecuteRequest:
    """Read the body; `wrapped` is the older family's form with `properties` around it.

    Raises:
        ApiError: the service would refuse it.
    """
    fields = _object(_parse(body))
    if wrapped:
        if not isinstance(fields.get("properties"), dict):
            raise ApiError(400, "SessionPropertiesMissing", "The `properties` field is required in the request.")
        fields = _object(fields["properties"])
    if has_output_limit:
        _check_newest(fields)
    execution_type = _choice(fields, "executionType", _EXECUTION_TYPES, "Synchronous")
    if wrapped and execution_type.lower() != "synchronous":
        raise invalid("Asynchronous executions need the path /executions.", "executionType")
    code_type = _choice(fields, "codeInputType", _CODE_TYPES, "Inline")
    return ExecuteRequest(
        code=_code(fields, code_type),
        timeout=_seconds(fields, refuses_long=refuses_long_limits),
        execution_type=execution_type,
        output_limit=_output_limit(fields) if has_output_limit else None,
    )


def _check_newest(fields: dict[str, Any]) -> None:
    """Check what the newest api-version describes more strictly, and what it knows for pools of another kind."""
    for name in ("codeInputType", "executionType", "timeoutInSeconds", "outputStreamsMaxLength", *_UNUSED):
        if fields.get(name, ...) is None:
            raise invalid(f"The value of `{name}` must not be null.", name)
    for name, kind in _UNUSED.items():
        if not isinstance(fields.get(name, kind()), kind):
            raise invalid(f"The value of `{name}` has the wrong type.", name)
    if not all(isinstance(part, str) for part in fields.get("execCommandAndArgs", ())):
        raise invalid("The value of `execCommandAndArgs` is not a list of strings.", "execCommandAndArgs")


_UNUSED: dict[str, type] = {
    "useEmptyKernel": bool,
    "returnJupyterFormatExecutionResult": bool,
    "shellCommand": str,
    "execCommandAndArgs": list,
    "stdin": str,
}


def _parse(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError:
        raise MalformedJsonError("The JSON value is nested too deeply.") from None
    except ValueError as error:
        raise MalformedJsonError(f"The JSON value could not be read: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _object(value: Any) -> dict[str, Any]:
    """Make the keys' case not matter, as for the service."""
    if not isinstance(value, dict):
        raise MalformedJsonError("The JSON value could not be converted to an object.")
    return {_NAMES.get(str(key).lower(), str(key)): field for key, field in value.items()}


_NAMES: dict[str, str] = {
    name.lower(): name
    for name in (
        *("properties", "code", "codeInputType", "executionType", "timeoutInSeconds", "outputStreamsMaxLength"),
        *_UNUSED,
    )
}


def _choice(fields: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or value.lower() not in allowed:
        raise invalid(f"The value of `{name}` is not one of: {', '.join(allowed)}.", name)
    return value


def _code(fields: dict[str, Any], code_type: str) -> str:
    code = fields.get("code")
    if code is None or code == "":
        raise ApiError(400, "SessionPropertiesMissing", "`Code` field is required in the request")
    if not isinstance(code, str):
        raise invalid("The value of `code` is not a string.", "code")
    if code_type.lower() != "inlinebase64":
        return code
    try:
        decoded = base64.b64decode(code, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise invalid("The value of `code` is not valid base64 of UTF-8 text.", "code") from None
    if not decoded:
        raise ApiError(400, "SessionPropertiesMissing", "`Code` field is required in the request")
    return decoded


def _seconds(fields: dict[str, Any], *, refuses_long: bool) -> float:
    value = _integer(fields, "timeoutInSeconds", DEFAULT_SECONDS)
    if value <= 0:
        raise invalid("The value of `timeoutInSeconds` must be positive.", "timeoutInSeconds")
    if value > MAX_SECONDS and refuses_long:
        raise invalid(f"The value of `timeoutInSeconds` must be at most {MAX_SECONDS}.", "timeoutInSeconds")
    return min(value, MAX_SECONDS)


def _output_limit(fields: dict[str, Any]) -> int:
    value = _integer(fields, "outputStreamsMaxLength", DEFAULT_STREAM_BYTES)
    if value < 0:
        raise invalid("The value of `outputStreamsMaxLength` must not be negative.", "outputStreamsMaxLength")
    return value


def _integer(fields: dict[str, Any], name: str, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise invalid(f"The value of `{name}` is not a 32-bit integer.", name)
    return value
