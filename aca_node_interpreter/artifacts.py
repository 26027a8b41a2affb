"""Files that came back from a session: where they are, what they are, how a notebook shows them.

What code in a session wrote is not trusted: its names are made local ones, and no link in a directory is followed.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import stat
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO

from typing_extensions import Self

from .local_names import folded, local_parts, numbered, printable
from .rest.models import SHOWN_PICTURES

_SHOWN_BYTES = 8 * 1024 * 1024  # a larger picture would make a notebook too heavy to open
# What a picture starts with, by media type, as models' services take it; none of them takes more than some 5 MB.
_PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
MAX_PICTURE_BYTES = 3_500_000
"""The largest picture that is passed to a model."""

# Held while a name is chosen: downloads arrive side by side, and a name that differs in case only is taken, too.
_choosing = threading.Lock()


@dataclass(frozen=True)
class Artifact:
    """A file that a run created or changed, saved on this machine."""

    name: str
    """Its path in the session, below `/mnt/data`; `output.txt` and `image.*` are what a run printed and returned."""
    size: int
    """Bytes."""
    media_type: str
    """Guessed from the name, such as `image/png`."""
    sha256: str
    path: Path
    """Where it was saved."""
    preview: str = ""
    """What it holds, such as `3 rows: n integer, square integer`; at most 200 characters, empty where unknown."""
    saved_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc), compare=False, repr=False)
    """When it was saved."""

    def read_bytes(self) -> bytes:
        """Return the content."""
        return self.path.read_bytes()

    def picture(self) -> tuple[str, bytes] | None:
        """Return media type and content if it is a picture that a model can look at, whatever it is called."""
        if self.size > MAX_PICTURE_BYTES or not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            head = file.read(12)
            for kind, magic in _PICTURES.items():
                if head.startswith(magic) and (kind != "image/webp" or head.endswith(b"WEBP")):
                    return kind, head + file.read()
        return None

    def __str__(self) -> str:
        # A preview tells what kind of file it is, so the media type would only cost tokens.
        told = f"{self.size:,} bytes, {self.preview}" if self.preview else f"{self.media_type}, {self.size:,} bytes"
        return f"{printable(self.name)} ({told})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show a picture inline in a notebook, anything else as a line of text."""
        bundle = {"text/plain": f"{self} saved as {self.path}"}
        if self.media_type in SHOWN_PICTURES and self.size <= _SHOWN_BYTES and self.path.exists():
            bundle[self.media_type] = b64encode(self.read_bytes()).decode("ascii")
        return bundle


class IncomingArtifact:
    """An artifact on its way: a place on the disk that is taken, filled, hashed and bounded as bytes arrive.

    Used as a context manager around the writing; leaves nothing behind when that fails.
    """

    def __init__(self, name: str, directory: ArtifactDirectory) -> None:
        self.name = name
        self._directory = directory
        self._left = directory.max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._directory.reserve(self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        is_there = _is_at(self._file, Path(self._file.name))
        self._file.close()
        # What somebody else put in its place is not ours to delete, nor what arrived.
        if kind is not None and is_there:
            self.discard()
        if kind is None and not is_there:
            raise OSError(errno.ESTALE, "another file took its place here while it arrived")

    def write(self, chunk: bytes) -> int:
        """Take bytes.

        Raises:
            OSError: the file is larger than it may be, or the disk took no more.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise OSError(errno.EFBIG, "it is larger than the limit for one artifact")
        if self._file is None:
            raise ValueError("write to an artifact that is not open")
        self._hash.update(chunk)
        self._size += len(chunk)
        return self._file.write(chunk)

    def discard(self) -> None:
        """Remove what arrived."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)

    def finished(self) -> Artifact:
        """Return the artifact that arrived."""
        if self._file is None:
            raise ValueError("the artifact has not arrived")
        return Artifact(self.name, self._size, media_type(self.name), self._hash.hexdigest(), Path(self._file.name))


@dataclass(frozen=True)
class ArtifactDirectory:
    """A local directory that artifacts are saved in; a file that is there is never overwritten."""

    place: Path | Callable[[], Path]
    """Where it is, or what makes it when the first artifact comes."""
    max_bytes: int = field(default=100 * 1024 * 1024, kw_only=True)
    """The largest file to bring back."""
    is_temporary: bool = field(default=False, kw_only=True)
    """Whether it was made for the while, and is not to be there again when it was removed."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.place() if callable(self.place) else self.place

    def save(self, name: str, content: bytes) -> Artifact:
        """Save content that is already here.

        Raises:
            OSError: the directory can't be written to, or the content is larger than the limit.
        """
        with IncomingArtifact(name, self) as incoming:
            incoming.write(content)
        return incoming.finished()

    def reserve(self, name: str) -> IO[bytes]:
        """Create and open a file under a name that is safe here and not taken, below no link.

        Raises:
            OSError: the directory can't be written to, or a link took the place of a part of it.
        """
        *parents, leaf = local_parts(name)
        root = self.path
        if not self.is_temporary:
            root.mkdir(parents=True, exist_ok=True)
        directory = root
        for parent in parents:
            directory = _made_directory(directory, parent)
        with _choosing:
            file = _made_file(directory, leaf)
        # The last look counts: until the file was there, a link could have taken a directory's place.
        path = Path(file.name)
        if not path.resolve().is_relative_to(root.resolve()) or not _is_at(file, path):
            file.close()
            path.unlink(missing_ok=True)
            raise OSError(errno.ELOOP, "a link leads out of the directory for artifacts")
        return file


def _made_directory(parent: Path, name: str) -> Path:
    """Return a directory of that name, or of one with a number where something else has it."""
    for each in numbered(name):
        directory = parent / each
        try:
            directory.mkdir()
        except FileExistsError:
            if not stat.S_ISDIR(directory.lstat().st_mode):
                continue
        return directory
    raise AssertionError("numbers do not end")


def _made_file(directory: Path, name: str) -> IO[bytes]:
    """Create and open a file of that name, or of one with a number where that is taken."""
    taken = {folded(each.name) for each in directory.iterdir()}
    for each in numbered(name):
        if folded(each) not in taken:
            try:
                return (directory / each).open("xb")
            except FileExistsError:  # made meanwhile
                continue
    raise AssertionError("numbers do not end")


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Tell whether a path names an open file itself, and no link or other file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except OSError:
        return False


def media_type(name: str) -> str:
    """Guess a file's MIME type from its name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
