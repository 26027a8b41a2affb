"""The bodies of requests, bounded while they are read."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from aca_node_interpreter.local.api_errors import invalid, too_large

MAX_UPLOAD_BYTES = 128 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024
# What a multipart body adds around the file.
_MULTIPART_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024


class _BodyTooLargeError(MultiPartException):
    """The body is over its limit. The multipart parser closes its files for errors of this kind only."""


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _BodyTooLargeError("announced")
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _BodyTooLargeError("received")
        yield chunk


async def read_body(request: Request) -> bytes:
    """Read a body of JSON.

    Raises:
        ApiError: it is too large.
    """
    try:
        return b"".join([chunk async for chunk in _bounded(request, MAX_JSON_BYTES)])
    except _BodyTooLargeError:
        raise too_large(MAX_JSON_BYTES) from None


async def read_upload(request: Request) -> UploadFile:
    """Read a form with a file, which the caller closes; a large one lies on disk.

    Raises:
        ApiError: it is no such form, or too large.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise invalid("The request is not a multipart form.", "file")
    body = _bounded(request, MAX_UPLOAD_BYTES + _MULTIPART_BYTES)
    try:
        form = await MultiPartParser(request.headers, body, max_files=1, max_fields=10).parse()
    except _BodyTooLargeError:
        raise too_large(MAX_UPLOAD_BYTES) from None
    except (MultiPartException, KeyError, ValueError) as error:
        raise invalid(f"The multipart form can't be read: {error}.", "file") from None
    for value in form.values():
        if isinstance(value, UploadFile):
            if (value.size or 0) > MAX_UPLOAD_BYTES:
                value.file.close()
                raise too_large(MAX_UPLOAD_BYTES)
            return value
    raise invalid("The multipart form has no file.", "file")


def stage(content: BinaryIO, directory: Path) -> Path:
    """Write an upload into a file of its own in a directory of the pool's, which the caller moves or removes.

    Raises:
        OSError: there is no room.
    """
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as staged:
        while chunk := content.read(_CHUNK_BYTES):
            staged.write(chunk)
    path = Path(staged.name)
    path.chmod(0o644)
    return path
