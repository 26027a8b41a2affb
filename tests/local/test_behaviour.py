"""Every switch for what is unknown of the hosted service works, both ways."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import httpx
import pytest

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.local import Behaviour, LocalPool
from tests.local.remote import LEGACY, NEWEST, Remote, http_client

OTHER = Behaviour(
    values="json",
    failure_word="Failed",
    exit="hangs",
    long_limits="refused",
    runs_at_once="refused",
    uploads_again="refused",
    identifiers="case-insensitive",
    full_pool=404,
    retry_after=7,
    unknown_version=400,
)

USUAL = Behaviour()


@contextmanager
def session_of(behaviour: Behaviour, isolation: Any) -> Iterator[Remote]:
    with LocalPool(isolation=isolation, behaviour=behaviour, max_sessions=1) as pool:
        with http_client(pool) as http:
            yield Remote(http, "Some-Session")


@pytest.fixture(scope="module")
def usual(isolation: Any) -> Iterator[Remote]:
    with session_of(USUAL, isolation) as session:
        yield session


@pytest.fixture(scope="module")
def other(isolation: Any) -> Iterator[Remote]:
    with session_of(OTHER, isolation) as session:
        yield session


def test_all_of_them_are_switched() -> None:
    assert all(getattr(OTHER, field.name) != field.default for field in fields(Behaviour))


def test_each_can_be_named_on_a_command_line() -> None:
    switches = [f"{field.name}={getattr(OTHER, field.name)}" for field in fields(Behaviour)]
    assert Behaviour.parse(switches) == OTHER
    assert Behaviour.parse([f"{field.name}={field.default}" for field in fields(Behaviour) if field.default]) == USUAL
    assert Behaviour.parse(["exit=hangs", "retry_after=0", "exit=answers"]) == Behaviour(retry_after=0)


@pytest.mark.parametrize(
    "switch",
    ["exit", "exit=", "exit=explodes", "quit=hangs", "", "full_pool=500", "retry_after=-1", "retry_after=None"],
)
def test_what_there_is_is_told_when_there_is_no_such(switch: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Behaviour.parse([switch])
    assert f"no behaviour {switch!r}. There are: values=text|json, " in str(caught.value)
    assert ", exit=answers|hangs, " in str(caught.value)
    assert ", full_pool=429|404, retry_after=SECONDS, unknown_version=401|400." in str(caught.value)


def test_values(usual: Remote, other: Remote) -> None:
    assert (usual.value("6 * 7"), other.value("6 * 7")) == ("42", 42)


def test_the_failure_word(usual: Remote, other: Remote) -> None:
    def word(session: Remote) -> str:
        answer = session.call("POST", "/code/execute", version=LEGACY, json={"properties": {"code": "missing()"}})
        return str(answer.json()["properties"]["status"])

    assert (word(usual), word(other)) == ("Failure", "Failed")


def test_exit(usual: Remote, other: Remote) -> None:
    def seconds(session: Remote) -> float:
        started = time.monotonic()
        assert "timed out" in session.run("process.exit()", timeoutInSeconds=2)["stderr"]
        return time.monotonic() - started

    assert seconds(usual) < 1.5 < 2 <= seconds(other)


def test_long_limits(usual: Remote, other: Remote) -> None:
    body = {"code": "1", "timeoutInSeconds": 221}
    statuses = [
        session.call("POST", "/executions", version=NEWEST, json=body).status_code for session in (usual, other)
    ]
    assert statuses == [200, 400]


def test_runs_at_once(usual: Remote, other: Remote) -> None:
    def second_status(session: Remote) -> int:
        thread = threading.Thread(target=session.run, args=("$$.async(); setTimeout($$.done, 600)",))
        thread.start()
        time.sleep(0.2)
        answer = session.call("POST", "/executions", version=NEWEST, json={"code": "1", "timeoutInSeconds": 9})
        thread.join()
        return answer.status_code

    assert (second_status(usual), second_status(other)) == (200, 409)


def test_uploads_again(usual: Remote, other: Remote) -> None:
    statuses = [[session.upload("a.txt", b"a").status_code for _ in range(2)] for session in (usual, other)]
    assert statuses == [[200, 200], [200, 409]]


def test_identifiers_and_full_pools(usual: Remote, other: Remote) -> None:
    def again(session: Remote) -> httpx.Response:
        session.value("1")
        return Remote(session.http, session.identifier.lower()).call("GET", "/files", version=NEWEST)

    assert again(usual).status_code == 429
    assert "retry-after" not in again(usual).headers
    assert again(other).status_code == 200
    full = Remote(other.http, "quite-another-one").call("GET", "/files", version=NEWEST)
    assert (full.status_code, full.headers["retry-after"]) == (404, "7")
    assert full.json()["code"] == "SessionsCountExceedsLimit"


def test_unknown_versions(usual: Remote, other: Remote) -> None:
    statuses = [session.call("GET", "/files", version="2031-01-01").status_code for session in (usual, other)]
    assert statuses == [401, 400]
