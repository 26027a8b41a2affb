"""CSV and its kin: how many rows, which columns, of what type."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import groupby, islice, zip_longest

from .source import Source
from .wording import counted, label, listed

DELIMITERS = {".csv": "", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
"""Suffixes of tables, and what separates their columns; CSV's is found out."""

# Types and headers are told from so much of a table.
_SAMPLE_ROWS, _SAMPLE_CELLS, _SAMPLE_CHARS = 500, 5_000, 256 * 1024
_SNIFFED_ROWS, _SNIFFED_CHARS = 30, 32 * 1024
_TYPED_COLUMNS = 30

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "undefined"})
# A leading zero is a code's: 01234 is no number.
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,30})")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?%?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?: ?Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"|[0-9]{1,2}([./])[0-9]{1,2}\1[0-9]{4}"
)


def table(source: Source) -> str:
    """Return a table's rows and columns."""
    text = source.text
    delimiter = DELIMITERS.get(source.suffix) or _delimiter(text)
    rows = list(_sample(text, delimiter, source.is_whole))
    if not rows:
        return ""
    header = _has_header(rows, delimiter)
    names = rows[0] if header else []
    body = rows[1:] if header else rows
    count, is_whole = _rows(source, delimiter, len(rows))
    count = max(0, count - header)
    wide = max(map(len, rows))
    types = [_type(column, delimiter) for column in _columns(body, min(wide, _TYPED_COLUMNS))]
    said = counted(count, "row", is_whole=is_whole)
    if len({len(row) for row in rows}) > 1:
        said += f" of {min(map(len, rows))} to {wide} columns"
    if header:
        pairs = zip_longest(map(label, names), types[: len(names)], fillvalue="")
        return f"{said}: {listed([f'{name} {kind}'.rstrip() for name, kind in pairs], total=len(names))}"
    return f"{said}, no header: {listed(list(_runs(types)))}" + (f", {wide} columns" if wide > len(types) else "")


def _read(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows that are not blank."""
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if row:
            yield row


def _sample(text: str, delimiter: str, is_whole: bool) -> Iterator[list[str]]:
    """Yield a table's first rows, without one that is cut off."""
    cells, held = 0, None
    for row in islice(_read(text[:_SAMPLE_CHARS], delimiter), _SAMPLE_ROWS):
        if held is not None:
            yield held
        held = row
        cells += len(row)
        if cells > _SAMPLE_CELLS:
            yield row
            return
    if held is not None and ((is_whole and len(text) <= _SAMPLE_CHARS) or cells == len(held)):
        yield held


def _delimiter(text: str) -> str:
    """Return what separates the columns: what makes the most rows alike, then the most columns."""
    best, found = (0.0, 1), ","
    for delimiter in (",", "\t", ";", "|"):
        widths = [len(row) for row in islice(_read(text[:_SNIFFED_CHARS], delimiter), _SNIFFED_ROWS)]
        widths = widths[:-1] if len(widths) > 3 else widths  # the last may be cut off
        usual = max(widths, key=widths.count, default=1)
        score = (widths.count(usual) / len(widths), usual) if usual > 1 else (0.0, 1)
        if score > best:
            best, found = score, delimiter
    return found


def _rows(source: Source, delimiter: str, sampled: int) -> tuple[int, bool]:
    """Count rows, and tell whether those are all."""
    if source.is_whole and len(source.text) <= _SAMPLE_CHARS:
        return sum(1 for _ in _read(source.text, delimiter)), True
    # Quotes at a field's start are quotes, and then they come in pairs; other ones are inches.
    quotes = re.search(rf'(?:^|[\n{re.escape(delimiter)}])"', source.text[:_SAMPLE_CHARS])
    count, is_whole = source.count_lines(has_quotes=quotes is not None)
    return max(count, sampled), is_whole


def _has_header(rows: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Tell whether the first row names the columns: words, each another, none of which is a value below."""
    first = [cell.strip() for cell in rows[0]]
    if len(set(first)) < len(first) or "" in first[1:]:
        return False
    if any(cell and _type([cell], delimiter) not in ("text", "") for cell in first):
        return False
    below = _columns(rows[1:51], min(len(first), _TYPED_COLUMNS))
    return not any(name in column for name, column in zip(first, below, strict=False) if name)


def _columns(rows: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    return [[row[index].strip() for row in rows if index < len(row)] for index in range(most)]


def _type(cells: Sequence[str], delimiter: str) -> str:
    """Return the type of a column's values; empty when there are none."""
    kinds = {_kind(cell, delimiter) for cell in cells if cell.lower() not in _MISSING}
    if kinds == {"integer", "number"}:
        return "number"
    return (kinds or {""}).pop() if len(kinds) < 2 else "text"


def _kind(cell: str, delimiter: str) -> str:
    if cell.lower() in ("true", "false"):
        return "boolean"
    if _INTEGER.fullmatch(cell):
        return "integer"
    plain = cell.replace(",", ".", 1) if delimiter != "," else cell
    if _NUMBER.fullmatch(plain):
        return "number"
    return "date" if _DATE.fullmatch(cell) else "text"


def _runs(types: Sequence[str]) -> Iterator[str]:
    """Yield types, those that repeat as one."""
    for kind, same in groupby(types):
        number = len(list(same))
        yield (kind or "empty") + (f" × {number}" if number > 1 else "")
