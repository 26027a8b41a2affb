"""What the clients take from and leave on the local disk: paths, bytes and open files alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import RawIOBase, TextIOBase
from pathlib import Path
from secrets import token_hex
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol, cast

from aca_node_interpreter.errors import ConfigurationError, MalformedResponseError, UploadError
from aca_node_interpreter.local_names import local_name

from .models import MAX_UPLOAD_BYTES
from .operations import Upload, size_of

_CHUNK = 1024 * 1024  # bytes

FileSource = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes themselves, or an open binary file."""
FileTarget = str | os.PathLike[str] | IO[bytes]
"""A path, or an open binary file."""


class Sink(Protocol):
    """What takes a download's bytes."""

    def write(self, chunk: bytes, /) -> int:
        """Take bytes and return how many."""


class BoundedBuffer:
    """Takes an answer into memory, up to the size that it may have, in bytes."""

    def __init__(self, size: float) -> None:
        self._size = size
        self._chunks: list[bytes] = []
        self._taken = 0

    @property
    def content(self) -> bytes:
        """All that arrived."""
        return b"".join(self._chunks)

    def __enter__(self) -> BoundedBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def write(self, chunk: bytes) -> int:
        """Take bytes.

        Raises:
            MalformedResponseError: they are more than there may be.
        """
        self._taken += len(chunk)
        if self._taken > self._size:
            raise MalformedResponseError(
                f"The session pool sent more than the {self._size:,.0f} bytes that the answer may have: "
                "check the endpoint, or have the code print less."
            )
        self._chunks.append(chunk)
        return len(chunk)


def repeatable(file: FileSource, name: str | None) -> Callable[[], Upload]:
    """Return how to have an upload again later: from its path, or out of memory."""
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        return lambda: Upload(name or path.name, path.read_bytes())
    with opened(file, name) as upload:
        content = upload.content if isinstance(upload.content, bytes) else upload.content.read()
        kept = Upload(upload.name, content)
    return lambda: kept


@contextmanager
def opened(file: FileSource, name: str | None) -> Iterator[Upload]:
    """Open what is to be uploaded and give it its name."""
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        with path.open("rb") as there, _from_here(there) as content:
            yield Upload(name or path.name, content)
    elif isinstance(file, bytes):
        if name is None:
            raise ConfigurationError("Bytes need a `name` to be uploaded under.")
        yield Upload(name, file)
    elif isinstance(file, TextIOBase):
        raise ConfigurationError("This file is open as text: open it with mode 'rb'.")
    else:
        own = getattr(file, "name", None)
        if name is None and not isinstance(own, str):
            raise ConfigurationError("This file object has no name: pass `name`.")
        with _from_here(file) as content:
            yield Upload(name or Path(str(own)).name, content)


@contextmanager
def _from_here(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give what is left of an open file in a form that can be sent again: a file that starts at its beginning."""
    # What has no size may have content all the same, as files in /proc and devices have: only reading tells.
    if file.seekable() and file.tell() == 0 and (size := size_of(file)):
        yield cast("IO[bytes]", _AsItWas(file, size))
        return
    with SpooledTemporaryFile(max_size=_CHUNK) as copy:
        size = 0
        while chunk := file.read(_CHUNK):
            size += copy.write(chunk)
            if size > MAX_UPLOAD_BYTES:
                break  # it is refused when its size is looked at
        copy.seek(0)
        yield copy


class _AsItWas(RawIOBase):
    """An open file with the size that it had at first: a log, say, that goes on growing while it is sent."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1, /) -> bytes:
        left = self._size - self._file.tell()
        wanted = left if size < 0 else min(size, left)
        chunk = self._file.read(wanted)
        if wanted and not chunk:
            raise UploadError("The file became shorter while it was sent, and was not uploaded: upload it again.")
        return chunk


@contextmanager
def opened_target(target: FileTarget, name: str) -> Iterator[IO[bytes]]:
    """Open where a download goes; under a path it appears when it is whole, and not at all when it fails.

    In a directory it gets the name that `local_name` makes of the session's.
    """
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(target)
    if path.is_dir():
        path /= local_name(name)
    part = path.with_name(f".{token_hex(8)}.part")
    try:
        with part.open("xb") as sink:
            yield sink
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
