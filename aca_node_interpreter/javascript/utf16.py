"""Text counted as JavaScript counts it: in UTF-16 code units.

Most text has one unit a character, and then nothing here costs more than a look at it.
"""

from __future__ import annotations

import re

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_INK = re.compile("[^\n\r\u2028\u2029\t\v\f]")
_LINE_END = re.compile("\r\n?|[\n\u2028\u2029]")


def units_of(text: str) -> str:
    """Return the text with one character for each UTF-16 unit, so that an index counts as JavaScript does."""
    return _ASTRAL.sub(_pair, text)


def text_of(units: str) -> str:
    """Undo `units_of`."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def blank(units: str) -> str:
    """Return as many spaces, with line ends and tabs where they were."""
    return _INK.sub(" ", units)


def line_of(units: str, offset: int) -> int:
    """Return the line, from 1, that an offset is on."""
    return 1 + sum(1 for _ in _LINE_END.finditer(units, 0, offset))


def has_line_end(units: str) -> bool:
    """Tell whether there is a line end in it."""
    return _LINE_END.search(units) is not None


def _pair(match: re.Match[str]) -> str:
    point = ord(match[0]) - 0x10000
    return chr(0xD800 + (point >> 10)) + chr(0xDC00 + (point & 0x3FF))
