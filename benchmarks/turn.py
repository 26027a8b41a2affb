"""The turn that an agent's developer waits for, ours beside the peers', against one server at several distances."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aca_node_interpreter import LocalPool
from benchmarks.distance import FarPool, far_pool
from benchmarks.driving import OURS, THEIRS, FailedError, drive, name_of
from benchmarks.environments import NotInstalledError
from benchmarks.measuring import Times
from benchmarks.report import Cell, Row, Table
from benchmarks.setting import Setting

DISTANCES = (0, 40, 150)  # milliseconds, there and back
CONVERSATIONS = 200
SLOTS = 64

REPETITIONS = {
    "run": (200, 30, 12),
    "first": (12, 10, 6),
    "started": (12, 10, 6),
    "bring": (20, 8, 4),
    "upload": (10, 3, 2),
}
"""How often each scenario is repeated at each distance; the slower, the fewer."""

SCENARIOS = {
    "run": "a run, no files",
    "first": "the first run of a new session, by a program without a connection",
    "started": "the same after `start()`, which opened the connection",
    "bring": "a run that writes 5 files of 100 KB, all brought here",
    "upload": "an upload of 20 small files, then a run",
}

ROUND_TRIPS = {"first": 3.1, "started": 1.1, "bring": 2.2, "upload": 4.0}
"""What the goal allows, beyond what the same takes at no distance."""


@dataclass
class Turns:
    """What was measured, by scenario, distance in milliseconds and client: the seconds, or why there are none."""

    measured: dict[tuple[str, int, str], dict[str, Times] | str] = field(default_factory=dict)

    def of(self, scenario: str, distance: int, client: str, what: str = "") -> Times | None:
        """Return the seconds of a scenario, or of something else that was measured with it."""
        found = self.measured.get((scenario, distance, client))
        return found[what or RESULTS.get(scenario, scenario)] if isinstance(found, dict) else None

    def best_peer(self, scenario: str, distance: int) -> float | None:
        """Return the seconds of the peer that is fastest."""
        theirs = [self.of(scenario, distance, client) for client in THEIRS]
        return min((each.median for each in theirs if each), default=None)

    def take(self, setting: Setting, scenario: str, distance: int, pool: FarPool, count: int) -> None:
        """Have every client go through a scenario."""
        # Only ours has a call that opens the connection.
        clients = [each for each in (*OURS, *THEIRS) if scenario != "started" or each in CAN_START]
        for client in clients:
            try:
                seconds: dict[str, Times] | str = drive(setting.environments, client, scenario, pool, count)
            except NotInstalledError as reason:
                seconds = f"not installed: {reason}"
            except FailedError as reason:
                seconds = f"failed: {reason}"
            self.measured[scenario, distance, client] = seconds


RESULTS = {"started": "first"}
"""What a scenario calls its seconds, where that is not its name."""
CAN_START = ("ours:AutoGen", "ours:AsyncLangChain")


def measure(setting: Setting) -> Iterator[Table]:
    """Measure the turn."""
    turns = Turns()
    for place, distance in enumerate(DISTANCES[:1] if setting.short else DISTANCES):
        with distant(distance) as pool:
            for scenario, counts in REPETITIONS.items():
                turns.take(setting, scenario, distance, pool, setting.repetitions(counts[place]))
        with distant(distance, slots=SLOTS) as pool:
            # Whoever came first would pay for every session's first code.
            drive(setting.environments, OURS[0], "conversations", pool, setting.repetitions(2 * SLOTS))
            turns.take(setting, "conversations", distance, pool, setting.repetitions(CONVERSATIONS))
    for scenario, title in SCENARIOS.items():
        rows = [row(turns, *key) for key in turns.measured if key[0] == scenario]
        yield Table(f"The turn: {title}", ABOUT[scenario], rows)
    keys = [key for key in turns.measured if key[0] == "conversations"]
    rows = [row_of_conversations(turns, *key, setting.repetitions(CONVERSATIONS)) for key in keys]
    yield Table(f"The turn: {CONVERSATIONS} conversations, 32 at a time, over a pool of {SLOTS}", ABOUT_MANY, rows)


@contextmanager
def distant(distance: int, slots: int = 0) -> Iterator[FarPool]:
    """Start a pool and put a distance, in milliseconds, in front of it."""
    # With sessions enough that nobody waits for Node.js to start; sessions that nobody ended do not stay for long.
    pool = LocalPool(max_sessions=200, ready_sessions=slots or 12, cooldown=300 if slots else 20)
    with (
        tempfile.TemporaryDirectory() as folder,
        pool,
        far_pool(pool, Path(folder), round_trip=distance / 1000, slots=slots) as far,
    ):
        yield far


def row(turns: Turns, scenario: str, distance: int, client: str) -> Row:
    """Return a client's row."""
    seconds = turns.of(scenario, distance, client)
    cells: dict[str, Cell] = {"round trip ms": distance, "client": name_of(client)}
    if seconds is None:
        return {**cells, "note": str(turns.measured[scenario, distance, client])}
    cells.update(seconds.cells())
    if distance:
        cells["round trips"] = seconds.median * 1000 / distance
    if scenario == "run" and (bare := turns.of(scenario, distance, client, "bare")):
        cells["bare call ms"] = bare.median * 1000
        cells["ratio to the bare call"] = seconds.median / bare.median
    if client in OURS:
        if best := turns.best_peer(scenario, distance):
            cells["ratio to the best peer"] = seconds.median / best
        if most := limit(turns, scenario, distance, client):
            cells["limit ms"] = most * 1000
            cells["limit"] = seconds.median <= most
    return cells


def limit(turns: Turns, scenario: str, distance: int, client: str) -> float | None:
    """Return the seconds that the goal allows us, if it has an opinion."""
    if scenario == "run":
        bare = turns.of("run", distance, client, "bare")
        return bare.median * (1.1 if distance else 1.5) if bare else None
    near = turns.of(scenario, 0, client)
    return near.median + ROUND_TRIPS[scenario] * distance / 1000 if near and distance else None


def row_of_conversations(turns: Turns, scenario: str, distance: int, client: str, count: int) -> Row:
    """Return a client's row of many conversations."""
    seconds = turns.of(scenario, distance, client)
    cells: dict[str, Cell] = {"round trip ms": distance, "client": name_of(client)}
    if seconds is None:
        return {**cells, "note": str(turns.measured[scenario, distance, client])}
    cells.update({"seconds": seconds.median, "conversations a second": count / seconds.median})
    best = turns.best_peer(scenario, distance)
    if client in OURS and best:
        ratio = best / seconds.median
        cells["times the best peer's throughput"] = ratio
        if distance == 40:
            cells.update({"at least": 2.5, "limit": ratio >= 2.5})
    return cells


_FILES = "The limit is what the same takes at no distance, which is the transfer and the work, and {} round trips more."
_FIRST = "The limit is what the same takes at no distance, a session's begin included, and 1.1 round trips more{}."
ABOUT = {
    "run": "The bare call goes the same way in the same process, in turns with the run, by the client's own HTTP "
    "library on a kept connection. The limit is 1.1 times its median, at no distance 1.5 times.",
    "first": _FIRST.format(", and 2 for the connection"),
    "started": _FIRST.format(""),
    "bring": _FILES.format(2.2),
    "upload": _FILES.format(4),
}
ABOUT_MANY = (
    "Each conversation makes its client, runs code once in a session of its own, and ends it where the client has a "
    "call for that. LangChain's tool of ours is one object for all, as it is meant to be used. The limit is for 40 "
    "ms."
)
