"""Words of a preview, cheap in tokens and bounded: what a file says of itself was chosen by code nobody trusts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aca_node_interpreter.local_names import printable

MOST_CHARS = 200
"""Characters of one preview."""
_LISTED_CHARS = 150
_NAME_CHARS = 30
# In a list of names, these would make one look like several.
_AMBIGUOUS = re.compile(r'[,;:"{}\[\]]')


def clipped(text: str, most: int = MOST_CHARS) -> str:
    """Return a text on one line, without anything that a terminal or a reader would misread, in `most` characters."""
    # Cut before it is made printable: a megabyte in a name costs nothing.
    text = printable(" ".join(text[: 4 * most].split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def label(name: str) -> str:
    """Return a name that a file holds, such as a column's, in quotes where it could be misread in a list."""
    short = clipped(name, _NAME_CHARS)
    return '"{}"'.format(short.replace('"', "'")) if not short or _AMBIGUOUS.search(short) else short


def listed(items: Sequence[str], *, total: int | None = None, most: int = 12, chars: int = _LISTED_CHARS) -> str:
    """Return the first items and how many more there are; `total` counts those that were not even read."""
    total = len(items) if total is None else total
    shown: list[str] = []
    for item in items[:most]:
        chars -= len(item) + 2
        if chars < 0 and shown:
            break
        shown.append(item)
    left = total - len(shown)
    return ", ".join(shown) + (f", … {left:,} more" if left > 0 else "")


def counted(number: int, noun: str, plural: str = "", *, is_whole: bool = True) -> str:
    """Return a number with its noun; `is_whole` tells whether all was counted."""
    return f"{'' if is_whole else 'at least '}{number:,} {noun if number == 1 else plural or f'{noun}s'}"
