"""What a program that has ended, or a pool that was stopped, may have left: processes."""

from __future__ import annotations

import os
import time
from pathlib import Path


def processes(scratch: Path) -> list[str]:
    """Name the processes that have to do with pools below `scratch`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # A sandbox shows where it comes from by what is mounted in it only.
            text = b"".join((folder / name).read_bytes() for name in ("cmdline", "environ", "mountinfo"))
        except OSError:
            continue
        if str(scratch).encode() in text and folder.name != str(os.getpid()):
            found.append(folder.name)
    return found


def gone(scratch: Path) -> bool:
    """Tell whether all of them end; the kernel takes milliseconds to end a whole process namespace."""
    deadline = time.monotonic() + 5
    while processes(scratch) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not processes(scratch)
