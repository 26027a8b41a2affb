"""Looks a few times a second at what sessions use, and ends what is over its limits.

Disks always; memory and processes where no control group holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .isolation import usage
from .isolation.limits import Limits
from .kernel import OUT_OF_MEMORY
from .session import Session

_TICK_SECONDS = 0.2
# Some file systems tell late or never how much room is left.
_ALWAYS_AFTER_TICKS = 50
_INODES = 10_000

_TOO_MANY_PROCESSES = "The code started more processes than its session may have."
_DISK_FULL = "The code wrote more than fits into its session; the newest files were removed."


class Watchdog:
    """Watches the sessions of one pool, whose directory tells on which file system they write."""

    def __init__(self, directory: Path, limits: Limits, *, has_groups: bool) -> None:
        self._directory = directory
        self._limits = limits
        self._device = directory.stat().st_dev
        self._has_groups = has_groups
        self._quotas = {"data": limits.data, "home": limits.data, "tmp": limits.tmp}
        self._free = self._free_inodes = self._ticks = 0
        self._look_at_disk()

    async def watch(self, sessions: Callable[[], Iterable[Session]]) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            # Whatever one look meets, a session that ends or no descriptors: the next one must come.
            with contextlib.suppress(OSError, RuntimeError):
                await self._look([session for session in sessions() if session.process is not None])

    async def _look(self, live: list[Session]) -> None:
        if not self._has_groups:
            await asyncio.gather(*map(self._check_processes, live))
        if self._grew():
            # Together, because a session can make one that takes long.
            await asyncio.gather(*map(self._check_disk, live))
            self._look_at_disk()

    async def _check_processes(self, session: Session) -> None:
        process = session.process
        if process is None:
            return
        used = await asyncio.to_thread(usage.measure, process.pid, most_processes=self._limits.processes)
        if used.processes > self._limits.processes:
            session.abort(_TOO_MANY_PROCESSES)
        elif used.memory > self._limits.memory:
            session.abort(OUT_OF_MEMORY)

    def _grew(self) -> bool:
        """Tell whether so much was written since the last look that a session could be over its limit."""
        self._ticks += 1
        status = os.statvfs(self._directory)
        written = (self._free - status.f_bavail) * status.f_frsize
        return (
            written > self._limits.data // 16
            or self._free_inodes - status.f_favail > _INODES
            or self._ticks >= _ALWAYS_AFTER_TICKS
        )

    def _look_at_disk(self) -> None:
        status = os.statvfs(self._directory)
        self._free, self._free_inodes, self._ticks = status.f_bavail, status.f_favail, 0

    async def _check_disk(self, session: Session) -> None:
        process = session.process
        if process is None:
            return
        directories = [session.directory / name for name in self._quotas]
        sizes = await asyncio.to_thread(usage.disk_bytes, directories)
        hidden = await asyncio.to_thread(usage.deleted_bytes, process.pid, self._device)
        if sizes is None:
            # A tree that can't be measured is one that was made so.
            sizes = [quota + 1 for quota in self._quotas.values()]
        over = [name for (name, quota), size in zip(self._quotas.items(), sizes, strict=True) if size + hidden > quota]
        if over:
            session.abort(_DISK_FULL)
        for name in over:
            await session.shrink(name, self._quotas[name])
