"""The rounds of the soak: load in bad weather, then calm, in which nothing may be lost, and then nothing may stand."""

from __future__ import annotations

import tempfile
import time
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.rest.client import SessionPoolClient
from tests.engine import Engine
from tests.fault_proxy import FaultProxy
from tests.soak import code, faces
from tests.soak.ledger import Conversation, Ledger
from tests.soak.load import Load
from tests.soak.standing import Standing, growth, look
from tests.soak.weather import Weather

SESSIONS = 6
# Fewer places than conversations; short limits, so that much happens.
_EXECUTORS: tuple[tuple[int, dict[str, Any]], ...] = (
    (9, {"max_concurrent_sessions": 3, "timeout": 2, "deadline": 90}),
    (4, {"max_concurrent_sessions": 2, "timeout": 1, "deadline": 7, "idle_seconds": 2, "rehydrate": True}),
    (3, {"timeout": 2, "deadline": 60, "api_version": "2024-10-02-preview"}),
)
_WARM_UP = 3
"""Rounds after which memory and threads are as they stay."""
_AT_A_TIME = 4
_STILL_SECONDS = 20.0
# What differs from round to round with nothing growing, and by how much.
_SIZES = {
    "blocks": ("blocks of memory", 10_000),
    "allocated": ("bytes allocated", 2 * 2**20),
    "memory": ("bytes of memory", 32 * 2**20),
    "children_memory": ("bytes of memory below this process", 8 * 2**20),
}
# Of the engine's event loop: they come and go.
_WORKERS, _NOISE_WORKERS = "AnyIO worker thread", 4


@dataclass
class Rounds:
    """The rounds on one engine.

    Args:
        engine: the pool, that runs, with at most `SESSIONS`.
        scratch: the directory for temporary files.
        seed: where chance starts.
        say: takes lines about how it goes.
    """

    engine: Engine
    scratch: Path
    seed: int
    say: Callable[[str], None] = print
    ledger: Ledger = field(default_factory=Ledger)
    rounds: int = field(default=0, init=False)
    settled: Standing | None = field(default=None, init=False)
    """What stood after the warm-up."""

    def __post_init__(self) -> None:
        # The soak itself is not to grow either, or hardly.
        self._sizes = {name: array("d") for name in _SIZES}

    def go_on(self, minutes: float, *, seconds: float = 15) -> None:
        """Do rounds, each of so many seconds and a calm, for so many minutes."""
        end = time.monotonic() + 60 * minutes
        with FaultProxy(self.engine) as proxy:
            self._port = urlsplit(proxy.endpoint).port or 0
            weather = Weather(proxy, self.seed)
            executors = [NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token, **each) for _, each in _EXECUTORS]
            talks = [
                Conversation(executor, f"{group}-{number}" if number else None, self.ledger)
                for group, (executor, (count, _)) in enumerate(zip(executors, _EXECUTORS, strict=True))
                for number in range(count)
            ]

            def neighbour() -> NodeSessionsCodeExecutor:
                return NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token, timeout=1, deadline=8)

            load = Load(talks, self.ledger, neighbour, self.seed)
            while self.rounds <= _WARM_UP or time.monotonic() < end:
                with weather:
                    load.go_on(seconds)
                self._calm(talks)
                for executor in executors:
                    executor.close()
                for talk in talks:
                    talk.forget()
                self.ledger.forget()
                self._stand()

    def problems(self) -> list[str]:
        """Return what must not be."""
        found = list(self.ledger.violations)
        first, last = self.settled, self._last
        assert first is not None
        threads, descriptors = last.threads - first.threads, last.descriptors - first.descriptors
        if threads[_WORKERS] <= _NOISE_WORKERS:
            del threads[_WORKERS]
        found += (f"{count} more threads: {name}" for name, count in threads.items())
        found += (f"{count} more descriptors: {name}" for name, count in descriptors.items())
        if set(last.files) - set(first.files):
            found.append(f"temporary files: {sorted(set(last.files) - set(first.files))}")
        if last.processes > first.processes:
            found.append(f"{last.processes - first.processes} more processes")
        if last.close_wait:
            found.append(f"{last.close_wait} sockets in CLOSE_WAIT")
        for name, (what, noise) in _SIZES.items():
            grown = growth(self._sizes[name])
            if grown > noise:
                found.append(f"{grown:,.0f} more {what} in {self.rounds} rounds")
        return found

    def _calm(self, talks: list[Conversation]) -> None:
        """See that each conversation's state is what it must be, now that nothing goes wrong, and end it."""

        def see(talk: Conversation) -> None:
            number = self.ledger.number()
            try:
                talk.succeeded(number, faces.of_run(talk.executor.execute(code.whole(number), thread_id=talk.name)))
            except AcaNodeError as error:
                # What was under way when the weather changed may end late.
                talk.failed(number, error)
                self.ledger.count("failed in the calm")
                self.say(f"{talk.name}: {type(error).__name__}: {error}")
            with talk.closing():
                if talk.name is not None:
                    talk.executor.close(talk.name)

        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            list(threads.map(see, talks))

    def _stand(self) -> None:
        """Wait until nothing goes on, and note what stands."""
        deadline = time.monotonic() + _STILL_SECONDS
        while True:
            now = look(self.scratch, self._port)
            expected = self.settled
            more = expected is not None and (
                now.threads - expected.threads or now.descriptors - expected.descriptors or now.files != expected.files
            )
            if (self._sessions() == 0 and not more) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if self._sessions():
            self.ledger.violated(f"{self._sessions()} sessions are left")
        self.rounds += 1
        self._last = now
        if self.rounds > _WARM_UP:
            self.settled = self.settled or now
            for name, sizes in self._sizes.items():
                sizes.append(getattr(now, name))
        happened = sum(self.ledger.happened.values())
        self.say(f"round {self.rounds}: {happened} things, {len(self.ledger.violations)} violations, {now}")

    def _sessions(self) -> int:
        with SessionPoolClient(self.engine.endpoint, token=self.engine.token) as client:
            return len(client.list_sessions())


def in_scratch(scratch: Path) -> None:
    """Have temporary files be made in a directory of their own."""
    tempfile.tempdir = str(scratch)
