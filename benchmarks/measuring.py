"""What every benchmark measures with: the seconds of each repetition, their median and p99."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """The seconds that each repetition of one thing took."""

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Times:
        """Take them from any source."""
        return cls(tuple(seconds))

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """What 99 of 100 repetitions did not exceed, in seconds; of fewer than 100 it is the longest."""
        return sorted(self.seconds)[math.ceil(0.99 * len(self.seconds)) - 1]

    def cells(self) -> dict[str, float | int]:
        """Return what a row of a table has of them."""
        return {"median ms": self.median * 1000, "p99 ms": self.p99 * 1000, "repetitions": len(self.seconds)}


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def times(call: Callable[[], object], repetitions: int) -> Times:
    """Measure a call, after a warm-up."""
    call()
    return Times.of(seconds_of(call) for _ in range(repetitions))
