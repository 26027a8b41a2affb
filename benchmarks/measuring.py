"""What the benchmarks share: medians, and the table that they print."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """A figure beside the floor that it is measured against, both in seconds."""

    what: str
    seconds: float
    floor: str
    floor_seconds: float


def median(call: Callable[[], object], runs: int) -> float:
    """Return the median seconds of a call, after a warm-up."""
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def show(rows: Sequence[Row]) -> None:
    """Print the rows; on another machine only the ratios mean something."""
    table = Table("what", "median ms", "floor", "its median ms", "ratio")
    for row in rows:
        figures = (f"{row.seconds * 1000:.2f}", row.floor, f"{row.floor_seconds * 1000:.2f}")
        table.add_row(row.what, *figures, f"{row.seconds / row.floor_seconds:.2f}")
    Console().print(table)
