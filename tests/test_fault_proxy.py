"""Each fault does what it says, no more and no less, to the client and to the pool."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import faults
from tests.engine import Engine
from tests.fault_proxy import Exchange, Fault, FaultProxy, Kind, kind_of
from tests.faults import PassOn
from tests.local.remote import LEGACY, NEWEST, Remote, http_client

COUNT = "globalThis.count = (globalThis.count ?? 0) + 1; console.log('one'); console.log('\u00e4\u20actwo'); count"
RESET = "ReadError"


@pytest.fixture(scope="module")
def calm(isolation: Any) -> Iterator[Engine]:
    """A pool that nothing is wrong with."""
    with Engine(isolation=isolation) as pool:
        yield pool


@pytest.fixture
def proxy(calm: Engine) -> Iterator[FaultProxy]:
    with FaultProxy(calm) as proxy:
        yield proxy


@pytest.fixture
def session(proxy: FaultProxy) -> Iterator[Remote]:
    """A session through the proxy, by a client that repeats nothing."""
    with http_client(proxy) as http:
        yield Remote(http, f"test-{uuid.uuid4()}")


def attempt(session: Remote, code: str = COUNT, **options: Any) -> str:
    """Run code; gives its value, the answer's status or the client's error."""
    try:
        body = {"code": code, "timeoutInSeconds": 30}
        answer = session.call("POST", "/executions", version=NEWEST, json=body, **options)
        return str(answer.json()["result"]["executionResult"]) if answer.status_code == 200 else str(answer.status_code)
    except (httpx.TransportError, json.JSONDecodeError) as error:
        return type(error).__name__


def count(session: Remote, pool: Engine) -> str:
    """Tell how often `COUNT` ran, past the proxy."""
    with http_client(pool) as http:
        return str(Remote(http, session.identifier).value("globalThis.count ?? 0"))


@pytest.mark.parametrize(
    ("fault", "outcome", "runs"),
    [
        (PassOn(), "1", 1),
        (faults.ResetBeforeForward(), RESET, 0),
        (faults.ResetDuringRequest(1), RESET, 0),
        (faults.ResetDuringRequest(-1), RESET, 0),
        (faults.Answer(502), "502", 0),
        (faults.Answer(503), "503", 0),
        (faults.Answer(504), "504", 0),
        (faults.ResetBeforeReply(), RESET, 1),
        (faults.ForwardThenAnswer(502), "502", 1),
        (faults.ForwardThenAnswer(504), "504", 1),
        (faults.CutReply(0), "RemoteProtocolError", 1),
        (faults.CutReply(20), "RemoteProtocolError", 1),
        (faults.CutReply(-1), "RemoteProtocolError", 1),
        (faults.CutReply(-1, "chunks"), "RemoteProtocolError", 1),
        (faults.CutReply(-1, "none"), "JSONDecodeError", 1),
        (faults.CutReply(100_000), "1", 1),
        (faults.CutReply(100_000, "chunks"), "1", 1),
        (faults.CutReply(100_000, "none"), "1", 1),
        (faults.CutStreams(5), "1", 1),
        (faults.LoseLastLine(), "1", 1),
        (faults.Hold(0.05), "1", 1),
        (faults.Hold(0.05, faults.Answer(504)), "504", 0),
        (faults.HoldReply(0.05), "1", 1),
        (faults.Duplicate(), "2", 2),
        (faults.ForwardLate(0), RESET, 1),
        (faults.RefuseNext(0.05), "1", 1),
        (faults.RefuseNext(0.05, faults.ResetBeforeReply()), RESET, 1),
    ],
    ids=str,
)
def test_what_the_client_and_the_pool_see(
    calm: Engine, proxy: FaultProxy, session: Remote, fault: Fault, outcome: str, runs: int
) -> None:
    proxy.plan(fault)
    assert attempt(session) == outcome
    assert wait_for(lambda: proxy.forwarded(), runs) == runs
    assert count(session, calm) == str(runs)
    assert [(seen.kind, seen.fault) for seen in proxy.seen] == [("execution", fault)]
    assert proxy.planned == []


def wait_for(read: Any, wanted: Any) -> Any:
    """Read until it is what is wanted, or time is up; gives what was read last."""
    deadline = time.monotonic() + 5
    while (got := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.005)
    return got


def test_without_a_fault_nothing_changes(calm: Engine, proxy: FaultProxy, session: Remote) -> None:
    with http_client(calm) as http:
        direct = Remote(http, session.identifier)
        for method, path, options in (
            ("POST", "/files", {"files": {"file": ("a.bin", b"\0" * 100_000)}}),
            ("GET", "/files/a.bin/content", {}),
            ("GET", "/files", {"params": {"recursive": "true"}}),
            ("GET", "/files/a.bin", {}),
            ("GET", "/files/missing/content", {}),
            ("DELETE", "/files/a.bin", {}),
            ("GET", "/session", {}),
        ):
            through = session.call(method, path, version=NEWEST, **options)
            if method == "GET":
                past = direct.call(method, path, version=NEWEST, **options)
                assert (through.status_code, len(through.content)) == (past.status_code, len(past.content)), path
            else:
                assert through.is_success
    assert proxy.forwarded() == len(proxy.seen) == 7


def test_one_connection_lasts_while_nothing_breaks_it(proxy: FaultProxy, session: Remote) -> None:
    proxy.plan(faults.Answer(503), faults.CutStreams(), faults.Duplicate(), faults.HoldReply(0.01))
    with raw_connection(proxy) as connection:
        for _ in range(6):
            connection.sendall(raw_request(proxy, session))
            assert connection.recv(65536).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    ("fault", "stdout", "stderr"),
    [
        (faults.CutStreams(5), "one\n\ufffd", "error"),
        (faults.CutStreams(4096), "one\n\u00e4\u20actwo\n", "error\n"),
        (faults.LoseLastLine(), "one\n", "error\n"),
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["old", "new"])
def test_what_is_left_of_the_streams(
    proxy: FaultProxy, session: Remote, fault: Fault, stdout: str, stderr: str, family: str
) -> None:
    proxy.plan(fault)
    code = f"console.error('error'); {COUNT}"
    if family == "new":
        run = session.run(code)
    else:
        answer = session.call("POST", "/code/execute", version=LEGACY, json={"properties": {"code": code}})
        run = answer.json()["properties"]
    assert (run["stdout"], run["stderr"]) == (stdout, stderr)


def test_both_streams_are_cut_at_4096_bytes(proxy: FaultProxy, session: Remote) -> None:
    proxy.plan(faults.CutStreams())
    run = session.run("console.log('x'.repeat(9999)); console.error('y'.repeat(9999))")
    assert (run["stdout"], run["stderr"]) == ("x" * 4096, "y" * 4096)


@pytest.mark.parametrize("code", ["console.log('only')", "process.stdout.write('only')", "1"])
def test_the_only_line_is_lost_too(proxy: FaultProxy, session: Remote, code: str) -> None:
    proxy.plan(faults.LoseLastLine())
    assert session.run(code)["stdout"] == ""


@contextlib.contextmanager
def raw_connection(proxy: FaultProxy) -> Iterator[socket.socket]:
    port = httpx.URL(proxy.endpoint).port
    with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as connection:
        yield connection


def raw_request(proxy: FaultProxy, session: Remote) -> bytes:
    body = json.dumps({"code": COUNT, "timeoutInSeconds": 30}).encode()
    return (
        f"POST /executions?identifier={session.identifier}&api-version={NEWEST} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {proxy.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.mark.parametrize("after", [0, 1, 17, 200, 450])
def test_a_reply_is_cut_at_the_byte(proxy: FaultProxy, session: Remote, after: int) -> None:
    proxy.plan(faults.CutReply(after))
    with raw_connection(proxy) as connection:
        connection.sendall(raw_request(proxy, session))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert len(received) == after
    assert received == b"HTTP/1.1 200 OK\r\n"[:after] + received[17:]


def test_an_unfinished_request_is_no_request(calm: Engine, proxy: FaultProxy, session: Remote) -> None:
    with raw_connection(proxy) as connection:
        connection.sendall(raw_request(proxy, session)[:-1])
        assert wait_for(lambda: len(proxy.seen), 1) == 1
    assert (proxy.forwarded(), count(session, calm)) == (0, "0")


def test_a_chunked_request_goes_through(proxy: FaultProxy, session: Remote) -> None:
    body = json.dumps({"code": COUNT, "timeoutInSeconds": 30}).encode()
    headers = {"Content-Type": "application/json"}
    chunks = (body[start : start + 7] for start in range(0, len(body), 7))
    answer = session.call("POST", "/executions", version=NEWEST, content=chunks, headers=headers)
    assert answer.json()["result"]["executionResult"] == "1"
    assert proxy.seen[0].body.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("after", [1, 50_000, -1])
def test_an_upload_breaks_off(calm: Engine, proxy: FaultProxy, session: Remote, after: int) -> None:
    proxy.plan(faults.ResetDuringRequest(after), kind="upload")
    with pytest.raises(httpx.TransportError):
        session.upload("a.bin", b"\0" * 100_000)
    assert session.names() == []
    assert session.upload("a.bin", b"\0" * 100_000).is_success


def test_a_download_breaks_off(proxy: FaultProxy, session: Remote) -> None:
    session.upload("a.bin", b"\0" * 100_000)
    proxy.plan(faults.CutReply(50_000), kind="download")
    assert session.names() == ["a.bin"]
    with pytest.raises(httpx.RemoteProtocolError):
        session.call("GET", "/files/a.bin/content", version=NEWEST)
    assert len(session.call("GET", "/files/a.bin/content", version=NEWEST).content) == 100_000


@pytest.mark.parametrize(
    ("fault", "runs_at_once", "runs"),
    [
        (faults.Hold(0.8), "0", 1),
        (faults.HoldReply(0.8), "1", 1),
        (faults.Hold(0.8, faults.ResetBeforeForward()), "0", 0),
    ],
    ids=str,
)
def test_who_does_not_wait_has_not_stopped_it(
    calm: Engine, proxy: FaultProxy, session: Remote, fault: Fault, runs_at_once: str, runs: int
) -> None:
    proxy.plan(fault)
    assert attempt(session, timeout=0.1) == "ReadTimeout"
    assert wait_for(lambda: count(session, calm), runs_at_once) == runs_at_once
    assert wait_for(lambda: count(session, calm), str(runs)) == str(runs)


def test_a_late_copy_comes_after_the_next_request(calm: Engine, proxy: FaultProxy, session: Remote) -> None:
    proxy.plan(faults.ForwardLate())
    assert attempt(session) == RESET
    assert (attempt(session), count(session, calm)) == ("1", "2")
    assert [seen.forwarded for seen in proxy.seen] == [1, 1]


def test_late_copies_come_in_their_turn(calm: Engine, proxy: FaultProxy, session: Remote) -> None:
    proxy.plan(faults.ForwardLate(3), faults.ForwardLate(1))
    assert [attempt(session) for _ in range(2)] == [RESET, RESET]
    # The one that is late by one is itself a request that the pool answers.
    assert [attempt(session) for _ in range(2)] == ["1", "3"]
    assert count(session, calm) == "4"
    assert [seen.forwarded for seen in proxy.seen] == [1, 1, 1, 1]


def test_a_recycled_session_is_empty(proxy: FaultProxy, session: Remote) -> None:
    session.upload("a.txt", b"a")
    attempt(session)
    proxy.plan(faults.Recycle())
    assert attempt(session) == "1"
    assert session.names() == []
    proxy.plan(faults.Recycle(faults.Answer(502)))
    assert [attempt(session) for _ in range(2)] == ["502", "1"]


def test_a_restarted_kernel_keeps_the_files(proxy: FaultProxy, session: Remote) -> None:
    session.upload("a.txt", b"a")
    attempt(session)
    proxy.plan(faults.RestartKernel())
    assert attempt(session) == "1"
    assert session.names() == ["a.txt"]


def test_connections_are_refused_for_a_while(calm: Engine, proxy: FaultProxy, session: Remote) -> None:
    assert attempt(session) == "1"
    proxy.refuse(0.5)
    assert [attempt(session) for _ in range(3)] == ["ConnectError"] * 3
    assert wait_for(lambda: attempt(session), "2") == "2"
    assert count(session, calm) == str(proxy.forwarded())


@pytest.mark.parametrize("first", [PassOn(), faults.Answer(502), faults.ResetBeforeReply()], ids=str)
def test_the_next_connection_is_refused(proxy: FaultProxy, session: Remote, first: Fault) -> None:
    for _ in range(5):
        proxy.plan(faults.RefuseNext(0.1, first))
        attempt(session)
        assert attempt(session) == "ConnectError"
        assert wait_for(lambda: proxy.refuses, False) is False


def test_faults_are_for_the_request_they_are_meant_for(proxy: FaultProxy, session: Remote) -> None:
    proxy.plan(faults.Answer(502), faults.Answer(503), kind="execution", skip=1)
    proxy.plan(faults.Answer(504), kind="list")
    assert [attempt(session) for _ in range(4)] == ["1", "502", "503", "2"]
    assert proxy.planned == [faults.Answer(504)]
    assert session.call("GET", "/files", version=NEWEST).status_code == 504
    assert (proxy.forwarded(), proxy.forwarded("execution"), proxy.forwarded("list")) == (2, 2, 0)


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("POST", "/subscriptions/s/executions?identifier=x", "execution"),
        ("POST", "/code/execute/?identifier=x", "execution"),
        ("POST", "/python/execute", "execution"),
        ("GET", "/executions/abc", "other"),
        ("GET", "/files/a.txt/content?path=b", "download"),
        ("GET", "/files/content/a.txt", "download"),
        ("GET", "/files/a.txt", "other"),
        ("POST", "/files", "upload"),
        ("POST", "/files/upload", "upload"),
        ("GET", "/p/files?recursive=true", "list"),
        ("DELETE", "/files/a.txt", "other"),
        ("DELETE", "/session", "session"),
    ],
)
def test_kinds(method: str, target: str, kind: Kind) -> None:
    assert kind_of(method, target) == kind


def test_requests_at_once_do_not_wait_for_one_another(proxy: FaultProxy, session: Remote) -> None:
    attempt(session)
    proxy.plan(faults.HoldReply(0.5), kind="execution")
    held = threading.Thread(target=attempt, args=(session,))
    held.start()
    wait_for(lambda: proxy.forwarded("execution"), 2)
    assert session.names() == []
    assert held.is_alive()
    held.join()


def test_what_it_counts_is_what_ran(engine: Engine) -> None:
    every: list[Fault] = [
        PassOn(),
        faults.ResetBeforeForward(),
        faults.ResetDuringRequest(100),
        faults.Answer(502),
        faults.ResetBeforeReply(),
        faults.ForwardThenAnswer(504),
        faults.CutReply(-9),
        faults.CutReply(150, "none"),
        faults.Duplicate(),
        faults.ForwardLate(2),
    ]
    chosen = random.Random(4).choices(every, k=200)  # noqa: S311 - not a secret
    with FaultProxy(engine) as proxy, http_client(proxy) as http:
        session = Remote(http, f"test-{uuid.uuid4()}")
        for fault in chosen:
            proxy.plan(fault)
            attempt(session)
        # For the last late ones.
        assert [session.call("GET", "/files", version=NEWEST).status_code for _ in range(2)] == [200, 200]
    assert proxy.forwarded("execution") > 100
    assert count(session, engine) == str(proxy.forwarded("execution"))


def test_a_mistake_in_a_fault_is_not_lost(calm: Engine) -> None:
    async def broken(exchange: Exchange) -> None:
        # Unread bytes would turn the connection's end into a reset.
        await exchange.request()
        raise LookupError("a mistake")

    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(calm))
        http = stack.enter_context(http_client(proxy))
        proxy.plan(broken)
        assert attempt(Remote(http, "some-session")) == "RemoteProtocolError"
        with pytest.raises(LookupError, match="a mistake"):
            stack.close()
