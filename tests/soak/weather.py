"""The faults of the soak: some in the pool by chance, some in a proxy before it, a new one every moment."""

from __future__ import annotations

import random
import threading

from aca_node_interpreter.local import faults as pool_faults
from aca_node_interpreter.local.faults import CallName
from aca_node_interpreter.local.faults import Fault as PoolFault
from tests import faults
from tests.fault_proxy import Fault, FaultProxy, Kind

_KINDS: tuple[Kind, ...] = ("execution", "execution", "execution", "download", "upload", "list", "session")
_JSON: tuple[CallName, ...] = ("execute", "get_execution", "upload", "list_files", "delete_session")
_MOST_PLANNED = 2


def of_pool(chance: random.Random) -> list[PoolFault]:
    """Return the faults that a pool has in one stretch of bad weather."""
    seed = chance.randrange(1_000_000)
    every = [
        pool_faults.DropLastLine(probability=0.05, seed=seed),
        pool_faults.CutStreams(probability=0.05, seed=seed),
        pool_faults.Refuse(429, retry_after=1, probability=0.02, seed=seed),
        pool_faults.Refuse(500, at="after", probability=0.01, seed=seed),
        pool_faults.Refuse(503, at="after", probability=0.02, seed=seed),
        pool_faults.Refuse(403, probability=0.005, seed=seed),
        # Not of downloads: `download` knows neither a file's size nor its hash beforehand.
        pool_faults.WrongContentType("after", on=_JSON, probability=0.01, seed=seed),
        pool_faults.HalfBody(on=_JSON, probability=0.02, seed=seed),
        pool_faults.Reset("before", probability=0.01, seed=seed),
        pool_faults.Reset("after", probability=0.02, seed=seed),
        pool_faults.Reset("reply", probability=0.02, seed=seed),
        pool_faults.Stall(0.3, at="before", probability=0.03, seed=seed),
        pool_faults.Stall(0.3, at="reply", probability=0.03, seed=seed),
        pool_faults.Recycle(on="execute", probability=0.02, seed=seed),
        pool_faults.Recycle(on=("upload", "download", "list_files"), probability=0.02, seed=seed),
        pool_faults.RestartNode(on="execute", probability=0.02, seed=seed),
        pool_faults.SlowAllocation(0.3, probability=0.1, seed=seed),
    ]
    return chance.sample(every, 8)


def of_proxy(chance: random.Random) -> Fault:
    """Return what becomes of one request."""
    return chance.choice(
        (
            faults.ResetBeforeForward(),
            faults.ResetDuringRequest(chance.randint(0, 200)),
            faults.Answer(503),
            faults.ResetBeforeReply(),
            faults.ForwardThenAnswer(502),
            faults.CutReply(chance.randint(0, 2000)),
            faults.CutReply(-1),
            faults.CutReply(chance.randint(0, 2000), "chunks"),
            faults.CutStreams(),
            faults.LoseLastLine(),
            faults.Hold(chance.uniform(0, 1)),
            faults.HoldReply(chance.uniform(0, 1)),
            faults.Duplicate(),
            faults.ForwardLate(chance.randint(0, 2)),
            faults.Recycle(),
            faults.RefuseNext(chance.uniform(0, 0.3)),
        )
    )


class Weather:
    """Bad weather as long as the block lasts."""

    def __init__(self, proxy: FaultProxy, seed: int) -> None:
        self._proxy = proxy
        self._chance = random.Random(seed)
        self._stopping = threading.Event()

    def __enter__(self) -> None:
        self._stopping.clear()
        self._proxy.pool.faults.add(*of_pool(self._chance))
        self._thread = threading.Thread(target=self._go_on, name="weather")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._proxy.pool.faults.clear()
        self._proxy.forget()
        self._proxy.refuse(0)

    def _go_on(self) -> None:
        while not self._stopping.wait(self._chance.uniform(0, 0.4)):
            if len(self._proxy.planned) < _MOST_PLANNED:
                kind = self._chance.choice(_KINDS)
                self._proxy.plan(of_proxy(self._chance), kind=kind, skip=self._chance.randint(0, 3))
