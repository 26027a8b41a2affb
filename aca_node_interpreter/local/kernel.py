"""One Node.js process that runs code: start it, run in it, kill it.

The process is never trusted: what it sends is bounded and checked, and a broken protocol ends that process only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from . import frames
from .launching import Launch, Launcher, LaunchError, Process

MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""What is kept of each output stream of a run; the rest is dropped."""

OUT_OF_MEMORY = "The code used more memory than its session may have."

_START_SECONDS = 30.0
_END_SECONDS = 5.0
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
    reason: str = ""
    """Why the process was ended, for who wrote the code."""


class Kernel:
    """A running Node.js process and its two pipes. Made by `start`; used from one event loop only."""

    def __init__(self, process: Process) -> None:
        self.alive = True
        self.process = process
        self.stderr_tail = b""
        self._reader = frames.FrameReader()
        self._transports: list[asyncio.BaseTransport] = []
        self._requests: asyncio.WriteTransport | None = None
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._run_id = 0
        self._outcome = Outcome()
        self._ended: asyncio.Future[None] | None = None
        self._reason = ""

    @classmethod
    async def start(cls, launch: Launch, launcher: Launcher) -> Kernel:
        """Start Node.js and wait until it is ready.

        Raises:
            KernelStartError: it did not come up.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            try:
                files = [_pipe(ours, theirs, we_write=we_write) for we_write in (True, False, False)]
                process = await launcher.launch(launch, *(descriptor for _, descriptor in files))
            except (OSError, LaunchError) as error:
                raise KernelStartError(f"Node.js did not start: {error}") from error
            ours.pop_all()
        kernel = cls(process)
        try:
            await kernel._connect(*(file for file, _ in files))
            await asyncio.wait_for(asyncio.shield(kernel._loaded), _START_SECONDS)
        except BaseException as error:
            kernel.kill()
            for file, _ in files[len(kernel._transports) :]:
                file.close()
            await kernel.gone()
            process.close_network()
            if isinstance(error, (KernelStartError, asyncio.TimeoutError)):
                said = kernel.stderr_tail.decode("utf-8", "replace").strip()
                raise KernelStartError(f"Node.js did not start: {said or 'no answer'}") from error
            raise
        return kernel

    async def _connect(self, requests: Any, replies: Any, errors: Any) -> None:
        loop = asyncio.get_running_loop()
        self._requests, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, requests)
        self._transports.append(self._requests)
        for protocol, file in ((_Replies, replies), (_Stderr, errors)):
            transport, _ = await loop.connect_read_pipe(functools.partial(protocol, self), file)
            self._transports.append(transport)
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

    def abort(self, reason: str) -> None:
        """End the process, and say why."""
        if self.alive:
            self._reason = reason
            self.disconnected()

    @property
    def reason(self) -> str:
        """Why the process ended, in words for who wrote the code; "" is unknown, or its own doing."""
        if self.process.out_of_memory:
            return OUT_OF_MEMORY
        if b"heap out of memory" in self.stderr_tail:
            return "JavaScript heap out of memory."
        return self._reason

    def kill(self) -> None:
        """End the process and its children at once; harmless when it is dead."""
        self.alive = False
        for transport in self._transports:
            # asyncio fails on aborting what is closing already.
            if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
                transport.abort()
            else:
                transport.close()
        self.process.kill()

    async def gone(self) -> None:
        """Wait for the end of the killed process and of all that came of it."""
        await asyncio.wait([self.process.ended], timeout=_END_SECONDS)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, we_write: bool) -> tuple[Any, int]:
    """Make a pipe; gives our end as a file and the other one as a descriptor."""
    reader, writer = os.pipe()
    our_end, their_end = (writer, reader) if we_write else (reader, writer)
    theirs.callback(os.close, their_end)
    return ours.enter_context(os.fdopen(our_end, "wb" if we_write else "rb", 0)), their_end


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
