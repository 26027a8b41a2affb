"""JSON: its shape, as `{id, name, tags[3], owner{…}} × 120`, or all of it where that is as short."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from .source import Source
from .wording import clipped, counted, label, listed

_SHOWN_CHARS = 80  # a document that is no longer than its shape would be
_INDENTED_CHARS = 500  # a longer one is not as short without its indents
_DEEP = 2
_WIDE, _WIDE_BELOW = 12, 5
_SAMPLED = 50
# Values of a document that is larger than its head.
_HEAD_VALUES = 5_000
_LINES = 100

# Numbers become floats: an integer of a million digits would take a second, and its value is not shown.
_DECODER = json.JSONDecoder(parse_int=float)
_GAP = re.compile(r"[\s,]*")
_KEY = re.compile(r'("(?:[^"\\]|\\.){0,1000}")\s*:\s*')


class _Beginning(list[Any]):
    """The first elements of an array of which the end was not read."""


def document(source: Source) -> str:
    """Return the shape of a JSON document; says so when it is none."""
    text = source.text.strip()
    if not text:
        return ""
    if not source.is_whole:
        return _beginning(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError:
        return f"not valid JSON, {_lines(source)}"
    short = " ".join(text.split()) if len(text) < _INDENTED_CHARS else text
    return clipped(short) if len(short) <= _SHOWN_CHARS else shape(value)


def records(source: Source) -> str:
    """Return the shape of the lines of an NDJSON file, and their number."""
    lines = [line for line in islice(source.text.split("\n"), _LINES + 1) if line.strip()]
    lines = lines[:_LINES] if source.is_whole or len(lines) < 2 else lines[: min(_LINES, len(lines) - 1)]
    try:
        values = [_DECODER.decode(line) for line in lines]
    except json.JSONDecodeError:
        return f"not valid NDJSON, {_lines(source)}"
    if not values:
        return ""
    count, is_whole = source.count_lines()
    return _times(_common(values, 0), count, is_whole)


def shape(value: Any, depth: int = 0) -> str:
    """Return what a value consists of."""
    if isinstance(value, dict):
        return f"{{{_fields([value], depth)}}}"
    if isinstance(value, list):
        return _times(_common(value, depth), len(value)) if value else "[]"
    return _scalar(value)


def _lines(source: Source) -> str:
    count, is_whole = source.count_lines()
    return counted(count, "line", is_whole=is_whole)


def _beginning(text: str) -> str:
    """Return the shape of a document of which only the beginning was read."""
    if text[0] == "[":
        values = _elements(text, 1)
        return _times(_common(values, 0), len(values), False) if values else ""
    return f"{{{_fields([_members(text)], 0)}, …}}" if text[0] == "{" else ""


def _elements(text: str, at: int) -> _Beginning:
    """Return the elements from `at` on, as far as they are there."""
    values = _Beginning()
    while len(values) < _HEAD_VALUES:
        try:
            value, at = _DECODER.raw_decode(text, _after_gap(text, at))
        except (json.JSONDecodeError, RecursionError):
            break
        if at < len(text):  # a number at the very end may go on
            values.append(value)
    return values


def _members(text: str) -> dict[str, Any]:
    """Return an object's members as far as they are there, the last with the beginning of its value."""
    members: dict[str, Any] = {}
    at = 1
    while len(members) < _HEAD_VALUES and (key := _KEY.match(text, _after_gap(text, at))):
        name, at = _DECODER.decode(key[1]), key.end()
        try:
            members[name], at = _DECODER.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            members[name] = _elements(text, at + 1) if text[at : at + 1] == "[" else None
            break
    return members


def _after_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return at if gap is None else gap.end()


def _times(what: str, count: int, is_whole: bool = True) -> str:
    return f"{what} × {'' if is_whole else 'at least '}{count:,}"


def _common(values: Sequence[Any], depth: int) -> str:
    """Return what the values of an array have in common."""
    some = values[:_SAMPLED]
    kinds = {_scalar(value) for value in some} - ({"null"} if len(some) > 1 else set())
    if len(kinds) != 1:
        return "mixed" if kinds else "null"
    objects = [value for value in some if isinstance(value, dict)]
    if objects:
        return f"{{{_fields(objects, depth)}}}"
    lists = [value for value in some if isinstance(value, list)]
    if lists:
        inner = _common([x for value in lists for x in value[:5]], depth + 1) if depth < _DEEP else "…"
        return f"[{inner} × {_range([len(value) for value in lists])}]" if any(lists) else "[]"
    return kinds.pop()


def _fields(objects: Sequence[dict[str, Any]], depth: int) -> str:
    """Return the keys of objects that are alike; `?` marks those that only some have."""
    known: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in islice(each.items(), 200):
            known.setdefault(key, []).append(value)
    most = _WIDE_BELOW if depth else _WIDE
    total = max(len(known), max(map(len, objects)))
    words = (
        label(key) + ("?" if len(values) < len(objects) else "") + _inside(values, depth + 1)
        for key, values in islice(known.items(), most)
    )
    return listed(list(words), total=total, most=most, chars=50 if depth else 140)


def _inside(values: Sequence[Any], depth: int) -> str:
    """Return what follows a key: nothing for a scalar."""
    value = next((each for each in values if isinstance(each, (dict, list))), None)
    if isinstance(value, dict):
        same = [each for each in values if isinstance(each, dict)]
        return f"{{{_fields(same, depth) if depth < _DEEP and value else '…' if value else ''}}}"
    if not isinstance(value, list):
        return ""
    size = f"[{_range([len(each) for each in values if isinstance(each, list)])}]"
    if isinstance(value, _Beginning):
        size = f"[at least {len(value):,}]"
    objects = [each for each in value[:_SAMPLED] if isinstance(each, dict)]
    return size + (f"{{{_fields(objects, depth)}}}" if objects and depth < _DEEP else "")


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (dict, list)):
        return "object" if isinstance(value, dict) else "array"
    return {str: "text", float: "number"}.get(type(value), "null")
