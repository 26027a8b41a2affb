"""SQLite databases: the names of their tables.

Read from the first pages here, and not by SQLite: that would compile a schema that code nobody trusts has written.
"""

from __future__ import annotations

from collections.abc import Iterator

from .source import Source
from .wording import counted, label, listed

MAGIC = b"SQLite format 3\0"
_PAGES = 50
_TABLES = _CELLS = 1_000
_LEAF, _INTERIOR = 13, 5
_HEADER_BYTES = 100
_LEAST_PAGE = 512


def database(source: Source) -> str:
    """Return a database's tables; empty where none is found and there may be some."""
    names, is_whole = [], True
    for kind, name in _schema(source):
        if kind == "":
            is_whole = False
        elif kind == "table" and not name.startswith("sqlite_"):
            names.append(label(name))
    if not names and not is_whole:
        return ""
    said = counted(len(names), "table", is_whole=is_whole)
    return f"SQLite, {said}{': ' if names else ''}{listed(names, most=8)}"


def _schema(source: Source) -> Iterator[tuple[str, str]]:
    """Yield type and name of what the schema's tree lists; two empty strings when there is more."""
    size = int.from_bytes(source.head[16:18], "big")
    size = 65_536 if size == 1 else size
    waiting, found = [1], 0
    for _ in range(_PAGES):
        if not waiting:
            return
        number = waiting.pop(0)
        page = source.read((number - 1) * size, size)
        start = _HEADER_BYTES if number == 1 else 0
        if len(page) < max(size, _LEAST_PAGE):
            break
        kind, cells = page[start], min(_CELLS, int.from_bytes(page[start + 3 : start + 5], "big"))
        first = start + (12 if kind == _INTERIOR else 8)
        for at in range(first, min(first + 2 * cells, size - 1), 2):
            cell = int.from_bytes(page[at : at + 2], "big")
            if kind == _INTERIOR:
                waiting.append(int.from_bytes(page[cell : cell + 4], "big"))
            elif kind == _LEAF and found < _TABLES:
                found += 1
                yield _row(page, cell)
        if kind == _INTERIOR:
            waiting.append(int.from_bytes(page[start + 8 : start + 12], "big"))
        del waiting[_PAGES:]
        if found == _TABLES:
            break
    yield "", ""


def _row(page: bytes, at: int) -> tuple[str, str]:
    """Return a schema row's first two columns: its type and its name."""
    for _ in range(2):  # the row's size and number
        _, at = _varint(page, at)
    head_size, at_types = _varint(page, at)
    values, start = [], at + head_size
    for _ in range(2):
        code, at_types = _varint(page, at_types)
        size = (code - 13) // 2 if code >= 13 and code % 2 else 0  # only text is of interest
        values.append(page[start : start + size].decode("utf-8", "replace"))
        start += size
    return values[0] or "?", values[1]


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    number = 0
    for i in range(9):
        byte = page[at + i] if at + i < len(page) else 0
        if i == 8:
            return number << 8 | byte, at + 9
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at + i + 1
    return number, at + 9
