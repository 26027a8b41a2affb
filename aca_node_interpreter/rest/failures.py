"""Turn an error answer into a typed error that says what to do next and shows no secret."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from aca_node_interpreter import errors
from aca_node_interpreter.local_names import printable

from . import untrusted_json

# URLs, the service's hosts, resource ids and tokens.
_SECRETS = re.compile(
    r"[a-z0-9+.-]{0,20}://\S+|[\w.-]{1,100}\.(?:dynamicsessions|acasessions)\.io\S*|/subscriptions/\S+|Bearer\s+\S+"
    r"|\beyJ[\w-]+\.[\w-]+\S*",
    re.IGNORECASE,
)

_READ = 10_000  # characters of each thing that the service says
_SHOWN = 500

_ADVICE: dict[int, tuple[type[errors.ServiceError], str]] = {
    400: (errors.InvalidRequestError, "The session pool does not accept the request: change what was passed."),
    401: (
        errors.AuthenticationError,
        "The session pool does not know the caller. On Azure: sign in (`az login`), use a token for the audience "
        "dynamicsessions.io, and an api-version that the service knows (it answers 401 to others). On an embedded "
        "pool: pass the token that it printed. See also that this machine's clock is right.",
    ),
    403: (
        errors.PermissionDeniedError,
        "The caller may not use this session pool: assign the role 'Azure ContainerApps Session Executor' on the "
        "pool. A new assignment takes some minutes, then sign in again.",
    ),
    404: (
        errors.NotFoundError,
        "The session pool has no such session, file or execution: list what is there. A session that was idle for long "
        "has ended, with its files.",
    ),
    409: (errors.InvalidRequestError, "Another call on the same session is in the way (HTTP 409): try again."),
    413: (
        errors.PayloadTooLargeError,
        "The session pool takes at most 128 MB in one file: split or compress it, or let the code fetch it.",
    ),
    429: (
        errors.PoolFullError,
        "All sessions of the pool are taken: delete sessions that are done (an executor's `close(thread_id)`, or a "
        "smaller `idle_seconds`), wait for their cooldown, or raise the pool's maximum.",
    ),
}


def error_for(
    status: int, headers: Mapping[str, str], content: bytes, *, hide: Mapping[str, str]
) -> errors.ServiceError:
    """Build the error for an answer that is no success.

    Args:
        status: HTTP status.
        headers: with lower-case names.
        content: the body, in any of the shapes on record, or anything.
        hide: the query that was sent; its identifier never shows in the message.
    """
    body = _body(content)
    kind, advice = _ADVICE.get(429 if is_full(status, content) else status) or _advice_by_class(status)
    identifier = hide.get("identifier", "")
    spellings = {identifier, quote(identifier, safe=""), quote(identifier), json.dumps(identifier)[1:-1]} - {""}
    hidden = re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))) or r"(?!)", re.IGNORECASE)

    def safe(text: str) -> str:
        shown = hidden.sub("…", text[:_READ])
        if len(text) > _READ:  # half an identifier may be left, which would not be found
            shown = shown[: -max(map(len, ("", *spellings))) or None]
        return printable(" ".join(_SECRETS.sub("…", shown).split()))[:_SHOWN]

    code = safe(_words(body.get("code")) or headers.get("x-ms-error-code", ""))
    detail = ": ".join(part for part in (code, safe(_said(body))) if part)
    return kind(
        f"{advice} The service says: {detail}" if detail else advice,
        status=status,
        code=code,
        trace_id=safe(_words(body.get("traceid")) or headers.get("x-ms-correlation-request-id", "")),
        retry_after=seconds_in(headers.get("retry-after")),
    )


def is_full(status: int, content: bytes) -> bool:
    """Tell whether an answer means that the pool has no session left: 429 as recorded, or 404 as documented."""
    return status == 429 or (status == 404 and _body(content).get("code") == "SessionsCountExceedsLimit")


def _advice_by_class(status: int) -> tuple[type[errors.ServiceError], str]:
    if status < 400:
        return errors.ServiceError, (
            f"The endpoint answers with a redirection (HTTP {status}): it is no session pool's. Check the endpoint."
        )
    if status < 500:
        return errors.InvalidRequestError, (
            f"The session pool does not accept the request (HTTP {status}): check the endpoint and the api-version."
        )
    return errors.ServiceError, f"The session pool failed (HTTP {status}): try again later."


def _body(content: bytes) -> dict[str, Any]:
    """Find the object with code and message: nested in `error`, bare, or an ASP.NET problem; keys in lower case."""
    try:
        data = untrusted_json.loads(content)
    except ValueError:
        data = content[:_READ].decode("utf-8", "replace").strip()
    while isinstance(data, Mapping):
        lowered = {str(key).lower(): value for key, value in data.items()}
        if not lowered.get("error"):
            return lowered
        data = lowered["error"]
    return {"message": data} if isinstance(data, str) else {}


def _said(body: Mapping[str, Any]) -> str:
    message = _words(body.get("message")) or _words(body.get("title"))
    problems = body.get("errors")
    if isinstance(problems, Mapping):
        message = f"{message} {json.dumps(problems)}".strip()
    return message if message[:1] != "<" else ""  # an HTML page tells nobody anything


def _words(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) else ""


def seconds_in(text: str | None) -> float | None:
    """Return what a `Retry-After` says, in seconds: a number of them, or a date (RFC 9110, section 10.2.3)."""
    try:
        seconds = max(0.0, float(text)) if text else None
    except ValueError:
        seconds = _seconds_until(str(text))
    return seconds if seconds is None or math.isfinite(seconds) else None


def _seconds_until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
