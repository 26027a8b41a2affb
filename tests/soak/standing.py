"""What stands while nothing goes on: threads, descriptors, processes, memory, files. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aca_node_interpreter.local.isolation.usage import process_tree

_CLOSE_WAIT = "08"


@dataclass(frozen=True)
class Standing:
    """What stands at a moment."""

    threads: Counter[str]
    """Names, without their numbers."""
    descriptors: Counter[str]
    """Kinds, such as `socket` and `pipe`; of a file its directory."""
    close_wait: int
    """Sockets of clients that the other side closed and they did not."""
    processes: int
    """Those that came of this one."""
    files: tuple[str, ...]
    """What is in the directory for temporary files."""
    blocks: int
    """Of memory, that Python's objects take."""
    allocated: int
    """Bytes that this process has of the C library: all that takes more than 512."""
    memory: int
    """Bytes of this process, without what is mapped from files. What is free among it lies scattered."""
    children_memory: int
    """Bytes of those that came of it."""

    def __str__(self) -> str:
        return (
            f"{self.threads.total()} threads, {self.descriptors.total()} descriptors, {self.close_wait} in CLOSE_WAIT, "
            f"{self.processes} processes, {len(self.files)} temporary files, {self.blocks:,} blocks, "
            f"{self.allocated / 2**20:.2f} MiB allocated, {self.memory / 2**20:.1f} MiB, "
            f"children {self.children_memory / 2**20:.1f} MiB"
        )


def look(scratch: Path, port: int) -> Standing:
    """Look at this process and all that came of it.

    Args:
        scratch: the directory for temporary files.
        port: what clients call.
    """
    for _ in range(3):
        gc.collect()
    own, *children = process_tree(os.getpid())
    names = (re.sub(r"[-_ ]*[\d(].*", "", thread.name) for thread in threading.enumerate())
    links = [_link(each) for each in Path("/proc/self/fd").iterdir()]
    return Standing(
        Counter(names),
        Counter(_kind(each) for each in links if each),
        len({f"socket:[{inode}]" for inode in _close_wait(port)} & set(links)),
        len(children),
        tuple(sorted(each.name for each in scratch.iterdir())),
        sys.getallocatedblocks(),
        _trimmed(),
        _memory(own),
        sum(map(_memory, children)),
    )


def growth(values: Sequence[float]) -> float:
    """Return how much values grew from the first to the last, by the line that fits them best; 0 for one or two."""
    count = len(values)
    if count <= 2:
        return 0
    middle, mean = (count - 1) / 2, sum(values) / count
    slope = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return slope / sum((place - middle) ** 2 for place in range(count)) * (count - 1)


class _Mallinfo2(ctypes.Structure):
    """What glibc tells of its memory, from 2.33 on."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names.split())


def _trimmed() -> int:
    """Have the C library give back what it keeps for later, which is no leak, and return how many bytes are in use."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        library.mallinfo2.restype = _Mallinfo2
        told = library.mallinfo2()
        return int(told.uordblks + told.hblkhd)
    return 0


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that lists them
        return ""


def _kind(link: str) -> str:
    return link.partition(":")[0] if ":[" in link or link.startswith("anon_inode") else str(Path(link).parent)


def _close_wait(port: int) -> list[str]:
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()
    ]
    return [line[9] for line in lines if line[3] == _CLOSE_WAIT and line[2].endswith(f":{port:04X}")]


def _memory(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(int(kib) << 10 for kib in re.findall(r"^Rss(?:Anon|Shmem):\s*(\d+) kB", status, re.MULTILINE))
