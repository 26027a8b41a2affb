"""What a session uses, as `/proc`, `du` and the file system tell it: for what no control group holds."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_DU_SECONDS = 20


@dataclass(frozen=True)
class Usage:
    """What a tree of processes uses."""

    memory: int
    """Bytes of their own, without what is mapped from files, and of files made of memory (`memfd_create`)."""
    processes: int
    """Processes and threads."""


def process_tree(root: int) -> Iterator[int]:
    """Give a process and all that came of it, across process namespaces; nothing where there is no `/proc`."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text("ascii").split())
            except OSError:
                continue


def measure(root: int, *, most_processes: float = math.inf) -> Usage:
    """Add up what a process and all that came of it use.

    It looks at no more of them than it takes to be over `most_processes`: there may be more every moment.
    """
    memory = threads = 0
    device = _memory_device()
    for pid in process_tree(root):
        if threads > most_processes:
            break
        try:
            text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssShmem"):
                memory += int(value.split()[0]) << 10
            elif name == "Threads":
                threads += int(value)
    else:
        if device is not None:
            memory += deleted_bytes(root, device)
    return Usage(memory, threads)


@functools.cache
def _memory_device() -> int | None:
    """Tell where the kernel keeps files that are made of memory, and never had a name; `None` if there are none."""
    try:
        with os.fdopen(os.memfd_create("aca-node")) as file:
            return os.fstat(file.fileno()).st_dev
    except (AttributeError, OSError):
        return None


def deleted_bytes(root: int, device: int) -> int:
    """Add up the files of a file system that have no name any more but are held open by a process of the tree."""
    sizes: dict[int, int] = {}
    for pid in process_tree(root):
        try:
            with os.scandir(f"/proc/{pid}/fd") as descriptors:
                for entry in descriptors:
                    status = entry.stat()
                    if status.st_nlink == 0 and status.st_dev == device and stat.S_ISREG(status.st_mode):
                        sizes[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(sizes.values())


def disk_bytes(directories: Sequence[Path]) -> list[int] | None:
    """Tell what lies below each directory, in bytes on disk; `None` where it can't be found out, or not in time.

    A file of no or few bytes counts as a block of the file system, so that many small ones can't take all inodes. It
    takes a while: to be called in a thread.

    Raises:
        OSError: there is no such directory.
    """
    block = os.statvfs(directories[0]).f_bsize
    if shutil.which("du") is None:
        return _walk(directories, block)
    kibibytes = _du(directories, "-k")
    # Not every system's knows the option.
    entries = _du(directories, "--inodes") or [0] * len(directories)
    return kibibytes and [max(size << 10, count * block) for size, count in zip(kibibytes, entries, strict=True)]


def _du(directories: Sequence[Path], option: str) -> list[int] | None:
    # Not in this process: a session can make trees that take seconds.
    command = ["du", "-s", option, "--", *map(str, directories)]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_DU_SECONDS, check=False)
        figures = [int(line.split()[0]) for line in done.stdout.splitlines()]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None
    # Files that vanished meanwhile are none; folders that may not be read hide what is in them.
    hides = b"Permission denied" in done.stderr
    return figures if len(figures) == len(directories) and not hides else None


def _walk(directories: Sequence[Path], block: int) -> list[int] | None:
    hidden: list[OSError] = []
    sizes = []
    for directory in directories:
        sizes.append(0)
        for folder, _, names in os.walk(directory, onerror=hidden.append):
            for name in (".", *names):
                with contextlib.suppress(OSError):
                    sizes[-1] += max(Path(folder, name).lstat().st_blocks * 512, block)
    return None if any(isinstance(error, PermissionError) for error in hidden) else sizes
