"""What each face adds to a bare call when there is no distance, beside the peer of the same framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aca_node_interpreter import LocalPool
from benchmarks.distance import FarPool
from benchmarks.driving import FailedError, drive, name_of
from benchmarks.environments import NotInstalledError
from benchmarks.report import Cell, Row, Table
from benchmarks.setting import Setting
from benchmarks.turn import distant

PEER_OF = {
    "ours:AutoGen": "autogen_ext:Conversation",
    "ours:LangChain": "langchain_azure:Conversation",
    "ours:AsyncLangChain": "langchain_azure:Conversation",
}
LIMIT = 1.5
REPETITIONS = 300


def measure(setting: Setting) -> Iterator[Table]:
    """Measure each face over TLS, as the peers, and over plain HTTP, where a bare call is cheapest."""
    with distant(0) as far, LocalPool() as near:
        plain = replace(far, endpoint=near.endpoint, token=near.token)
        beside = {peer: ratio(setting, peer, far) for peer in dict.fromkeys(PEER_OF.values())}
        rows = [
            row(setting, client, server, pool, peer, beside[peer])
            for server, pool in (("TLS", far), ("plain HTTP", plain))
            for client, peer in PEER_OF.items()
        ]
    yield Table("Overhead at no distance", ABOUT, rows)


def ratio(setting: Setting, client: str, pool: FarPool) -> tuple[float, float] | str:
    """Return the medians of a run and of a bare call, or why there are none."""
    try:
        seconds = drive(setting.environments, client, "run", pool, setting.repetitions(REPETITIONS))
    except NotInstalledError as reason:
        return f"not installed: {reason}"
    except FailedError as reason:
        return f"failed: {reason}"
    return seconds["run"].median, seconds["bare"].median


def row(setting: Setting, client: str, server: str, pool: FarPool, peer: str, beside: tuple[float, float] | str) -> Row:
    """Return a face's row."""
    measured = ratio(setting, client, pool)
    assert not isinstance(measured, str), measured
    run, bare = measured
    cells: dict[str, Cell] = {
        "client": name_of(client),
        "server": server,
        "median ms": run * 1000,
        "bare call ms": bare * 1000,
        "ratio": run / bare,
        "at most": LIMIT,
        "limit": run / bare <= LIMIT,
        "peer, over TLS": name_of(peer),
    }
    if isinstance(beside, str):
        return {**cells, "note": beside}
    theirs = beside[0] / beside[1]
    return {**cells, "its ratio": theirs, "lower than the peer's": run / bare < theirs}


ABOUT = (
    "Each client beside a bare call of its own HTTP library on a kept connection, in turns in one process: `httpx` "
    "for ours, `aiohttp` for AutoGen's peer, `requests` for LangChain's, which has no asynchronous call of its own."
)
