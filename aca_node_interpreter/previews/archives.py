"""Archives: how many entries, and the first names; the contents stay packed.

Read here and not by `zipfile` and `tarfile`: those take what a header claims, a million entries or a gigabyte of name.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import BinaryIO

from .source import Source
from .wording import counted, label, listed

_DIRECTORY_BYTES = 256 * 1024
_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_UNPACKED_BYTES = 1024 * 1024

_BLOCK = 512
_TAR_ENTRIES = 1_000
_NAMES = 6
_TAR_GZ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Member:
    """A file in a zip archive."""

    name: str
    method: int
    size: int
    """Bytes that it takes in the archive."""
    offset: int


@dataclass(frozen=True)
class Zip:
    """A zip archive's directory, as far as it was read."""

    source: Source
    members: dict[str, Member]
    count: int
    """How many there are, read or not."""

    @classmethod
    def of(cls, source: Source) -> Zip | None:
        """Read the directory."""
        tail_at = max(0, source.size - 65_557)  # the longest comment, and the record before it
        tail = source.read(tail_at, 65_557)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) < at + _END.size:
            return None
        _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
        if count == 0xFFFF or offset == 0xFFFFFFFF:  # the real numbers are elsewhere: a huge archive
            return None
        start = tail_at + at - size
        directory = source.read(start, min(size, _DIRECTORY_BYTES))
        members = {member.name: member for member in _members(directory, start - offset)}
        return cls(source, members, count if len(directory) < size else len(members))

    def read(self, name: str, most: int = _UNPACKED_BYTES) -> bytes:
        """Return the first `most` bytes of a file in it; none where it can't be read."""
        member = self.members.get(name)
        if member is None:
            return b""
        header = self.source.read(member.offset, _LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
            return b""
        *_, name_size, extra_size = _LOCAL.unpack(header)
        start = member.offset + _LOCAL.size + name_size + extra_size
        packed = self.source.read(start, min(member.size, most))
        if member.method == _STORED:
            return packed
        return zlib.decompressobj(-15).decompress(packed, most) if member.method == _DEFLATED else b""


def zip_entries(archive: Zip) -> str:
    """Return how many files a zip archive has, and some of their names."""
    names = [label(name) for name in islice(archive.members, _NAMES)]
    shown = listed(names, total=archive.count, most=_NAMES)
    return f"zip, {counted(archive.count, 'entry', 'entries')}" + (f": {shown}" if shown else "")


def tar_entries(source: Source) -> str:
    """Return how many entries a tar archive has, gzipped or not, and some of their names."""
    if source.head.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(31)
        unpacked = unpacker.decompress(source.head, _TAR_GZ_BYTES)
        return _tar_entries(BytesIO(unpacked), "tar.gz") if unpacked[257:262] == b"ustar" else ""
    with source.path.open("rb") as file:
        return _tar_entries(file, "tar")


def _tar_entries(file: BinaryIO, kind: str) -> str:
    names, is_whole = [], False
    for name in _tar_names(file):
        if name is None:
            is_whole = True
        else:
            names.append(name)
    said = counted(len(names), "entry", "entries", is_whole=is_whole)
    return f"{kind}, {said}: {listed([label(name) for name in names[:_NAMES]], total=len(names), most=_NAMES)}"


def _members(directory: bytes, shift: int) -> Iterator[Member]:
    """Yield what a zip archive's directory lists; `shift` is how many bytes precede the archive."""
    at = 0
    while len(directory) >= at + _ENTRY.size and directory.startswith(b"PK\1\2", at):
        fields = _ENTRY.unpack_from(directory, at)
        method, packed, name_size, extra_size, comment_size, offset = (fields[i] for i in (4, 8, 10, 11, 12, 16))
        at += _ENTRY.size
        # Archives of old have other encodings; their names are for reading only.
        yield Member(directory[at : at + name_size].decode("utf-8", "replace"), method, packed, offset + shift)
        at += name_size + extra_size + comment_size


def _tar_names(file: BinaryIO) -> Iterator[str | None]:
    """Yield the names of entries, and nothing at the archive's end."""
    at, found = 0, 0
    for _ in range(2 * _TAR_ENTRIES):
        file.seek(at)
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or found == _TAR_ENTRIES:
            return
        if not block[0]:
            yield None
            return
        # x, g, L and K precede an entry and tell more of it: a longer name, for one.
        if block[156:157] not in (b"x", b"g", b"L", b"K"):
            found += 1
            yield _tar_name(block)
        size = int(block[124:136].strip(b" \0") or b"0", 8)
        at += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _tar_name(block: bytes) -> str:
    name, prefix = _string(block[:100]), _string(block[345:500])
    return f"{prefix}/{name}" if prefix and block[257:263] == b"ustar\0" else name


def _string(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace").removeprefix("./")
