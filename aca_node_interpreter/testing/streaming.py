"""How texts are cut for streams."""

from __future__ import annotations

from collections.abc import Iterator

# Short and odd, so that words, escapes in JSON and lines of code are cut anywhere.
_PIECE_CHARS = 7


def pieces(text: str) -> Iterator[str]:
    """Cut a text as a model's tokens would, anywhere but inside a character."""
    return (text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS))
