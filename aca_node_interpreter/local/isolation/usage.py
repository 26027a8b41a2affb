"""What a session uses, as `/proc`, `du` and the file system tell it: for what no control group holds."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DU_SECONDS = 60


@dataclass(frozen=True)
class Usage:
    """What a tree of processes uses."""

    memory: int
    """Bytes of their own, without what is mapped from files."""
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


def measure(root: int) -> Usage:
    """Add up what a process and all that came of it use."""
    memory = threads = 0
    for pid in process_tree(root):
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
    return Usage(memory, threads)


def deleted_bytes(root: int, device: int) -> int:
    """Add up the files of a file system that have no name any more but are held open by a process of the tree."""
    sizes = {}
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


def disk_bytes(directory: Path) -> int | None:
    """Tell what lies below a directory, in bytes on disk; `None` where it could not be found out in time.

    A file of no or few bytes counts as a block of the file system, so that many small ones can't take all inodes. It
    takes a while: to be called in a thread.
    """
    block = os.statvfs(directory).f_bsize
    figures = []
    for options in (["-k"], ["--inodes"]):
        command = ["du", "-s", *options, "--", str(directory)]
        try:
            # Its exit status tells of files that vanished meanwhile.
            answer = subprocess.run(command, capture_output=True, timeout=_DU_SECONDS, check=False).stdout
            figures.append(int(answer.split()[0]))
        except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
            # Not every system's knows `--inodes`.
            figures.append(0 if figures else -1)
    if figures[0] < 0:
        return None
    return max(figures[0] << 10, figures[1] * block)
