"""JSON that somebody hostile may have written, parsed within bounds: a short text can stand for gigabytes of values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

_MOST_TOKENS = 3_000_000  # strings and what separates values; the largest answers on record have a hundredth
_MOST_LEVELS = 200  # what reads, words and keeps values goes down into them by recursion

# A string need not end: looking for its end again and again would take quadratic time.
_TOKEN = re.compile(r'"[^"]*"?|[,\[{]')


def loads(content: str | bytes) -> Any:
    """Parse JSON, in UTF-8 if it is bytes.

    Raises:
        ValueError: it is none, or has more values or levels than any answer needs.
    """
    text = content if isinstance(content, str) else content.decode("utf-8-sig", "surrogatepass")
    if sum(map(text.count, '",[{')) > _MOST_TOKENS and _has_too_many_tokens(text):
        raise ValueError("It has too many values.")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None
    if text.count("[") + text.count("{") <= _MOST_LEVELS:
        return value
    level: list[Any] = [value]
    for _ in range(_MOST_LEVELS):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return value
    raise ValueError("It is nested too deeply.")


def _has_too_many_tokens(text: str) -> bool:
    """Tell whether there are too many values, not counting what only stands in strings."""
    plain = text.replace(r"\\", "").replace(r"\"", "")
    return any(islice(_TOKEN.finditer(plain), _MOST_TOKENS, None))


def _inside(value: Any) -> Iterable[Any]:
    """Return what a value holds, if it is an object or an array."""
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
