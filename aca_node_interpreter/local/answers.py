"""The answers of the pool as HTTP: JSON, errors, files, and the headers that tell how long a run took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .api_errors import ApiError, PoolFullError
from .files import chunks
from .results import Result

JSON = "application/json; charset=utf-8"


_PIECE_CHARACTERS = 256 * 1024


def json_response(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON, piece by piece where a text in it is long.

    At once, a run's 64 MiB of control characters would become four copies of 384 MiB, and nobody else's call would be
    answered for seconds.
    """
    if _has_long_text(body):
        return StreamingResponse(_pieces(body), status_code=status, headers=headers, media_type=JSON)
    return Response(_encode(body), status_code=status, headers=headers, media_type=JSON)


def _has_long_text(body: Any) -> bool:
    if isinstance(body, dict):
        return any(map(_has_long_text, body.values()))
    return isinstance(body, str) and len(body) > _PIECE_CHARACTERS


def _pieces(body: Any) -> Iterator[str]:
    """Encode objects and texts in pieces, to be called in a thread."""
    if isinstance(body, str):
        yield '"'
        for start in range(0, len(body), _PIECE_CHARACTERS):
            yield _encode(body[start : start + _PIECE_CHARACTERS])[1:-1]
        yield '"'
    elif isinstance(body, dict):
        for number, (key, value) in enumerate(body.items()):
            yield f"{',' if number else '{'}{_encode(key)}:"
            yield from _pieces(value)
        yield "}" if body else "{}"
    else:
        yield _encode(body)


# Only ASCII leaves: so a lone surrogate in a run's output is harmless.
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def encode_list(body: dict[str, Any]) -> str:
    """Encode a body with a `value` of perhaps hundreds of thousands of entries, one by one; to be called in a thread.

    The encoder lets no other thread run before it is done, and with it nobody else's call would be answered.
    """
    values = [_encode(value) for value in body["value"]]
    before, _, after = _encode({**body, "value": []}).partition('"value":[')
    return f'{before}"value":[{",".join(values)}{after}'


def error_response(error: ApiError) -> Response:
    """Answer with an error as the service words it."""
    body = error.body()
    if body is None:
        return Response(status_code=error.status)
    response = json_response(body, status=error.status)
    if isinstance(error, PoolFullError) and error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    if error.code:
        response.headers["x-ms-error-code"] = error.code
    else:
        response.headers["content-type"] = "application/problem+json; charset=utf-8"
    return response


class Download(StreamingResponse):
    """The content of a file, which is closed however the transfer ends."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        headers = {"content-length": str(size)}
        super().__init__(chunks(file, size), media_type="application/octet-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, a chunk at a time."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Timing:
    """The durations that the service tells in headers, decimal milliseconds."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._allocated = self._started

    def allocated(self) -> None:
        """Note that the session is there."""
        self._allocated = time.perf_counter()

    def headers(self, guid: str, result: Result) -> dict[str, str]:
        """Word what was measured of a run in the session of this `guid`."""
        now = time.perf_counter()
        run = str(result.milliseconds)
        return {
            "x-ms-allocation-retries": "0",
            "x-ms-allocation-time": f"{(self._allocated - self._started) * 1000:.4f}",
            "x-ms-container-execution-duration": run,
            "x-ms-execution-read-response-time": "0",
            "x-ms-execution-request-time": run,
            "x-ms-overall-execution-time": f"{(now - self._allocated) * 1000:.4f}",
            "x-ms-preparation-time": "0",
            "x-ms-session-guid": guid,
            "x-ms-total-execution-service-time": f"{(now - self._started) * 1000:.4f}",
        }
