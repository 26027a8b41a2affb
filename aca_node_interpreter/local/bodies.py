"""The bodies of requests, bounded while they are read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message

from .api_errors import invalid, too_large

MAX_UPLOAD_BYTES = 128 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024
# What a multipart body adds around the file.
_MULTIPART_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024
# A form may have other fields beside its file; they are read into memory.
_MAX_FIELDS = 100
_MAX_FIELD_BYTES = 64 * 1024


class _BodyTooLargeError(MultiPartException):
    """The body is over its limit. The multipart parser closes its files for errors of this kind only."""


class _FormParser(MultiPartParser):
    """Knows `filename*` (RFC 5987), by which .NET and older Pythons send names that are not ASCII."""

    def on_headers_finished(self) -> None:
        disposition = self._current_part.content_disposition
        if disposition is not None:
            self._current_part.content_disposition = _with_plain_name(disposition)
        super().on_headers_finished()


_EXTENDED_NAME = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s\"]*)", re.IGNORECASE)
_PLAIN_NAME = re.compile(rb";\s*filename\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^;\"]*)", re.IGNORECASE)


def _with_plain_name(disposition: bytes) -> bytes:
    """Replace a file name by the one that `filename*` says, which wins over `filename`."""
    extended = _EXTENDED_NAME.search(disposition)
    if extended is None:
        return disposition
    name = re.sub(rb"[\"\\]", rb"\\\g<0>", unquote_to_bytes(extended[1]))
    rest = _PLAIN_NAME.sub(b"", disposition[: extended.start()] + disposition[extended.end() :])
    return rest + b'; filename="' + name + b'"'


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


async def received(request: Request) -> Request:
    """Read a request to its end; gives one with its body in memory, for which its connection is needed no more.

    Raises:
        ApiError: it is too large.
    """
    try:
        body = b"".join([chunk async for chunk in _bounded(request, MAX_UPLOAD_BYTES + _MULTIPART_BYTES)])
    except _BodyTooLargeError:
        raise too_large(MAX_UPLOAD_BYTES) from None

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


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
        form = await _FormParser(
            request.headers, body, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
        ).parse()
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
