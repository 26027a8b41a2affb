"""What a turn costs on the embedded pool, as ratios within one run: `python -m benchmarks.turn [RUNS]`.

Each row is measured against the floor that it names; the median of RUNS (default 200) is shown. On another machine only
the ratios mean something.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx

from aca_node_interpreter import AsyncSessionPoolClient, LocalPool, NodeSessionsCodeExecutor, SessionPoolClient
from aca_node_interpreter.local.node import find_node
from benchmarks.measuring import Row, median, show

PARAMETERS = {"api-version": "2025-10-02-preview", "identifier": "benchmark"}
BODY = {"code": "1+1", "timeoutInSeconds": 10}


def importing(module: str) -> Callable[[], object]:
    """Return a call that imports a module in a fresh interpreter."""
    return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def measure(runs: int) -> list[Row]:
    """Measure each figure against its floor."""
    few = max(3, runs // 20)
    with LocalPool() as pool:
        headers = {"Authorization": f"Bearer {pool.token}"}
        with httpx.Client(base_url=pool.endpoint, headers=headers, params=PARAMETERS) as http:
            bare = median(lambda: http.post("/executions", json=BODY).raise_for_status(), runs)
        with SessionPoolClient(pool.endpoint, token=pool.token) as client:
            sync = median(lambda: client.execute("1+1"), runs)
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
            face = median(lambda: executor.invoke({"code": "1+1"}), runs)
            managed = median(lambda: executor.execute("1+1"), runs)
        bare_async, asynchronous = asyncio.run(_measure_async(pool, headers, runs))

        def first_result() -> None:
            with SessionPoolClient(pool.endpoint, token=pool.token) as new:
                new.execute("1+1")
                new.delete_session()

        new_session = median(first_result, few)
    node = str(find_node(None).executable)
    process = median(lambda: subprocess.run([node, "-e", ""], check=True), few)
    root = median(importing("aca_node_interpreter"), few)
    return [
        Row("client, warm run", sync, "bare httpx, kept connection", bare),
        Row("managed run", managed, "client, warm run (raw)", sync),
        Row("LangChain face, managed run", face, "bare httpx, kept connection", bare),
        Row("async client, warm run", asynchronous, "bare async httpx, kept connection", bare_async),
        Row("new session, first result, deletion", new_session, "node -e ''", process),
        Row("import aca_node_interpreter", root, "import httpx", median(importing("httpx"), few)),
    ]


async def _measure_async(pool: LocalPool, headers: dict[str, str], runs: int) -> tuple[float, float]:
    """Return the medians of a bare call and of our client."""
    async with httpx.AsyncClient(base_url=pool.endpoint, headers=headers, params=PARAMETERS) as http:
        bare = await _median_async(lambda: http.post("/executions", json=BODY), runs)
    async with AsyncSessionPoolClient(pool.endpoint, token=pool.token) as client:
        return bare, await _median_async(lambda: client.execute("1+1"), runs)


async def _median_async(call: Callable[[], Awaitable[object]], runs: int) -> float:
    await call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
