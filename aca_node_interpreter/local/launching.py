"""The pool's side of its launcher: what to start, and the process that came of it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aca_node_interpreter

from .isolation import launcher as protocol

_MAIN = (
    "import sys; sys.path.append(sys.argv[1]); from aca_node_interpreter.local.isolation.launcher import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)
_END_SECONDS = 30.0
# Where programs and libraries are; nothing else of this process's environment is needed.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class LaunchError(Exception):
    """The process did not start; the message says why."""


class _HelperLostError(LaunchError):
    """The helper process ended before it answered."""


@dataclass(frozen=True)
class Launch:
    """How to start a session's first process, which gets its requests on descriptor 3 and replies on 4."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str | None = None
    """Its working directory."""
    arguments: Sequence[str] = ()
    """More arguments for bubblewrap, which no process in the sandbox can read."""
    has_init: bool = False
    """Whether it only waits for its child, the first one of a process namespace, with which all in it end."""
    groups: Sequence[str] = ()
    """The files by which it joins control groups."""
    limits: Sequence[tuple[int, int]] = ()
    """What `setrlimit` is called with, each for soft and hard."""
    ports: Sequence[int] | None = None
    """TCP ports that lead out of a network of its own, to the sockets that come back."""
    filter: str | None = None
    """The file with its system-call filter."""
    readable: Sequence[str] | None = None
    """What Landlock lets it read and execute; `None` is without Landlock."""
    writable: Sequence[str] = ()
    """What Landlock lets it change."""
    tcp: bool = False
    """Whether Landlock leaves TCP open."""


@dataclass
class Process:
    """A process that the launcher started."""

    pid: int
    sockets: list[socket.socket]
    """Where connections out of its own network arrive: first DNS over UDP, then the ports."""
    ended: asyncio.Future[bool]
    """Done when it is dead and gone; tells whether one of its processes was ended for want of memory."""
    _launcher: Launcher
    _identity: int

    @property
    def out_of_memory(self) -> bool:
        """Whether it has ended, and its control group had to end a process for want of memory."""
        return self.ended.done() and self.ended.result()

    def close_network(self) -> None:
        """Let nothing out of its network, when nobody else does."""
        for each in self.sockets:
            each.close()

    def kill(self) -> None:
        """End it and all that came of it at once; harmless when it is dead."""
        if not self.ended.done():
            self._launcher.kill(self._identity)


@dataclass
class _Waiting:
    started: asyncio.Future[Process]
    ended: asyncio.Future[bool]


class Launcher:
    """The helper process of one pool. `start` and `close` are for any thread, the rest for one event loop."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[int, _Waiting] = {}
        self._last = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def start(self) -> None:
        """Start the helper; it is usable at once.

        Raises:
            OSError: it can't be started.
        """
        ours, theirs = socket.socketpair()
        root = Path(aca_node_interpreter.__file__).parents[1]
        arguments = [str(root), str(theirs.fileno()), str(os.getpid()), str(self._directory)]
        with theirs:
            try:
                self._helper = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _MAIN, *arguments],
                    env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C is for the pool.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._connection = ours

    def close(self) -> None:
        """End every process, remove the pool's directory, end the helper."""
        if self._connection is not None:
            self._connection.close()
        if self._helper is not None:
            try:
                self._helper.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                # What it started ends with it.
                self._helper.kill()
                self._helper.wait()

    def attach(self) -> None:
        """Listen to the helper from the running event loop."""
        assert self._connection is not None  # noqa: S101 - for the type checker
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._connection, self._receive)

    def detach(self) -> None:
        """Stop listening, before the event loop ends."""
        if self._loop is not None and self._connection is not None:
            self._loop.remove_reader(self._connection)

    async def launch(self, launch: Launch, requests: int, replies: int, errors: int) -> Process:
        """Start a process that has these three descriptors; they stay the caller's.

        Raises:
            LaunchError: it did not start.
        """
        try:
            return await self._launch(launch, [requests, replies, errors])
        except _HelperLostError:
            # Whatever killed it, another one may live.
            return await self._launch(launch, [requests, replies, errors])

    async def _launch(self, launch: Launch, descriptors: list[int]) -> Process:
        if self._connection is None:
            self.start()
            self.attach()
        assert self._loop is not None  # noqa: S101 - for the type checker
        self._last += 1
        waiting = _Waiting(self._loop.create_future(), self._loop.create_future())
        self._known[self._last] = waiting
        self._send({"start": self._last, **asdict(launch)}, descriptors)
        return await waiting.started

    def kill(self, identity: int) -> None:
        """Ask for a process's end."""
        self._send({"kill": identity}, [])

    def _send(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            if self._connection is not None:
                protocol.send(self._connection, message, descriptors)
        except OSError:
            self._lost()

    def _receive(self) -> None:
        assert self._connection is not None  # noqa: S101 - for the type checker
        received = protocol.receive(self._connection)
        if received is None:
            self._lost()
            return
        message, descriptors = received
        if "started" in message:
            identity = message["started"]
            waiting = self._known[identity]
            sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            process = Process(message["pid"], sockets, waiting.ended, self, identity)
            if waiting.started.cancelled():
                process.kill()
            else:
                waiting.started.set_result(process)
        elif "failed" in message:
            self._fail(self._known.pop(message["failed"]), LaunchError(message["why"]))
        else:
            self._known.pop(message["ended"]).ended.set_result(message["out_of_memory"])

    def _lost(self) -> None:
        """Note that the helper is gone, and with it every process that it had started; the next one needs a new one."""
        self.detach()
        self.close()
        self._connection = None
        known = list(self._known.values())
        self._known.clear()
        for waiting in known:
            self._fail(waiting, _HelperLostError("the helper process that starts sessions was ended"))

    @staticmethod
    def _fail(waiting: _Waiting, error: LaunchError) -> None:
        if not waiting.started.done():
            waiting.started.set_exception(error)
        if not waiting.ended.done():
            waiting.ended.set_result(False)
