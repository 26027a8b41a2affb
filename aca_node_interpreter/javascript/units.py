"""Text as JavaScript counts it: strings with one character to each UTF-16 code unit."""

from __future__ import annotations

import re

IDENTIFIER_PART = r"[\w$\u200c\u200d\ud800-\udfff]"
"""What an identifier may go on with; halves of characters beyond U+FFFF count, whatever these are."""

_INK = re.compile(r"[^\n\r\u2028\u2029\t\v\f]")
_LINE_END = re.compile(r"\r\n?|[\n\u2028\u2029]")


def blank(text: str) -> str:
    """Return as many spaces, with line ends and tabs where they were."""
    # Most are part of a line.
    return " " * len(text) if text.isprintable() else _INK.sub(" ", text)


def line_of(units: str, offset: int) -> int:
    """Return the line, from 1, that an offset is on."""
    return 1 + sum(1 for _ in _LINE_END.finditer(units, 0, offset))


def has_line_end(units: str) -> bool:
    """Tell whether there is a line end in it."""
    return _LINE_END.search(units) is not None


_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def to_units(text: str) -> str:
    """Return a string with one character to each UTF-16 code unit."""
    if text.isascii() or not _BEYOND.search(text):
        return text
    return _BEYOND.sub(lambda match: _halves(ord(match[0]) - 0x10000), text)


def _halves(rest: int) -> str:
    return chr(0xD800 + (rest >> 10)) + chr(0xDC00 + (rest & 0x3FF))


def from_units(units: str) -> str:
    """Return the text that code units are; a half that is alone stays."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(\r\n|[\s\S]))")
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_NOTHING = {"\n", "\r", "\r\n", "\u2028", "\u2029"}


def unescaped(text: str) -> str:
    """Return what an identifier or the inside of a string says."""
    return from_units(to_units(_ESCAPE.sub(_read_escape, text)))


def _read_escape(match: re.Match[str]) -> str:
    braced, four, two, octal, other = match.groups()
    if octal is not None:
        return chr(int(octal, 8))
    digits: str | None = braced or four or two
    if digits is not None:
        return chr(min(int(digits[-8:], 16), 0x10FFFF))
    return "" if other in _NOTHING else _NAMED.get(other, other)
