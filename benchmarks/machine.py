"""The machine that measures, and the versions of what is measured."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from aca_node_interpreter.local.node import find_node


def described() -> dict[str, str]:
    """Return what a reader of the figures wants to know of the machine."""
    return {
        "day": datetime.now(timezone.utc).date().isoformat(),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Node.js": find_node().version,
        "aca-node-interpreter": version("aca-node-interpreter"),
        "httpx": version("httpx"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory_below(pid: int) -> int:
    """Return the bytes of memory of all processes that a process started; what they share counts once."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, _, fields = stat.read_text().rpartition(") ")
            children.setdefault(int(fields.split()[1]), []).append(int(stat.parent.name))
    found, found_bytes = list(children.get(pid, ())), 0
    for each in found:
        found += children.get(each, ())
        # One may have ended meanwhile.
        with contextlib.suppress(OSError):
            found_bytes += sum(_kibibytes(Path(f"/proc/{each}/smaps_rollup"), "Pss")) * 1024
    return found_bytes


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return next(_kibibytes(Path("/proc/self/status"), "VmHWM")) * 1024


def _kibibytes(file: Path, name: str) -> Iterator[int]:
    return (int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name}:"))
