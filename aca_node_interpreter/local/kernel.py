"""One Node.js process that runs code: start it, run in it, kill it.

The process is never trusted: what it sends is bounded and checked, and a broken protocol ends that process only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aca_node_interpreter.local import frames
from aca_node_interpreter.local.sandbox import Launch

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""What is kept of each output stream of a run; the rest is dropped."""

_START_SECONDS = 30.0
_STDERR_TAIL_BYTES = 4096

Ending = Literal["returned", "raised", "timed out", "exited", "aborted"]


class KernelStartError(Exception):
    """Node.js did not come up."""


@dataclass
class Outcome:
    """How a run ended and what it left."""

    ending: Ending = "aborted"
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    message: dict[str, Any] = field(default_factory=dict)
    """The kernel's last result frame: `mime` and perhaps `primitive`, or `error`."""
    display: dict[str, Any] | None = None
    """The last display data that the run sent, a bundle of media types."""
    seconds: float = 0.0


class Kernel:
    """A running Node.js process and its two pipes. Made by `start`; used from one event loop only."""

    def __init__(self, process: subprocess.Popen[bytes], *, has_init: bool = False) -> None:
        self.alive = True
        self._has_init = has_init
        self.stderr_tail = b""
        self._process = process
        self._reader = frames.FrameReader()
        self._transports: list[asyncio.BaseTransport] = []
        self._requests: asyncio.WriteTransport | None = None
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._run_id = 0
        self._outcome = Outcome()
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    async def start(cls, build: Callable[[int, int], Launch], spawner: Executor) -> Kernel:
        """Start Node.js and wait until it is ready.

        `build` gets the two file descriptors that the process inherits. `spawner` is a thread that must outlive the
        process: bubblewrap dies with the thread that started it.

        Raises:
            KernelStartError: it did not come up.
        """
        loop = asyncio.get_running_loop()
        try:
            (request_read, request_write), (reply_read, reply_write) = os.pipe(), os.pipe()
        except OSError as error:
            raise KernelStartError(f"Node.js did not start: {error}") from error
        parents = [os.fdopen(request_write, "wb", 0), os.fdopen(reply_read, "rb", 0)]
        launch = build(request_read, reply_write)

        def spawn() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                launch.command,
                env=launch.environment,
                cwd=launch.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Never preexec_fn: it forks, which takes as long as this process is large.
                pass_fds=(request_read, reply_write),
                start_new_session=True,
            )

        try:
            process = await loop.run_in_executor(spawner, spawn)
        except (OSError, RuntimeError) as error:
            for file in parents:
                file.close()
            raise KernelStartError(f"Node.js did not start: {error}") from error
        finally:
            os.close(request_read)
            os.close(reply_write)
        kernel = cls(process, has_init=launch.has_init)
        try:
            await kernel._connect(parents)
            await asyncio.wait_for(asyncio.shield(kernel._loaded), _START_SECONDS)
        except BaseException as error:
            kernel.kill()
            kernel.reap()
            if isinstance(error, (KernelStartError, asyncio.TimeoutError)):
                said = kernel.stderr_tail.decode("utf-8", "replace").strip()
                raise KernelStartError(f"Node.js did not start: {said or 'no answer'}") from error
            raise
        return kernel

    async def _connect(self, parents: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        requests, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, parents[0])
        replies, _ = await loop.connect_read_pipe(lambda: _Replies(self), parents[1])
        stderr, _ = await loop.connect_read_pipe(lambda: _Stderr(self), self._process.stderr)
        self._requests = requests
        self._transports = [requests, replies, stderr]
        if not self.alive:
            self.kill()

    async def run(self, code: str, *, timeout: float) -> Outcome:
        """Run `code` and wait for its end, at most `timeout` seconds; after "timed out" the process is dead."""
        loop = asyncio.get_running_loop()
        self._run_id += 1
        self._outcome = outcome = Outcome()
        started = time.perf_counter()
        if self.alive and self._requests is not None:
            self._ended = loop.create_future()
            timer = loop.call_later(timeout, self._end, "timed out")
            try:
                self._requests.write(frames.encode_run(self._run_id, code))
                await self._ended
            finally:
                timer.cancel()
                self._ended = None
        outcome.seconds = time.perf_counter() - started
        if outcome.ending not in ("returned", "raised"):
            self.kill()
        return outcome

    def _end(self, ending: Ending) -> None:
        if self._ended is not None and not self._ended.done():
            self._outcome.ending = ending
            self._ended.set_result(None)

    def receive(self, data: bytes) -> None:
        """Take bytes from the process."""
        try:
            for kind, payload in self._reader.feed(data):
                self._receive_frame(kind, payload)
        except frames.FrameError:
            self.disconnected()

    def _receive_frame(self, kind: int, payload: bytes) -> None:
        if kind == frames.LOADED:
            if self._loaded.done():
                raise frames.FrameError("loaded twice")
            self._loaded.set_result(None)
        elif self._ended is None or self._ended.done():
            # Between runs nobody listens, as on the service.
            return
        elif kind == frames.STDOUT:
            _append(self._outcome.stdout, payload)
        elif kind == frames.STDERR:
            _append(self._outcome.stderr, payload)
        elif kind == frames.EXIT:
            self._end("exited")
        else:
            self._receive_result(kind, frames.decode_object(payload))

    def _receive_result(self, kind: int, message: dict[str, Any]) -> None:
        bundle = message.get("mime")
        if kind == frames.DISPLAY:
            self._outcome.display = bundle if isinstance(bundle, dict) else None
            return
        if message.get("id") != self._run_id:
            raise frames.FrameError("a result of another run")
        self._outcome.message = message
        if message.get("end") is True:
            self._end("raised" if "error" in message else "returned")

    def disconnected(self) -> None:
        """Take note that the process is gone or beyond use."""
        self.kill()
        if not self._loaded.done():
            self._loaded.set_exception(KernelStartError("the process ended"))
            self._loaded.exception()
        self._end("aborted")

    def kill(self) -> None:
        """End the process and its children at once; harmless when it is dead."""
        self.alive = False
        for transport in self._transports:
            # asyncio fails on aborting what is closing already.
            if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
                transport.abort()
            else:
                transport.close()
        if self._process.returncode is None and not (self._has_init and self._kill_init()):
            # It leads its own process group, and is not reaped yet, so the number is still its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_init(self) -> bool:
        """End the sandbox by its first process, which no process in it survives; tell whether there was one.

        Ending bubblewrap itself would leave that to a signal that root in the sandbox can switch off, and a zombie to
        whoever inherits it.
        """
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        except OSError:
            return False
        return bool(children)

    def reap(self) -> None:
        """Wait for the killed process; it takes milliseconds but blocks."""
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        if self._process.stderr is not None:
            self._process.stderr.close()


def _append(kept: bytearray, more: bytes) -> None:
    room = MAX_OUTPUT_BYTES - len(kept)
    if room > 0:
        kept += more[:room]


class _Replies(asyncio.Protocol):
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def data_received(self, data: bytes) -> None:
        self._kernel.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._kernel.disconnected()


class _Stderr(asyncio.Protocol):
    """Keeps the end of what the process itself says, for the message when it can't start."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def data_received(self, data: bytes) -> None:
        self._kernel.stderr_tail = (self._kernel.stderr_tail + data)[-_STDERR_TAIL_BYTES:]
