"""How long something may take in all, and what is done when the pool is full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from aca_node_interpreter.errors import DeadlineExceededError

# Seconds between the limit of a run and the deadline: the service ends a run a little after its limit, and answers.
_AFTER_RUN = 5.0


@dataclass(eq=False)
class Deadline:
    """When all of it must be over: waiting for others, the run, and its files."""

    at: float = math.inf
    """By `time.monotonic`."""
    seconds: float = math.inf
    """How long that was when it began, for messages."""
    whole: Deadline | None = field(default=None, repr=False)
    """The one that this is a part of, and ends with."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that is so many seconds away."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """Return the seconds that are left, at least 0."""
        left = max(0.0, self.at - time.monotonic())
        return left if self.whole is None else min(left, self.whole.left())

    def part(self) -> Deadline:
        """Return the same deadline for a part of the work, which `end` can end sooner."""
        return self.earlier(0)

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline that leaves so many seconds until this one."""
        return Deadline(self.at - seconds, self.seconds, self)

    def end(self) -> None:
        """Have it be over now."""
        self.at = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self.at or (self.whole is not None and self.whole.is_over)

    def sooner(self, seconds: float) -> float | None:
        """Return the seconds that may be waited for something that should take at most these; `None` for ever."""
        wait = min(seconds, self.left())
        return None if wait == math.inf else wait

    def time_for_run(self, seconds: float) -> float:
        """Return the seconds that a run may take, of those that it would like, so that its answer can still come.

        Raises:
            DeadlineExceededError: there is no time for any.
        """
        limit = min(seconds, self.left() - _AFTER_RUN)
        if limit < min(seconds, 1):
            raise DeadlineExceededError(
                f"Nothing ran: of the deadline of {self.seconds:,.0f} seconds no time was left for a run: "
                "raise `deadline`, or ask for less.",
                ran=False,
            )
        return limit


NEVER = Deadline()


@dataclass(frozen=True)
class Patience:
    """How the calls of a flow are made."""

    deadline: Deadline = NEVER
    when_full: Callable[[Deadline, float], Generator[Any, Any, None]] | None = None
    """What to do, as a flow, when the pool is full, before the call is made again: until this deadline, for at most so
    many seconds. Without it a full pool is an error at once."""


IMPATIENT = Patience()
"""Every call has its own limit only, and a full pool is an error."""
