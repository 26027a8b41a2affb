"""Whoever cancels a call goes on at once, at any moment, and the next run says what became of the one that was cut."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.sessions import runs, session
from aca_node_interpreter.sessions.runs import Run
from tests.engine import Engine
from tests.fault_proxy import FaultProxy
from tests.faults import HoldReply, Recycle

AT_ONCE = 1.0  # seconds
ENDLESS = "while (true);"
WAITS = "await new Promise(r => setTimeout(r, 1500)); globalThis.done = true"


@dataclass
class Bench:
    """A pool behind a proxy, and an executor with a slow disk of previews."""

    proxy: FaultProxy
    executor: NodeSessionsCodeExecutor

    def prepare(self, moment: str) -> str:
        """Have the next run be held up at a moment, and return its code."""
        if moment in ("download", "upload"):
            self.proxy.plan(HoldReply(3), kind="download" if moment == "download" else None)
        return {
            "loop": ENDLESS,
            "await": WAITS,
            "download": "fs.writeFileSync('/mnt/data/a.txt', 'x'); globalThis.done = true",
            "preview": "fs.writeFileSync('/mnt/data/a.slow', 'x'); globalThis.done = true",
        }.get(moment, "globalThis.done = true")


@pytest.fixture(scope="module")
def pool(isolation: Any) -> Iterator[Engine]:
    with Engine(isolation=isolation, max_sessions=2) as running:
        yield running


@pytest.fixture
def bench(pool: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    shown = runs.finished

    def slowly(outcome: Any, *args: Any, **kwargs: Any) -> Run:
        if any(artifact.name.endswith(".slow") for artifact in outcome.artifacts):
            time.sleep(3)
        return shown(outcome, *args, **kwargs)

    monkeypatch.setattr(session, "finished", slowly)
    with FaultProxy(pool) as proxy:
        with NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token, timeout=2) as executor:
            yield Bench(proxy, executor)


MOMENTS = ["loop", "await", "download", "preview"]
SAID = {
    "loop": "was stopped at its time limit",
    "await": "It went on and ended",
    "download": "",
    "preview": "",
}


async def cancelled_at_once(task: asyncio.Future[Any], after: float = 0.5) -> None:
    await asyncio.sleep(after)
    assert not task.done()
    task.cancel()
    began = time.monotonic()
    await asyncio.wait([task])
    assert time.monotonic() - began < AT_ONCE
    assert task.cancelled()


def check_goes_on(run: Run, moment: str) -> None:
    assert run.value == [1, moment != "loop"]
    assert SAID[moment] in run.text
    if moment in ("download", "preview"):
        # What came for nobody comes again.
        assert [artifact.name for artifact in run.artifacts] == ["a.txt" if moment == "download" else "a.slow"]
        return
    assert "kept its variables and files" in run.text


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_cancelled_task_goes_on_at_once(bench: Bench, moment: str) -> None:
    await bench.executor.aexecute("globalThis.kept = 1; globalThis.done = false")
    code = bench.prepare(moment)
    await cancelled_at_once(asyncio.ensure_future(bench.executor.aexecute(code)))
    check_goes_on(await bench.executor.aexecute("[kept, done]"), moment)


async def test_that_a_session_was_lost_is_told_after_who_found_it_out_was_cancelled(bench: Bench) -> None:
    await bench.executor.aexecute("globalThis.kept = 1")
    bench.proxy.plan(Recycle(), kind="execution")
    bench.proxy.plan(HoldReply(3), kind="list")
    await cancelled_at_once(asyncio.ensure_future(bench.executor.aexecute("1")))
    assert bench.proxy.planned == []
    assert "The session's variables are gone" in (await bench.executor.aexecute("typeof kept")).text


@pytest.mark.parametrize("moment", MOMENTS)
async def test_autogens_token_ends_a_run_at_once(bench: Bench, moment: str) -> None:
    await bench.executor.aexecute("globalThis.kept = 1; globalThis.done = false")
    token, code = CancellationToken(), bench.prepare(moment)
    blocks = [CodeBlock(code=code, language="javascript")]
    running = asyncio.ensure_future(bench.executor.execute_code_blocks(blocks, token))
    await asyncio.sleep(0.5)
    assert not running.done()
    token.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < AT_ONCE
    check_goes_on(await bench.executor.aexecute("[kept, done]"), moment)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_langchains_run_is_cancelled_at_once(bench: Bench, moment: str) -> None:
    await bench.executor.aexecute("globalThis.kept = 1; globalThis.done = false")
    code = bench.prepare(moment)
    await cancelled_at_once(asyncio.ensure_future(bench.executor.ainvoke({"code": code})))
    check_goes_on(await bench.executor.aexecute("[kept, done]"), moment)


@contextmanager
def interrupted(after: float) -> Iterator[None]:
    """See that Ctrl-C, so many seconds from now, ends what is done at once."""
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        yield
    assert time.monotonic() - sent[0] < AT_ONCE
    timer.join()


@pytest.mark.parametrize("moment", [*MOMENTS[:3], "upload"])
def test_ctrl_c_ends_a_blocking_call_at_once(bench: Bench, moment: str) -> None:
    bench.executor.execute("globalThis.kept = 1; globalThis.done = false")
    code = bench.prepare(moment)
    with interrupted(0.5):
        if moment == "upload":
            bench.executor.upload(b"x", name="b.txt")
        bench.executor.execute(code)
    if moment != "upload":
        check_goes_on(bench.executor.execute("[kept, done]"), moment)
    assert bench.executor.execute("kept").value == 1


async def test_waiting_is_cancelled_at_once(pool: Engine) -> None:
    limits: dict[str, Any] = {"token": pool.token, "timeout": 2}
    async with NodeSessionsCodeExecutor(pool.endpoint, max_concurrent_sessions=1, **limits) as executor:
        first = asyncio.ensure_future(executor.aexecute(WAITS))
        await asyncio.sleep(0.2)
        for_turn = asyncio.ensure_future(executor.aexecute("1"))
        for_place = asyncio.ensure_future(executor.aexecute("1", thread_id="a"))
        await cancelled_at_once(for_turn, 0.1)
        await cancelled_at_once(for_place, 0.1)
        assert (await first).value is True
        assert (await executor.aexecute("1", thread_id="a")).value == 1


@contextmanager
def full(pool: Engine) -> Iterator[None]:
    others = [SessionPoolClient(pool.endpoint, token=pool.token) for _ in range(2)]
    for other in others:
        other.execute("1")
    yield
    for other in others:
        other.delete_session()
        other.close()


async def test_waiting_for_a_full_pool_is_cancelled_at_once(pool: Engine) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        with full(pool):
            await cancelled_at_once(asyncio.ensure_future(executor.aexecute("1")))
        assert (await executor.aexecute("2")).value == 2


def test_ctrl_c_ends_waiting_for_a_full_pool_at_once(pool: Engine) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        with full(pool), interrupted(0.5):
            executor.execute("1")
        assert executor.execute("2").value == 2


async def test_the_start_of_the_embedded_pool_is_cancelled_at_once(isolation: Any) -> None:
    async with NodeSessionsCodeExecutor(isolation=isolation) as executor:
        await cancelled_at_once(asyncio.ensure_future(executor.aexecute("1")), 0.01)
        assert (await executor.aexecute("2")).value == 2


def test_ctrl_c_while_another_thread_runs_ends_only_what_waits(isolation: Any) -> None:
    with LocalPool(isolation=isolation) as pool:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, timeout=5) as executor:
            values: list[Any] = []
            other = threading.Thread(target=lambda: values.append(executor.execute(WAITS).value))
            other.start()
            time.sleep(0.3)
            with interrupted(0.3):
                executor.execute("1")
            other.join()
            assert values == [True]
            assert executor.execute("done").value is True
