"""Whose turn it is: in order, across threads and event loops, whoever gives up."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.running.turns import Turns


async def test_turns_come_in_order() -> None:
    turns, order = Turns(), []

    async def take(number: int) -> None:
        async with turns.taken_async():
            order.append(number)
            await asyncio.sleep(0.001)

    await asyncio.gather(*map(take, range(50)))
    assert order == list(range(50))


def test_threads_and_loops_share_them() -> None:
    turns = Turns()
    inside = most = 0

    def enter() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.0005)
        inside -= 1

    def in_thread(_: int) -> None:
        with turns.taken():
            enter()

    def in_loop(_: int) -> None:
        async def many() -> None:
            async def one() -> None:
                async with turns.taken_async():
                    enter()

            await asyncio.gather(*(one() for _ in range(10)))

        asyncio.run(many())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: (in_loop if n % 2 else in_thread)(n), range(60)))
    assert most == 1


async def test_who_gives_up_loses_nobody_the_turn() -> None:
    turns = Turns()

    async def wait() -> None:
        async with turns.taken_async():
            await asyncio.sleep(0)

    for delay in range(20):
        async with turns.taken_async():
            waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        for _ in range(delay % 5):
            await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 5)
        await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.wait_for(wait(), 5)


async def test_waiting_may_not_stop_the_loop_that_is_waited_for() -> None:
    turns = Turns()
    async with turns.taken_async():
        with pytest.raises(ConfigurationError, match="asynchronous"), turns.taken():
            pass


def test_only_who_finds_it_free_takes_it_at_once() -> None:
    turns = Turns()
    with turns.taken_if_free() as first, turns.taken_if_free() as second:
        assert (first, second) == (True, False)
    with turns.taken():
        done = threading.Event()

        def wait() -> None:
            with turns.taken():
                done.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not done.wait(0.05)
        with turns.taken_if_free() as third:
            assert not third
    assert done.wait(5)
    waiting.join()
