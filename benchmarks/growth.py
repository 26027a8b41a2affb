"""How cost grows: a quantity, the time at each size, and the slope of the last piece on logarithmic scales."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from benchmarks.driving import drive
from benchmarks.measuring import Times, seconds_of
from benchmarks.plots import plot
from benchmarks.report import Row, Table
from benchmarks.setting import Setting
from benchmarks.turn import SLOTS, distant

MOST_SLOPE = 1.1
"""1 is linear; the rest is what medians of few repetitions may be off."""
SECONDS = 3
"""What may be repeated within them, is."""


@dataclass(frozen=True)
class Quantity:
    """Something that may become large."""

    name: str
    """In the plot's file name."""
    title: str
    unit: str
    sizes: tuple[int, ...]
    measure: Callable[[Setting, int], Times]
    bends: str
    """Where the curve bends, and why, as far as profiling showed."""


def measure(setting: Setting) -> Iterator[Table]:
    """Measure each quantity."""
    rows = []
    for each in QUANTITIES:
        sizes = each.sizes[:2] if setting.short else each.sizes
        measured = {size: each.measure(setting, size) for size in sizes}
        file = f"growth-{each.name}.png"
        medians = {size: times.median for size, times in measured.items()}
        plot(setting.output / file, each.title, each.unit, medians)
        points = [_row(each, *point) for point in measured.items()]
        yield Table(f"Growth: {each.title}", each.bends, points, file)
        rows.append(_row_of_slope(each, medians))
    yield Table("Growth: the slopes", ABOUT, rows)


def _row_of_slope(quantity: Quantity, medians: dict[int, float]) -> Row:
    slope = slope_at_end(medians)
    return {"what": quantity.title, "slope at the end": slope, "at most": MOST_SLOPE, "limit": slope <= MOST_SLOPE}


def slope_at_end(seconds: dict[int, float]) -> float:
    """Return the slope between the two largest sizes on logarithmic scales: 1 is linear, 2 quadratic."""
    (before, shorter), (last, longer) = sorted(seconds.items())[-2:]
    return math.log(longer / shorter) / math.log(last / before)


def _row(quantity: Quantity, size: int, seconds: Times) -> Row:
    return {quantity.unit: size, **seconds.cells(), "µs for each": seconds.median * 1_000_000 / size}


def _repeated(setting: Setting, call: Callable[[], object]) -> Times:
    longest = seconds_of(call)
    count = setting.repetitions(max(3, min(30, int(SECONDS / longest))))
    return Times.of(seconds_of(call) for _ in range(count))


@contextmanager
def _executor(**settings: Any) -> Iterator[NodeSessionsCodeExecutor]:
    """Start a pool, and an executor with a session of its own."""
    with tempfile.TemporaryDirectory() as folder, LocalPool() as pool:
        options = {"artifacts_dir": folder, "timeout": 200, "deadline": 600, **settings}
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, **options) as executor:
            yield executor


def _run(setting: Setting, code: str) -> Times:
    with _executor() as executor:
        return _repeated(setting, lambda: _succeed(executor, code))


def _succeed(executor: NodeSessionsCodeExecutor, code: str, files: int | None = None) -> None:
    run = executor.execute(code)
    assert run.outcome == "ok", run.text
    assert files is None or len(run.artifacts) == files, run.text


def _output(setting: Setting, size: int) -> Times:
    line = "what a program prints in a line\\n"
    return _run(setting, f"process.stdout.write('{line}'.repeat({size // 32}))")


def _code(setting: Setting, size: int) -> Times:
    functions: list[str] = []
    while size > 0:
        number = len(functions)
        functions.append(f"function sum{number}(values) {{\n  return values.reduce((a, b) => a + b, {number})\n}}\n")
        size -= len(functions[-1])
    return _run(setting, "".join(functions))


def _writing(count: int) -> str:
    return f"""
for (let number = 0; number < {count}; number++)
  fs.writeFileSync(`/mnt/data/file-${{number}}.txt`, `${{number}} ${{Math.random()}}`)
"""


def _files_there(setting: Setting, count: int) -> Times:
    with _executor(max_artifacts=0) as executor:
        executor.execute(_writing(count))
        return _repeated(setting, lambda: _succeed(executor, "1+1", files=0))


def _files_made(setting: Setting, count: int) -> Times:
    with _executor(max_artifacts=count) as executor:
        return _repeated(setting, lambda: _succeed(executor, _writing(count), files=count))


def _sessions(setting: Setting, count: int) -> Times:
    with distant(0, slots=SLOTS) as pool:
        once = [drive(setting.environments, "ours:AsyncLangChain", "conversations", pool, count) for _ in range(3)]
    return Times.of(each["conversations"].median for each in once)


def _decades(least: int, most: int) -> tuple[int, ...]:
    """Return sizes from one to the other, three in each power of ten."""
    steps = [factor * 10**power for power in range(10) for factor in (1, 2, 5)]
    return tuple(size for size in steps if least <= size <= most)


QUANTITIES = (
    Quantity(
        "output",
        "bytes that a run prints",
        "bytes",
        _decades(1_000, 50_000_000)[::2],
        _output,
        "Flat until about 20 KB, where a run's fixed cost ends. From there most of it is ours, not the pool's or "
        "the network's: the text is looked through for base64 that a model must not read (`sessions/output.py`). "
        "What is longer than a model may read is also saved as an artifact.",
    ),
    Quantity(
        "code",
        "bytes of code",
        "bytes",
        _decades(1_000, 5_000_000),
        _code,
        "Flat until about 2 KB. From there three quarters of our own time are tree-sitter's parse; longer is what the "
        "session does for the functions that are declared, each of which outlives the run and may be declared again. "
        'Node.js alone (`mode="raw"`) takes a thirtieth of that.',
    ),
    Quantity(
        "files-there",
        "files in `/mnt/data` that a run leaves alone",
        "files",
        (1, 10, 100, 1000, 10_000),
        _files_there,
        "Flat until some hundred files. From there it is the session's look at each file, before and after the code, "
        "by which it knows what is new; our own part does not grow.",
    ),
    Quantity(
        "files-made",
        "files that a run makes, all brought here",
        "files",
        (1, 10, 100, 1000),
        _files_made,
        "Linear from the second file on: each is a download, eight at a time, and on one machine our client and the "
        "embedded pool share its processors. A run names at most 1,000 files, so that there is no larger size.",
    ),
    Quantity(
        "sessions",
        "conversations, 32 at a time, over a pool of 64",
        "conversations",
        (1, 10, 100, 300, 1000),
        _sessions,
        "Linear from the start, as the processors are busy with the first one; no conversation knows of the others.",
    ),
)

ABOUT = (
    "By the executor's own call on the embedded pool, over plain HTTP; the slope is that between the two largest "
    "sizes on logarithmic scales, 1 being linear and less being a cost that does not grow. A thousand sessions at a "
    "time would take about the memory of this machine: these are conversations, each with a session of its own that "
    "it ends, over a pool that is smaller and gives its processes out again."
)
