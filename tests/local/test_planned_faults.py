"""Whose turn it is to meet a fault, what is told of it, and how a command line names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from aca_node_interpreter import LocalPool
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.local import faults, routing
from aca_node_interpreter.local.faults import CALL_NAMES, Fault
from tests.local.faulty import COUNT, attempt, count, session_of
from tests.local.remote import NEWEST, Remote


@pytest.fixture(scope="module")
def pool(isolation: Any) -> Iterator[LocalPool]:
    """A pool of this file's own: its faults are nobody else's."""
    with LocalPool(isolation=isolation) as running:
        yield running


@pytest.fixture
def session(pool: LocalPool) -> Iterator[Remote]:
    with session_of(pool) as session:
        yield session


@pytest.mark.parametrize(
    ("plan", "refused"),
    [
        ({}, "xxxxxxxx"),
        ({"times": 2}, "xx......"),
        ({"skip": 3}, "...xxxxx"),
        ({"every": 3}, "x..x..x."),
        ({"skip": 1, "every": 3, "times": 2}, ".x..x..."),
        ({"probability": 0.0}, "........"),
        ({"on": "list_files"}, "xxxxxxxx"),
        ({"on": ("list_files", "execute")}, "xxxxxxxx"),
        ({"on": "execute"}, "........"),
    ],
)
def test_whose_turn_it_is(pool: LocalPool, session: Remote, plan: dict[str, Any], refused: str) -> None:
    pool.faults.add(faults.Refuse(503, **plan))
    assert listed(session) == refused
    assert len(pool.faults.met) == refused.count("x")


def listed(session: Remote, times: int = 8) -> str:
    """List files again and again; gives an x for each time that was refused."""
    statuses = [session.call("GET", "/files", version=NEWEST).status_code for _ in range(times)]
    return "".join({503: "x", 200: "."}[status] for status in statuses)


def test_chance_can_be_repeated(pool: LocalPool, session: Remote) -> None:
    def chosen(seed: int) -> str:
        pool.faults.clear()
        pool.faults.add(faults.Refuse(503, probability=0.5, seed=seed))
        return listed(session, 40)

    assert chosen(1) == chosen(1) != chosen(2)
    assert 5 < chosen(1).count("x") < 35


def test_several_faults_meet_one_call(pool: LocalPool, session: Remote) -> None:
    session.value("1")
    recycle, drop = faults.Recycle(times=1), faults.DropLastLine()
    reset = faults.Reset("before", skip=1, times=1)
    pool.faults.add(recycle, drop, reset)
    assert list(pool.faults) == [recycle, drop, reset]
    assert session.run(COUNT)["stdout"] == "one\n"
    assert [met.fault for met in pool.faults.met] == [recycle, drop]
    assert attempt(session) == "ReadError"
    assert pool.faults.pending == []
    assert count(pool, session) == "1"


def test_no_fault_is_counted_that_a_call_does_not_come_to(pool: LocalPool, session: Remote) -> None:
    first, second = faults.Refuse(503, times=1), faults.Refuse(429, times=1)
    pool.faults.add(first, second)
    assert [attempt(session) for _ in range(3)] == ["503", "429", "1"]
    assert [met.fault for met in pool.faults.met] == [first, second]


def test_a_session_identifier_is_not_shown(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.Refuse(503))
    attempt(session)
    assert session.identifier not in repr(pool.faults.met)


def test_strangers_meet_no_fault(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.Refuse(503), faults.Recycle())
    with httpx.Client(base_url=pool.endpoint) as stranger:
        url = f"/files?identifier=some-session&api-version={NEWEST}"
        wrong = {"Authorization": "Bearer wrong"}
        right = {"Authorization": f"Bearer {pool.token}"}
        statuses = [
            stranger.get(url).status_code,
            stranger.get(url, headers=wrong).status_code,
            stranger.get(url, headers={**right, "Host": "evil.example"}).status_code,
            stranger.get(url, headers={**right, "Origin": "https://evil.example"}).status_code,
        ]
    assert statuses == [401, 401, 403, 403]
    assert pool.faults.met == []


def test_the_inspector_meets_no_fault(pool: LocalPool, session: Remote) -> None:
    session.upload("a.txt", b"a")
    pool.faults.add(faults.Refuse(503))
    assert [session.call("GET", f"/.inspector/{what}").status_code for what in ("pool", "files")] == [200, 200]


def test_every_call_of_the_api_has_its_name() -> None:
    calls = {call.removesuffix("_legacy") for _, pattern, call in routing._ROUTES if not pattern.startswith(".")}
    assert calls == set(CALL_NAMES)


def test_only_faults_are_faults(pool: LocalPool) -> None:
    with pytest.raises(ConfigurationError, match="Reset'> is no fault"):
        pool.faults.add(faults.Reset)  # type: ignore[arg-type]  # the mistake is the test
    with pytest.raises(ConfigurationError, match="no fault"):
        LocalPool(faults=["reset"])  # type: ignore[list-item]  # the mistake is the test


def test_a_fault_shows_what_is_not_usual() -> None:
    assert repr(faults.Reset("reply", on="execute", times=1)) == "Reset(on='execute', times=1, at='reply')"
    assert repr(faults.Recycle()) == "Recycle()"


# --- as a command line has them ---


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop-last-line", faults.DropLastLine()),
        ("cut-streams,after=100,every=3", faults.CutStreams(100, every=3)),
        ("refuse,status=429,retry_after=2,times=3", faults.Refuse(429, retry_after=2, times=3)),
        ("reset,at=reply,on=download+execute", faults.Reset("reply", on=("download", "execute"))),
        ("stall,seconds=0.5,probability=0.1,seed=4", faults.Stall(0.5, probability=0.1, seed=4)),
        ("one-family,family=legacy", faults.OneFamily("legacy")),
    ],
)
def test_each_can_be_named_on_a_command_line(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("explode", "There are: drop-last-line, cut-streams,after=NUMBER, refuse,status=401|403|429|500|502|503|504"),
        ("", "There are: drop-last-line"),
        ("refuse", "Its fields are: refuse,status=401|403|429|500|502|503|504,at=before|after,retry_after=NUMBER"),
        ("reset,when=after", "Its fields are: reset,at=before|after|reply"),
        ("reset,at=middle", "The fault reset can't have at='middle': it takes before or after or reply."),
        ("refuse,status=404", "can't have status=404: it takes 401 or 403"),
        ("recycle,on=run", "can't have on=('run',): it takes one or several of execute, get_execution, upload"),
        ("recycle,every=0", "can't have every=0: it takes a whole number of 1 or more."),
        ("recycle,times=0.5", "can't have times=0.5: it takes a whole number of 1 or more."),
        ("recycle,probability=2", "can't have probability=2: it takes a number of 0 or more, at most 1."),
        ("stall,seconds=nan", "can't have seconds=nan: it takes a number of 0 or more."),
        ("cut-streams,after=-1", "can't have after=-1: it takes a whole number of 0 or more."),
    ],
)
def test_what_there_is_is_told_when_there_is_no_such(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Fault.parse(text)
    assert words in str(caught.value)
