"""More conversations than the pool has sessions: all finish, each with its own state or told that it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import ConfigurationError, DeadlineExceededError, PoolFullError
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.sessions.runs import Run

SESSIONS = 5
COUNT = "globalThis.count = (globalThis.count ?? 0) + 1; globalThis.who ??= '{0}'; [who, count]"


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(max_sessions=SESSIONS, ready_sessions=2) as running:
        yield running


def sessions(pool: LocalPool) -> int:
    with SessionPoolClient(pool.endpoint, token=pool.token) as client:
        return len(client.list_sessions())


def executor(pool: LocalPool, **settings: Any) -> NodeSessionsCodeExecutor:
    return NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, **settings)


def check(name: str, runs: list[Run]) -> int:
    """See that a conversation had its own state, or was told that it was gone; return how often it was."""
    count = recycled = 0
    for run in runs:
        was_given_back = any("given back" in note for note in run.notes)
        recycled += was_given_back
        count = 1 if was_given_back else count + 1
        assert run.value == [name, count]
    return recycled


@pytest.mark.parametrize("most", [SESSIONS, 3, None], ids=["as-many", "fewer", "learned"])
async def test_many_conversations_over_few_sessions_finish(pool: LocalPool, most: int | None) -> None:
    async with executor(pool, max_concurrent_sessions=most) as shared:

        async def talk(name: str) -> int:
            runs = [await shared.aexecute(COUNT.format(name), thread_id=name) for _ in range(3)]
            return check(name, runs)

        names = [f"user-{number}" for number in range(60)]
        recycled = await asyncio.gather(*map(talk, names))
        assert sum(recycled) > 0
        assert sessions(pool) <= (most or SESSIONS)
    assert sessions(pool) == 0


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("most", [SESSIONS, None], ids=["limited", "learned"])
async def test_a_thousand_conversations_over_five_sessions_finish(pool: LocalPool, most: int | None) -> None:
    async with executor(pool, max_concurrent_sessions=most) as shared:

        async def talk(name: str) -> int:
            return check(name, [await shared.aexecute(COUNT.format(name), thread_id=name) for _ in range(2)])

        await asyncio.gather(*(talk(f"user-{number}") for number in range(1000)))
    assert sessions(pool) == 0


def test_threads_and_event_loops_share_the_places(pool: LocalPool) -> None:
    with executor(pool, max_concurrent_sessions=3) as shared:

        async def loop(name: str) -> list[Run]:
            return [await shared.aexecute(COUNT.format(name), thread_id=name) for _ in range(4)]

        def talk(number: int) -> int:
            name = f"user-{number}"
            if number % 2:
                return check(name, asyncio.run(loop(name)))
            return check(name, [shared.execute(COUNT.format(name), thread_id=name) for _ in range(4)])

        with ThreadPoolExecutor(12) as threads:
            list(threads.map(talk, range(24)))
        assert sessions(pool) <= 3
    assert sessions(pool) == 0


def test_the_least_recently_used_is_given_back(pool: LocalPool) -> None:
    with executor(pool, max_concurrent_sessions=3) as shared:
        for name in "abc":
            shared.execute("var me = 1", thread_id=name)
        shared.execute("me", thread_id="a")
        shared.execute("1", thread_id="d")
        assert [shared.execute("typeof me", thread_id=name).value for name in "ac"] == ["number", "number"]
        lost = shared.execute("typeof me", thread_id="b")
        assert lost.value == "undefined"
        assert "given back" in lost.text
        assert sessions(pool) == 3


def test_a_session_that_was_passed_in_makes_room_and_stays(pool: LocalPool) -> None:
    with SessionPoolClient(pool.endpoint, token=pool.token) as owner:
        settings = {"max_concurrent_sessions": 1, "timeout": 2, "deadline": 10, "rehydrate": True}
        with executor(pool, session_id=owner.session_id, **settings) as shared:
            shared.upload(b"mine", name="in.txt")
            shared.execute("var me = 1")
            for count in range(1, 3):
                assert shared.execute(COUNT.format("a"), thread_id="a").value == ["a", 1]
                run = shared.execute("[me++, fs.readFileSync('in.txt', 'utf8')]")
                assert (run.value, run.notes) == ([count, "mine"], ())
            assert shared._runner._conversations.places.held == 1
        assert sessions(pool) == 1
        owner.delete_session()


def test_that_a_session_was_given_back_is_told_however_late(pool: LocalPool) -> None:
    with executor(pool, max_concurrent_sessions=1, rehydrate=True) as shared:
        shared.upload(b"a", name="in.txt", thread_id="a")
        shared.execute("var me = 1", thread_id="a")
        for _ in range(2):
            shared.execute("1", thread_id="b")
            # It has a place, and no session begins for it.
            assert shared.execute("enum Refused { A }", thread_id="a").exit_code == 1
        shared.execute("1", thread_id="b")
        told = shared.execute("[typeof me, fs.readFileSync('in.txt', 'utf8')]", thread_id="a")
        assert told.value == ["undefined", "a"]
        assert "given back" in told.text


async def test_a_session_in_use_is_never_given_back_and_the_deadline_ends_the_wait(pool: LocalPool) -> None:
    settings = {"max_concurrent_sessions": 1, "timeout": 1, "deadline": 8}
    async with executor(pool, **settings) as shared:
        slow = asyncio.ensure_future(shared.aexecute("await new Promise(r => setTimeout(r, 600)); 1", thread_id="a"))
        await asyncio.sleep(0.2)
        with pytest.raises(ConfigurationError, match="asynchronous"):
            shared.execute("2", thread_id="b")
        waits = asyncio.ensure_future(shared.aexecute("2", thread_id="b"))
        cancelled = asyncio.ensure_future(shared.aexecute("3", thread_id="c"))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        assert (await slow).value == 1
        assert (await waits).value == 2
    async with executor(pool, max_concurrent_sessions=1, timeout=3, deadline=3.5) as shared:
        slow = asyncio.ensure_future(shared.aexecute("await new Promise(r => setTimeout(r, 9000)); 1", thread_id="a"))
        await asyncio.sleep(0.2)
        with pytest.raises(DeadlineExceededError, match="Nothing ran") as caught:
            await shared.aexecute("2", thread_id="b")
        assert caught.value.ran is False
        slow.cancel()


def test_a_pool_that_others_fill_is_waited_for(pool: LocalPool) -> None:
    others = [SessionPoolClient(pool.endpoint, token=pool.token) for _ in range(SESSIONS)]
    try:
        for other in others:
            other.execute("1")
        with executor(pool, timeout=2, deadline=8) as shared:
            with ThreadPoolExecutor(1) as threads:
                run = threads.submit(shared.execute, "1", thread_id="a")
                time.sleep(0.8)
                assert not run.done()
                others[0].delete_session()
                assert run.result(8).value == 1
        others[0].execute("1")
        with executor(pool, timeout=1, deadline=2) as shared:
            with pytest.raises((PoolFullError, DeadlineExceededError), match=r"sessions|deadline"):
                shared.execute("1")
    finally:
        for other in others:
            other.delete_session()
            other.close()


@contextmanager
def full(pool: LocalPool) -> Iterator[None]:
    others = [SessionPoolClient(pool.endpoint, token=pool.token) for _ in range(SESSIONS)]
    for other in others:
        other.execute("1")
    try:
        yield
    finally:
        for other in others:
            other.delete_session()
            other.close()


@pytest.mark.parametrize("is_async", [False, True])
async def test_files_that_go_side_by_side_into_a_full_pool_take_one_place(
    pool: LocalPool, tmp_path: Path, is_async: bool
) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("x")
    async with executor(pool) as shared:
        with full(pool):
            call = (
                shared.aupload(tmp_path, thread_id="a")
                if is_async
                else asyncio.to_thread(shared.upload, tmp_path, thread_id="a")
            )
            uploading = asyncio.ensure_future(call)
            await asyncio.sleep(0.8)
            assert not uploading.done()
        assert len(await uploading) == 6
        places = shared._runner._conversations.places
        assert (places.held, places.waiting) == (1, 0)


def test_ctrl_c_ends_all_files_that_wait_for_a_full_pool(pool: LocalPool, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x")
    with executor(pool) as shared, full(pool):
        places = shared._runner._conversations.places
        first, others = places.queued(), set(threading.enumerate())

        def interrupt() -> None:
            places.refused(first)
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.5, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            shared.upload(tmp_path, thread_id="a")
        for left in set(threading.enumerate()) - others:
            left.join(5)
            assert not left.is_alive()
        assert (places.held, places.waiting) == (0, 1)


async def test_who_is_cancelled_at_any_moment_leaves_no_session_behind(pool: LocalPool) -> None:
    async with executor(pool, max_concurrent_sessions=1) as shared:
        for steps in range(1, 8):
            await shared.aexecute("1", thread_id="a")
            cancelled = asyncio.ensure_future(shared.aexecute("1", thread_id="b"))
            for _ in range(steps):
                await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            await shared.aclose("b")
        ended = asyncio.ensure_future(shared.aclose("a"))
        await asyncio.sleep(0)
        ended.cancel()
        for _ in range(100):
            if sessions(pool) == 0:
                break
            await asyncio.sleep(0.05)
        assert sessions(pool) == 0


async def test_closing_ends_those_that_wait(pool: LocalPool) -> None:
    shared = executor(pool, max_concurrent_sessions=1)
    slow = asyncio.ensure_future(shared.aexecute("await new Promise(r => setTimeout(r, 5000)); 1", thread_id="a"))
    await asyncio.sleep(0.3)
    waits = [asyncio.ensure_future(shared.aexecute("2", thread_id=name)) for name in "bcd"]
    await asyncio.sleep(0.1)
    await shared.aclose()
    outcomes = await asyncio.wait_for(asyncio.gather(slow, *waits, return_exceptions=True), 10)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    for _ in range(50):
        if sessions(pool) == 0:
            break
        await asyncio.sleep(0.1)
    assert sessions(pool) == 0


def test_uploads_wait_for_room_and_are_put_back(pool: LocalPool) -> None:
    with executor(pool, max_concurrent_sessions=2, rehydrate=True) as shared:
        for name in "abcd":
            shared.upload(name.encode(), name="in.txt", thread_id=name)
        for name in "abcd":
            read = shared.execute("fs.readFileSync('in.txt', 'utf8')", thread_id=name)
            assert read.value == name
        assert sessions(pool) <= 2


@pytest.mark.parametrize("bad", [{"max_concurrent_sessions": 0}, {"deadline": 60}, {"deadline": 0}])
def test_what_can_not_work_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"deadline|max_concurrent_sessions"):
        NodeSessionsCodeExecutor("http://127.0.0.1:1", token="t", **bad)
