"""What two kernels that run the same code have in common in their stack traces."""

from __future__ import annotations

import re

_FRAME = re.compile(
    r"\s*(?:at .+?(?:\(<anonymous>\)|:\d+:\d+\)?)|\.{3} \d+ lines matching cause stack trace \.{3})(?P<rest>.*)"
)
_OF_THE_CODE = re.compile(r"\(node:vm:\d+:\d+\)|evalmachine\.<anonymous>")


def without_inner_frames(text: str) -> str:
    """Leave out of stack traces how the kernel came to run the code: what is below `node:vm` or its own frames."""
    text = re.sub(r"\(node:\d+\)", "(node:PID)", text)
    kept: list[str] = []
    below = False
    for line in text.split("\n"):
        frame = _FRAME.fullmatch(line)
        if frame is None:
            below = False
            kept.append(line)
        elif _OF_THE_CODE.search(line):
            below = "(node:vm:" in line
            kept.append(line)
        elif below or "[eval]:" in line or "lines matching" in line:
            below = True
            kept[-1] += frame["rest"]
        else:
            kept.append(line)
    return "\n".join(kept)
