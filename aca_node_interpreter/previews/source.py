"""A file to look at, and how much of it is looked at: every read is bounded."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from typing_extensions import Self

HEAD_BYTES = 1024 * 1024
"""What is read of any file."""
_CHUNK_BYTES = 256 * 1024
# Seconds for counting the lines of a file that is larger than its head: some 60 MB.
_COUNT_SECONDS = 0.025
_OTHERS = bytes(set(range(256)) - set(b'"\n'))
_UTF16 = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@dataclass(frozen=True)
class Source:
    """A file and its first bytes."""

    path: Path
    name: str
    """What decides where the bytes do not; lower case."""
    size: int
    """Bytes."""
    head: bytes = field(repr=False)

    @classmethod
    def of(cls, path: Path, name: str) -> Self:
        """Read a file's head.

        Raises:
            OSError: it can't be read.
        """
        with path.open("rb") as file:
            return cls(path, name.lower(), path.stat().st_size, file.read(HEAD_BYTES))

    @property
    def suffix(self) -> str:
        """The end of its name, with the dot."""
        return PurePosixPath(self.name).suffix

    @property
    def is_whole(self) -> bool:
        """Whether the head is all of it."""
        return self.size <= len(self.head)

    def read(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, fewer where there are fewer."""
        if start < 0 or size < 0:
            return b""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    @cached_property
    def encoding(self) -> str:
        """How its text is encoded; empty when it is not text."""
        head = self.head
        for encoding, mark in _UTF16.items():
            if head.startswith(mark):
                return encoding
        # Text in Latin letters has a zero in every second byte of UTF-16.
        even, odd = head[:1000:2].count(0), head[1:1000:2].count(0)
        if even or odd:
            most = max(3, len(head[:1000]) // 5)
            return "utf-16-le" if odd > most and not even else "utf-16-be" if even > most and not odd else ""
        if b"\0" in head:
            return ""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head, self.is_whole)
        except UnicodeDecodeError:
            return "cp1252"
        return "utf-8"

    @cached_property
    def text(self) -> str:
        """The head as text, without a byte order mark; empty when it is not text."""
        return self.head.decode(self.encoding, "replace").removeprefix("\ufeff") if self.encoding else ""

    def count_lines(self, *, has_quotes: bool = False) -> tuple[int, bool]:
        """Count lines, and tell whether those are all; with quotes, ends of lines between two don't count."""
        count, inside, last = 0, 0, b"\n"
        for chunk in self._chunks():
            if chunk is None:
                return max(1, count), False
            if has_quotes:
                # Most quotes have no end of line between them and can go, and then almost nothing is left to split.
                parts = chunk.translate(None, _OTHERS).replace(b'""', b"").split(b'"')
                count += sum(part.count(b"\n") for part in parts[inside::2])
                inside = (inside + len(parts) - 1) % 2
            else:
                count += chunk.count(b"\n")
            last = chunk[-1:] or last
        return count + (last != b"\n"), True

    def _chunks(self) -> Iterator[bytes | None]:
        """Yield all in an encoding in which a line ends with one byte, and at last nothing when it takes too long."""
        deadline = time.monotonic() + _COUNT_SECONDS
        decoder = codecs.getincrementaldecoder(self.encoding)("replace") if self.encoding in _UTF16 else None
        with self.path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield decoder.decode(chunk).encode("utf-8", "replace") if decoder else chunk
                # What is as small as a head is counted to its end on the slowest machine.
                if file.tell() > HEAD_BYTES and time.monotonic() > deadline:
                    yield None
                    return
