"""The answers of the pool as HTTP: JSON, errors, files, and the headers that tell how long a run took."""

from __future__ import annotations

import json
import time
from typing import Any, BinaryIO

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from aca_node_interpreter.local.api_errors import ApiError, PoolFullError
from aca_node_interpreter.local.files import chunks
from aca_node_interpreter.local.results import Result

JSON = "application/json; charset=utf-8"


def json_response(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(_encode(body), status_code=status, headers=headers, media_type=JSON)


def _encode(body: Any) -> str:
    # Only ASCII leaves: so a lone surrogate in a run's output is harmless.
    return json.dumps(body, ensure_ascii=True, separators=(",", ":"))


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
