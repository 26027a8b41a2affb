r"""What came from a session or a server, made harmless for a terminal, which obeys what is written to it.

Control sequences can retitle a window, set the clipboard, overwrite what stands above or make the terminal type. As
`ls` and `git` do, this spells control characters out for a terminal, as `\u001b`; colours stay.
"""

from __future__ import annotations

import re
import sys
from typing import IO

_COLOURS = r"\x1b\[[0-9;:]{0,64}m"
_RESET = "\x1b[0m"
# All control characters but tab and line feed, and what reverses the direction of the text around it.
_OBEYED = re.compile(
    rf"({_COLOURS}|\r\n)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def harmless(text: str) -> str:
    """Return text that a terminal only shows, with its lines and colours; colours end with it."""
    shown = _OBEYED.sub(lambda found: found[1] or f"\\u{ord(found[0]):04x}", text)
    return f"{shown}{_RESET}" if "\x1b" in shown else shown


def write_output(text: str, stream: IO[str]) -> None:
    """Write what a run printed: unchanged into a pipe or a file, harmless to a terminal."""
    stream.write(harmless(text) if stream.isatty() else text)


def write_message(text: str, *, to_stderr: bool = True) -> None:
    """Write a line about a run, with names and words that others chose, harmless wherever it goes."""
    print(harmless(text), file=sys.stderr if to_stderr else sys.stdout)
