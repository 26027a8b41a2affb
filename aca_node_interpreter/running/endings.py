"""Sessions are ended so that nobody who stops waiting leaves one behind: in threads, for which closing waits.

An event loop that has a connection open ends one itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from threading import Thread

from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.rest.async_client import AsyncSessionPoolClient
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.patience import Deadline, Patience
from aca_node_interpreter.rest.side_by_side import side_by_side

from .conversations import Conversation

# Sessions that are ended side by side, and the seconds for each.
SIDE_BY_SIDE = 8
_END_SECONDS = 10.0


class Endings:
    """Ends sessions of a pool; one that can't be told ends by itself after its cooldown.

    Args:
        client: calls the pool.
    """

    def __init__(self, client: SessionPoolClient) -> None:
        self._client = client
        self._threads: list[Thread] = []
        self._are_over = False
        self._state = threading.Lock()

    def begin(self, talks: Sequence[Conversation]) -> Future[None]:
        """Begin to end the sessions of conversations, whoever cancels what, and return what is done when that is over.

        The threads of an event loop are few: what waits for one of them may be cancelled before it began. After
        `finish` nothing begins: who closes ends all sessions.
        """
        done: Future[None] = Future()

        def run() -> None:
            try:
                self.now(talks)
            finally:
                done.set_result(None)

        thread = Thread(target=copy_context().run, args=(run,), name="aca-node-end")
        with self._state:
            if self._are_over:
                done.set_result(None)
                return done
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
            thread.start()
        return done

    def now(self, talks: Sequence[Conversation]) -> None:
        """End the sessions of conversations, side by side."""

        def end(talk: Conversation) -> None:
            with suppress(AcaNodeError):
                self._client.perform(talk.given_back(), time_to_end())

        side_by_side(end, talks, SIDE_BY_SIDE)

    async def here(self, client: AsyncSessionPoolClient, talk: Conversation) -> None:
        """End a conversation's session on this event loop, where a connection is open.

        Where whoever waits is cancelled, it goes on in a thread.
        """
        try:
            with suppress(AcaNodeError):
                await client.perform(talk.given_back(), time_to_end())
        except BaseException:
            talk.is_ended = False
            self.begin([talk])
            raise

    @property
    def are_idle(self) -> bool:
        """Whether none is under way in a thread."""
        return not any(each.is_alive() for each in self._threads)

    def finish(self) -> None:
        """Wait until all that began is over."""
        with self._state:
            self._are_over = True
        for thread in self._threads:
            thread.join()


def time_to_end() -> Patience:
    """Return how long ending one session may take."""
    return Patience(Deadline.after(_END_SECONDS))
