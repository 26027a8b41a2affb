"""How many sessions may be in use at a time, and who is next: in order, from any thread and any event loop."""

from __future__ import annotations

import math
import random
import threading
import time
from bisect import insort
from concurrent.futures import Future
from itertools import count

from aca_node_interpreter.errors import DeadlineExceededError
from aca_node_interpreter.rest.patience import Deadline

# Azure's pools have at most so many sessions, by its command line; a limit that nobody set is not above it.
_LARGEST_POOL = 600

# Seconds after which one more is let in than the pool had when it was last full.
_PROBE = 5.0


class Place(Future[None]):
    """A place that was asked for; done when it is there."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        """Who asked before has a lower one."""


class Places:
    """Places in a session pool.

    Besides its own limit it learns the pool's: when that was full, as many are let in as were in use then, and now and
    then one more; what was learned is forgotten when nobody waits.

    Args:
        most: how many there may be at a time; without it the pool decides.
    """

    def __init__(self, most: int | None) -> None:
        self._ceiling: float = _LARGEST_POOL if most is None else most
        self._most: float = self._ceiling
        self._held = 0
        self._waiting: list[Place] = []
        self._numbers = count()
        self._next_probe = 0.0
        self._state = threading.Lock()

    @property
    def are_wanted(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self._waiting)

    @property
    def held(self) -> int:
        """How many are taken."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def queued(self) -> Place:
        """Return what is done when there is a place, which is then taken."""
        with self._state:
            if not self._waiting:
                self._most = self._ceiling
            place = Place(next(self._numbers))
            self._waiting.append(place)
        self._let_in()
        return place

    def give_up(self, place: Place) -> None:
        """Wait no more; where the place came at that very moment, it goes on to the next."""
        with self._state:
            is_waiting = place in self._waiting
            if is_waiting:
                self._waiting.remove(place)
        if is_waiting:
            place.cancel()
        else:
            self.leave()

    def leave(self) -> None:
        """Leave a place to the next."""
        with self._state:
            self._held -= 1
        self._let_in()

    def refused(self, former: Place) -> Place:
        """Give back a place for which the pool had no session, and wait for another one, as long as ever."""
        place = Place(former.number)
        with self._state:
            self._held -= 1
            self._most = min(self._most, self._held)
            self._next_probe = time.monotonic() + _PROBE
            insort(self._waiting, place, key=lambda each: each.number)
        return place

    def insist(self, place: Place) -> bool:
        """Take a place that did not come, if its turn is next: the pool may have a session again, whatever is known."""
        with self._state:
            if place in self._waiting[1:]:
                return False
            if place in self._waiting:
                self._waiting.remove(place)
                self._held += 1
                self._most = max(self._most, self._held)
                place.set_result(None)
            return True

    def open(self) -> None:
        """Let in everybody, for good."""
        with self._state:
            self._most = self._ceiling = math.inf
        self._let_in()

    def check_deadline(self, deadline: Deadline) -> None:
        """Wait no longer than a deadline.

        Raises:
            DeadlineExceededError: it is over.
        """
        if deadline.is_over:
            raise DeadlineExceededError(
                f"Nothing ran: all {self._held} sessions were in use until the deadline of {deadline.seconds:,.0f} "
                "seconds was over. End conversations that are done (`close(thread_id)`), or raise "
                "`max_concurrent_sessions` or `deadline`.",
                ran=False,
            )

    def probe(self) -> None:
        """Let one more in than the pool had, now and then: others may have left it."""
        with self._state:
            if self._most >= self._ceiling or time.monotonic() < self._next_probe:
                return
            self._next_probe = time.monotonic() + _PROBE
            self._most = max(self._most, self._held) + 1
        self._let_in()

    def _let_in(self) -> None:
        let_in = []
        with self._state:
            while self._waiting and self._held < self._most:
                self._held += 1
                let_in.append(self._waiting.pop(0))
        for place in let_in:
            place.set_result(None)


def probe_after() -> float:
    """Return after how many seconds somebody who waits may probe."""
    # By chance a little longer, so that not all who wait wake up at once.
    return _PROBE * random.uniform(1, 1.5)  # noqa: S311  # nothing secret
