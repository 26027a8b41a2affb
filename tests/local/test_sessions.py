"""Allocation, the idle timer, deletion, and the limits of a pool."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest

from aca_node_interpreter import SessionPoolClient
from aca_node_interpreter.local import LocalPool
from tests.local.remote import NEWEST, Remote, http_client


@contextmanager
def running(**options: Any) -> Iterator[httpx.Client]:
    """Give the HTTP client of a pool of its own."""
    with LocalPool(**options) as pool:
        with http_client(pool) as http:
            yield http


def exists(remote: Remote) -> bool:
    return remote.call("GET", "/session", version=NEWEST).status_code == 200


def moment(text: str) -> float:
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp()


def test_sessions_share_nothing(http: httpx.Client, remote: Remote) -> None:
    other = Remote(http, f"{remote.identifier}-other")
    remote.value("var mine = 1; fs.writeFileSync('/mnt/data/mine.txt', '')")
    assert other.value("typeof mine + fs.readdirSync('/mnt/data').length") == "'undefined0'"
    other.call("DELETE", "/session", version=NEWEST)


def test_a_deleted_session_comes_back_empty(remote: Remote) -> None:
    remote.value("var kept = 1; fs.writeFileSync('/mnt/data/a.txt', '')")
    assert remote.call("DELETE", "/session", version=NEWEST).status_code == 204
    assert remote.names() == []
    assert remote.value("typeof kept") == "'undefined'"


def test_an_unknown_session_is_not_found_and_not_allocated(remote: Remote) -> None:
    for method, path in [("GET", "/session"), ("DELETE", "/session"), ("GET", "/executions/x")]:
        answer = remote.call(method, path, version=NEWEST)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NoSessionFoundError"
        assert answer.json()["error"]["message"] == f"Could not find session with name '{remote.identifier}'."
    # Listing allocates.
    assert remote.names() == []
    assert exists(remote)


def test_the_dates_of_a_session(remote: Remote) -> None:
    remote.value("1")
    first = remote.call("GET", "/session", version=NEWEST).json()
    assert list(first) == ["identifier", "createdAt", "lastAccessedAt", "expireAt", "etag"]
    assert moment(first["createdAt"]) <= moment(first["lastAccessedAt"]) <= time.time()
    assert moment(first["expireAt"]) - moment(first["lastAccessedAt"]) == 300
    # Asking is not use; running is.
    assert remote.call("GET", "/session", version=NEWEST).json() == first
    remote.value("1")
    later = remote.call("GET", "/session", version=NEWEST).json()
    assert later["lastAccessedAt"] > first["lastAccessedAt"]
    assert (later["createdAt"], later["etag"]) == (first["createdAt"], first["etag"])


def test_deleting_a_session_ends_its_run(remote: Remote) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        run = threads.submit(remote.run, "$$.async()")
        while not exists(remote):
            time.sleep(0.01)
        time.sleep(0.1)
        queued = threads.submit(remote.run, "1")
        time.sleep(0.3)
        remote.call("DELETE", "/session", version=NEWEST)
        assert run.result()["stderr"] == "Execution aborted"
        assert queued.result()["stderr"] == "Execution aborted"


def test_an_idle_session_ends_but_never_one_that_runs(isolation: Any) -> None:
    with running(isolation=isolation, cooldown=0.5) as http:
        remote = Remote(http, "cooldown")
        assert remote.value("var kept = 1; $$.async(); setTimeout($$.done, 1200)") == ""
        assert remote.value("kept") == "1"
        deadline = time.monotonic() + 5
        while exists(remote):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert remote.value("typeof kept") == "'undefined'"


def test_a_full_pool_refuses_until_a_session_ends(isolation: Any) -> None:
    with running(isolation=isolation, max_sessions=2) as http:
        first, second, third = (Remote(http, f"session-{number}") for number in range(3))
        first.value("1")
        second.names()
        answer = third.call("GET", "/files", version=NEWEST)
        assert answer.status_code == 429
        assert answer.json() == {
            "code": "SessionsCountExceedsLimit",
            "message": "The request sessions count is '1'. There are already '2' active sessions and the maximum "
            "active sessions count is '2'.",
        }
        assert first.value("2") == "2"
        first.call("DELETE", "/session", version=NEWEST)
        assert third.value("3") == "3"


def test_sessions_are_listed_by_page(isolation: Any) -> None:
    with running(isolation=isolation, ready_sessions=0, max_sessions=400) as http:
        for number in range(301):
            # Allocates without starting a process.
            assert Remote(http, f"session-{number}").names() == []
        page = http.get("/listSessions", params={"api-version": NEWEST}).json()
        assert [entry["identifier"] for entry in page["sessions"]] == [f"session-{number}" for number in range(300)]
        rest = http.get(page["nextLink"]).json()
        assert [entry["identifier"] for entry in rest["sessions"]] == ["session-300"]
        assert "nextLink" not in rest
        assert http.get("/listSessions", params={"api-version": NEWEST, "skip": "-1"}).status_code == 400


def test_many_new_sessions_at_once_all_work(isolation: Any) -> None:
    with running(isolation=isolation, ready_sessions=2) as http, concurrent.futures.ThreadPoolExecutor(16) as threads:
        values = threads.map(lambda number: Remote(http, f"session-{number}").value(f"{number}"), range(24))
        assert list(values) == [str(number) for number in range(24)]


def test_one_identifier_asked_for_at_once_is_one_session(remote: Remote) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: remote.value("globalThis.count = (globalThis.count || 0) + 1"), range(8)))
    assert remote.value("count") == "8"


def test_a_clock_that_is_set_ends_no_session(monkeypatch: pytest.MonkeyPatch, isolation: Any) -> None:
    with (
        LocalPool(isolation=isolation, cooldown=60) as pool,
        SessionPoolClient(pool.endpoint, token=pool.token) as client,
    ):
        client.execute("var kept = 1")
        # The pool looks at least once a second.
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        time.sleep(1.5)
        assert client.execute("kept").result == "1"
