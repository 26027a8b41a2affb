"""Control groups: the kernel's own bound on the memory and the processes of a session.

Version 1 where it has the controllers, else version 2 where it is delegated to this process. A group is made for each
session's process; the launcher joins it between fork and exec, and removes it when the last process in it has ended.
Layout and files are those of the kernel's documentation, `admin-guide/cgroup-v2.rst` and `admin-guide/cgroup-v1/`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONTROLLERS = ("memory", "pids")
_PREFIX = "aca-node-"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where this process may make groups: one directory in version 2, one for each controller in version 1."""

    directories: tuple[Path, ...]

    def make(self, *, memory: int, processes: int) -> list[str]:
        """Make a group, of `memory` bytes and `processes` processes and threads; gives the files to join it by.

        Raises:
            OSError: it can't be made.
        """
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        groups = [directory / name for directory in self.directories]
        with contextlib.ExitStack() as undo:
            for group in groups:
                group.mkdir()
                undo.callback(group.rmdir)
                _set(group, "memory.max", memory)
                _set(group, "memory.swap.max", 0)
                _set(group, "memory.oom.group", 1)
                # Version 1's; the second one counts swap, too, and can't be below the first.
                _set(group, "memory.limit_in_bytes", memory)
                _set(group, "memory.memsw.limit_in_bytes", memory)
                _set(group, "pids.max", processes)
            undo.pop_all()
        return [str(group / "cgroup.procs") for group in groups]

    def remove_abandoned(self) -> None:
        """Remove the groups of pools that were killed together with their launcher."""
        for directory in self.directories:
            for group in directory.glob(f"{_PREFIX}*-*"):
                pid = group.name.removeprefix(_PREFIX).partition("-")[0]
                if not Path("/proc", pid).exists():
                    # It stays when something in it still lives.
                    with contextlib.suppress(OSError):
                        group.rmdir()


def find(proc: Path = Path("/proc/self")) -> Place | None:
    """Find where groups can be made; `None` is for a machine or container that does not let this process."""
    try:
        mounts = list(_mounts((proc / "mountinfo").read_text("utf-8", "replace")))
        paths = dict(_paths((proc / "cgroup").read_text("utf-8", "replace")))
    except OSError:
        return None
    for place in (_version_1(mounts, paths), _version_2(mounts, paths)):
        if place is not None and _works(place):
            return place
    return None


@dataclass(frozen=True)
class _Mount:
    root: str
    point: Path
    version: int
    options: frozenset[str]

    def directory(self, path: str) -> Path | None:
        """Say where a group's path in the hierarchy lies; a container may see only a part of it."""
        try:
            return self.point / Path(path).relative_to(self.root)
        except ValueError:
            return None


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = map(_unescaped, before.split(" ")[3:5])
            yield _Mount(root, Path(point), 2 if kind == "cgroup2" else 1, frozenset(options.split(",")))


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """Give the own group's path by controller; version 2's is under the empty name."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _version_1(mounts: list[_Mount], paths: dict[str, str]) -> Place | None:
    found = []
    for controller in _CONTROLLERS:
        for mount in mounts:
            if mount.version == 1 and controller in mount.options and controller in paths:
                directory = mount.directory(paths[controller])
                if directory is not None and directory not in found:
                    found.append(directory)
    return Place(tuple(found)) if found else None


def _version_2(mounts: list[_Mount], paths: dict[str, str]) -> Place | None:
    for mount in mounts:
        own = mount.directory(paths.get("", "/")) if mount.version == 2 else None
        if own is None:
            continue
        # Not below the own group: one with processes in it gives no controllers to its children. Below its parents.
        for directory in (own.parent, *own.parent.parents) if own != mount.point else (own,):
            if _gives_controllers(directory):
                return Place((directory,))
            if directory == mount.point:
                break
    return None


def _gives_controllers(directory: Path) -> bool:
    control = directory / "cgroup.subtree_control"
    try:
        if not set(_CONTROLLERS) <= set(control.read_text("ascii").split()):
            control.write_text(" ".join(f"+{controller}" for controller in _CONTROLLERS))
    except OSError:
        return False
    return os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK)


def _works(place: Place) -> bool:
    """Make a group, bound it and remove it again."""
    try:
        files = place.make(memory=1 << 30, processes=256)
    except OSError:
        return False
    groups = [Path(file).parent for file in files]
    bounded = all(any((group / name).exists() for group in groups) for name in ("cgroup.procs", "pids.max"))
    for group in groups:
        group.rmdir()
    return bounded


def _set(group: Path, name: str, value: int) -> None:
    file = group / name
    # Versions and kernels differ in what they have.
    if file.exists():
        file.write_text(str(value))
