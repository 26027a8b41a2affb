"""One caller at a time, in the order in which they came, from any thread and any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from aca_node_interpreter.errors import ConfigurationError, DeadlineExceededError
from aca_node_interpreter.rest.patience import NEVER, Deadline
from aca_node_interpreter.rest.waiting import wait_for, wait_for_async

STOPS_THE_LOOP = (
    "A run is under way on this event loop, and waiting for it here would stop the loop for ever: use the asynchronous "
    "method."
)


class Turns:
    """A lock that is fair, and that threads and event loops share."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._is_taken = False
        self._waiting: deque[Future[None]] = deque()
        self._loops: list[asyncio.AbstractEventLoop] = []

    @property
    def waiting(self) -> int:
        """How many wait for theirs."""
        return len(self._waiting)

    @contextmanager
    def taken(self, deadline: Deadline = NEVER) -> Iterator[None]:
        """Wait for one's turn, and hold it.

        Raises:
            ConfigurationError: somebody before is on the event loop that the wait would stop.
            DeadlineExceededError: it did not come in time.
        """
        if self.is_held_up_here:
            raise ConfigurationError(STOPS_THE_LOOP)
        turn = self._queued()
        try:
            if not wait_for(turn, deadline.left()):
                raise too_late(deadline)
        except BaseException:
            self._give_up(turn)
            raise
        try:
            yield
        finally:
            self._pass_on()

    @property
    def is_held_up_here(self) -> bool:
        """Whether somebody has the turn, or waits for it, on the event loop that runs in this thread."""
        return running_loop() in self._loops

    @asynccontextmanager
    async def taken_async(self, deadline: Deadline = NEVER) -> AsyncIterator[None]:
        """Do what `taken` does, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        self._loops.append(loop)
        try:
            turn = self._queued()
            try:
                if not await wait_for_async(turn, deadline.left()):
                    raise too_late(deadline)
            except BaseException:
                self._give_up(turn)
                raise
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self._loops.remove(loop)

    @contextmanager
    def taken_if_free(self) -> Iterator[bool]:
        """Hold the turn if nobody has it or waits for it, and tell whether that is so."""
        with self._state:
            is_free = not self._is_taken
            self._is_taken = True
        try:
            yield is_free
        finally:
            if is_free:
                self._pass_on()

    def _queued(self) -> Future[None]:
        """Return what is done when the turn has come."""
        turn: Future[None] = Future()
        with self._state:
            if self._is_taken:
                self._waiting.append(turn)
                return turn
            self._is_taken = True
        turn.set_running_or_notify_cancel()
        turn.set_result(None)
        return turn

    def _give_up(self, turn: Future[None]) -> None:
        # Where the turn came at that very moment, it goes on to the next.
        if not turn.cancel():
            self._pass_on()

    def _pass_on(self) -> None:
        with self._state:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._is_taken = False
                return
        turn.set_result(None)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def too_late(deadline: Deadline) -> DeadlineExceededError:
    """Return the error of who waited for others until the deadline."""
    return DeadlineExceededError(
        f"Nothing ran: earlier runs of the session took until the deadline of {deadline.seconds:,.0f} seconds: "
        "raise `deadline`, or ask for less.",
        ran=False,
    )
