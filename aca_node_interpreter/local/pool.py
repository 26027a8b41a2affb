"""Sessions by identifier: allocation, ready sessions, the idle timer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from .api_errors import PoolFullError
from .behaviour import Behaviour
from .egress import Relay
from .isolation import cgroups
from .isolation.host import Egress, Host
from .isolation.levels import Level
from .kernel import Kernel, KernelStartError
from .launching import Launcher
from .session import Session
from .watchdog import Watchdog

# A new process is started a little after the reply: at once, it would compete with it for the processor.
_REFILL_SECONDS = 0.05


class SessionPool:
    """All sessions of one pool. Used from one event loop only."""

    def __init__(
        self,
        level: Level,
        host: Host,
        launcher: Launcher,
        directory: Path,
        *,
        max_sessions: int,
        ready_sessions: int,
        cooldown: float,
        behaviour: Behaviour,
    ) -> None:
        self.max_sessions = max_sessions
        self.cooldown = cooldown
        self.behaviour = behaviour
        self.created = time.time()
        self._level = level
        self._host = host
        self._launcher = launcher
        self._groups = cgroups.find()
        if self._groups is not None:
            self._groups.remove_abandoned()
        self._watchdog = Watchdog(directory, host.limits, has_groups=self._groups is not None)
        self._directory = directory
        self._ready_sessions = ready_sessions
        self._sessions: dict[str, Session] = {}
        self._ready: list[Session] = []
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._refilling: asyncio.TimerHandle | None = None
        self.uploads = directory / "uploads"
        self.uploads.mkdir()

    async def start(self) -> None:
        """Start the ready sessions and the idle timer.

        Raises:
            KernelStartError: Node.js does not come up.
        """
        self._refill()
        await asyncio.gather(*(session.kernel() for session in self._ready))
        self._keep(self._expire())
        self._keep(self._watchdog.watch(lambda: [*self._sessions.values(), *self._ready]))

    async def close(self) -> None:
        """End every session; nothing is left afterwards."""
        if self._refilling is not None:
            self._refilling.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sessions = [*self._sessions.values(), *self._ready]
        self._sessions.clear()
        self._ready.clear()
        await asyncio.gather(*(session.close() for session in sessions))
        await asyncio.gather(*self._endings, return_exceptions=True)

    @property
    def isolation(self) -> str:
        """The name of the level in force."""
        return self._level.name

    @property
    def egress(self) -> Egress:
        """What sessions reach of the network."""
        return self._level.egress

    @property
    def node_version(self) -> str:
        """The version of Node.js that sessions run."""
        return self._host.node.version

    @property
    def ready(self) -> int:
        """How many started sessions wait for an identifier."""
        return len(self._ready)

    def find(self, identifier: str) -> Session | None:
        """Give the session of an identifier without allocating one."""
        return self._sessions.get(identifier)

    def list(self) -> list[Session]:
        """Give all allocated sessions, oldest first."""
        return list(self._sessions.values())

    def allocate(self, identifier: str) -> Session:
        """Give the session of an identifier, a new one when there is none, and restart its idle timer.

        Raises:
            PoolFullError: all sessions are taken.
        """
        session = self._sessions.get(identifier)
        if session is None:
            if len(self._sessions) >= self.max_sessions:
                wish = self.behaviour
                raise PoolFullError(
                    len(self._sessions), self.max_sessions, status=wish.full_pool, retry_after=wish.retry_after
                )
            session = self._ready.pop(0) if self._ready else self._new_session()
            session.identifier = identifier
            session.created = time.time()
            self._sessions[identifier] = session
            if self._refilling is not None:
                self._refilling.cancel()
            self._refilling = asyncio.get_running_loop().call_later(_REFILL_SECONDS, self._refill)
        session.touch()
        return session

    async def delete(self, identifier: str) -> None:
        """End a session and remove its files."""
        await self._sessions.pop(identifier).close()

    def _refill(self) -> None:
        while len(self._ready) < self._ready_sessions:
            session = self._new_session()
            self._ready.append(session)
            self._keep(self._warm(session))

    async def _warm(self, session: Session) -> None:
        # After a failure, whoever gets this session tries again and tells.
        with contextlib.suppress(KernelStartError):
            await session.warm()

    def _new_session(self) -> Session:
        return Session(self._directory / "sessions" / str(next(self._numbers)), self._start_kernel)

    async def _start_kernel(self, directory: Path) -> Kernel:
        launch = self._level.launch(directory)
        if self._groups is not None:
            limits = self._host.limits
            try:
                files = self._groups.make(memory=limits.memory, processes=limits.processes)
            except OSError as error:
                raise KernelStartError(f"the session's control group can't be made: {error}") from error
            launch = replace(launch, groups=files)
        kernel = await Kernel.start(launch, self._launcher)
        if kernel.process.sockets:
            relay = Relay(kernel.process.sockets, self._host.policy)
            kernel.process.ended.add_done_callback(lambda _: self._keep(relay.close(), self._endings))
        return kernel

    async def _expire(self) -> None:
        while True:
            for identifier, session in list(self._sessions.items()):
                if session.running:
                    session.touch()
                elif session.idle >= self.cooldown:
                    # At once, so that nobody is given a session that is about to end.
                    self._keep(self._sessions.pop(identifier).close(), self._endings)
            await asyncio.sleep(min(1.0, self.cooldown / 4))

    def _keep(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]] | None = None) -> None:
        """Run a task of this pool, which `close` cancels, or waits for when it is `among` the endings."""
        tasks = self._tasks if among is None else among
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
