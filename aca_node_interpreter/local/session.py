"""One session: a directory, a Node.js process that is replaced when it dies, and what was run."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aca_node_interpreter.temporary import remove_tree

from .executions import Executions
from .files import DataDirectory
from .kernel import Kernel, KernelStartError, Outcome
from .launching import Process

_WARM_SECONDS = 10.0


@dataclass
class Session:
    """A session; without an identifier it is a ready one that waits for its owner."""

    directory: Path
    start_kernel: Callable[[Path], Awaitable[Kernel]]
    identifier: str = ""
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    accessed: float = field(default_factory=time.time)
    """Seconds since the epoch. What is told to callers; idleness is counted by a clock that nobody sets."""
    executions: Executions = field(default_factory=Executions)
    running: int = 0
    """Runs that are under way or queued; the session is not idle before they end."""
    closed: bool = False

    def __post_init__(self) -> None:
        make_directories(self.directory)
        self.files = DataDirectory(self.directory / "data")
        self._touched = time.monotonic()
        self._lock = asyncio.Lock()
        self._starting: asyncio.Task[Kernel] | None = None

    def touch(self) -> None:
        """Note that the session is in use."""
        self.accessed, self._touched = time.time(), time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the session was in use."""
        return time.monotonic() - self._touched

    async def kernel(self) -> Kernel:
        """Give the session's live process, started when there is none."""
        kernel = self._started_kernel()
        if kernel is not None and kernel.alive:
            return kernel
        if self._starting is None or self._starting.done():
            self._starting = asyncio.ensure_future(self._start())
        return await asyncio.shield(self._starting)

    def _started_kernel(self) -> Kernel | None:
        task = self._starting
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    @property
    def process(self) -> Process | None:
        """The session's live process, if there is one."""
        kernel = self._started_kernel()
        return kernel.process if kernel is not None and kernel.alive else None

    def abort(self, reason: str) -> None:
        """End the session's process, and the run that is under way with these words; the session lives on."""
        kernel = self._started_kernel()
        if kernel is not None:
            kernel.abort(reason)

    async def shrink(self, name: str, most: int) -> None:
        """Remove the newest files of one of the session's directories until the others take at most `most` bytes."""
        await _in_thread(functools.partial(DataDirectory(self.directory / name).shrink, most))

    async def _start(self) -> Kernel:
        kernel = await self.start_kernel(self.directory)
        if self.closed:
            kernel.kill()
            await kernel.gone()
            raise KernelStartError("the session was closed")
        return kernel

    async def run(self, code: str, *, timeout: float) -> Outcome:
        """Run `code` after the runs that were asked for before it; a process that dies of it is replaced."""
        self.running += 1
        try:
            async with self._lock:
                if self.closed:
                    return Outcome()
                kernel = await self.kernel()
                outcome = await kernel.run(code, timeout=timeout)
                if not kernel.alive:
                    await kernel.gone()
                    outcome.reason = kernel.reason
                    if not self.closed:
                        self._starting = asyncio.ensure_future(self._start())
                return outcome
        except KernelStartError:
            if self.closed:
                return Outcome()
            raise
        finally:
            self.running -= 1
            self.touch()

    async def warm(self) -> None:
        """Start the process and run a little in it, which compiles much of what every run needs; no use of the session.

        Raises:
            KernelStartError: it did not start.
        """
        async with self._lock:
            if self.closed:
                return
            kernel = await self.kernel()
            await kernel.run("1", timeout=_WARM_SECONDS)

    def kill(self) -> None:
        """End the session's process and accept no more runs."""
        self.closed = True
        kernel = self._started_kernel()
        if kernel is not None:
            kernel.disconnected()

    async def close(self) -> None:
        """End the session and remove its files."""
        self.kill()
        if self._starting is not None:
            await asyncio.wait([self._starting])
            kernel = self._started_kernel()
            if kernel is not None:
                await kernel.gone()
        await _in_thread(lambda: remove_tree(self.directory))


def make_directories(session: Path) -> None:
    """Make a session's directory with the three that its code writes to: `data`, `home` and `tmp`."""
    for name in ("data", "home", "tmp"):
        (session / name).mkdir(parents=True)


async def _in_thread(function: Callable[[], None]) -> None:
    try:
        await asyncio.get_running_loop().run_in_executor(None, function)
    except RuntimeError:
        # The interpreter is exiting and starts no more threads; nobody else is kept waiting.
        function()
