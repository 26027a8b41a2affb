"""Who has a place in the pool: in order, never more than there are, whoever gives up."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aca_node_interpreter.errors import DeadlineExceededError
from aca_node_interpreter.rest.patience import NEVER, Deadline
from aca_node_interpreter.rest.waiting import wait_for, wait_for_async
from aca_node_interpreter.running import places as module
from aca_node_interpreter.running.places import Places


def test_they_are_given_out_in_order() -> None:
    places = Places(2)
    asked = [places.queued() for _ in range(5)]
    assert [place.done() for place in asked] == [True, True, False, False, False]
    for first in range(3):
        places.leave()
        assert [place.done() for place in asked] == [number < first + 3 for number in range(5)]
    assert not places.are_wanted


def test_without_a_limit_there_are_as_many_as_in_the_largest_pool() -> None:
    places = Places(None)
    assert all(places.queued().done() for _ in range(600))
    assert not places.queued().done()


def test_who_gives_up_takes_nobodys_place() -> None:
    places = Places(1)
    first, second, third = (places.queued() for _ in range(3))
    places.give_up(second)
    places.give_up(first)
    assert third.done()
    assert second.cancelled()
    places.leave()
    assert places.queued().done()


def test_never_more_than_there_are_by_threads_and_loops() -> None:
    places, state = Places(3), threading.Lock()
    inside = most = 0

    def change(by: int) -> None:
        nonlocal inside, most
        with state:
            inside += by
            most = max(most, inside)

    async def one(chance: random.Random) -> None:
        assert await wait_for_async(places.queued(), 30)
        change(1)
        await asyncio.sleep(chance.random() / 1000)
        change(-1)
        places.leave()

    def some(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # any order will do
        if seed % 2:

            async def many() -> None:
                await asyncio.gather(*(one(chance) for _ in range(20)))

            asyncio.run(many())
            return
        for _ in range(20):
            assert wait_for(places.queued(), 30)
            change(1)
            change(-1)
            places.leave()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(some, range(8)))
    assert most <= 3
    assert inside == 0


def test_a_deadline_ends_the_wait_with_what_to_do() -> None:
    places = Places(1)
    places.queued()
    places.check_deadline(NEVER)
    with pytest.raises(DeadlineExceededError, match="max_concurrent_sessions") as caught:
        places.check_deadline(Deadline.after(0))
    assert caught.value.ran is False


def test_a_full_pool_teaches_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE", 0.05)
    places = Places(None)
    held = [places.queued() for _ in range(7)]
    assert held[-1].done()
    # The pool had five; those who were refused wait before all others, who ask the pool nothing.
    seventh, sixth, later = places.refused(held[6]), places.refused(held[5]), places.queued()
    for place in (sixth, seventh):
        assert not any(each.done() for each in (place, later))
        places.leave()
        assert place.done()
    # Now and then one more is let in: somebody else may have left.
    places.probe()
    assert not later.done()
    time.sleep(0.1)
    places.probe()
    assert later.done()
    # And when nobody waits, nothing is known any more.
    assert places.queued().done()


def test_who_was_refused_and_is_next_may_insist() -> None:
    places = Places(None)
    first, second = (places.refused(each) for each in [places.queued(), places.queued()])
    assert not places.insist(second)
    assert places.insist(first)
    assert (first.done(), second.done()) == (True, False)
    assert places.insist(first)
    places.leave()
    assert second.done()
    assert not places.are_wanted
