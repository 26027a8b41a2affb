"""Each fault that a pool can have on purpose does what it says, on the wire, and the executor bears it."""

from __future__ import annotations

import gc
import itertools
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.local import faults
from aca_node_interpreter.local.faults import Fault
from tests.local.faulty import COUNT, attempt, count, session_of
from tests.local.remote import CURRENT, LEGACY, NEWEST, Remote, http_client

FOREVER = 1000.0


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
    ("fault", "outcome", "runs"),
    [
        (faults.Reset("before"), "ReadError", 0),
        (faults.Reset("after"), "ReadError", 1),
        (faults.Reset("reply"), "ReadError", 1),
        (faults.Refuse(401), "401", 0),
        (faults.Refuse(403), "403", 0),
        (faults.Refuse(429), "429", 0),
        (faults.Refuse(500), "500", 0),
        (faults.Refuse(503), "503", 0),
        (faults.Refuse(504, "after"), "504", 1),
        (faults.WrongContentType("before"), "JSONDecodeError", 0),
        (faults.WrongContentType("after"), "JSONDecodeError", 1),
        (faults.HalfBody(), "JSONDecodeError", 1),
        (faults.Stall(0.01, "before"), "1", 1),
        (faults.Stall(0.01, "after"), "1", 1),
        (faults.Stall(0.01, "reply"), "1", 1),
        (faults.SlowAllocation(0.01), "1", 1),
        (faults.CutStreams(5), "1", 1),
        (faults.DropLastLine(), "1", 1),
        (faults.OneFamily("legacy"), "401", 0),
    ],
    ids=str,
)
def test_what_becomes_of_a_run(pool: LocalPool, session: Remote, fault: Fault, outcome: str, runs: int) -> None:
    pool.faults.add(fault)
    assert attempt(session) == outcome
    assert [(met.fault, met.call, met.identifier) for met in pool.faults.met] == [
        (fault, "execute", session.identifier)
    ]
    assert count(pool, session) == str(runs)


def test_every_kind_of_fault_is_in_the_table_or_below() -> None:
    below = {faults.Recycle, faults.RestartNode}
    table = {type(row[0]) for row in test_what_becomes_of_a_run.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert table | below == set(Fault.__subclasses__())


# --- on the wire ---


def received(pool: LocalPool, session: Remote) -> tuple[bytes, str]:
    """Send a run on a socket; gives the bytes that come back, and how the connection ends."""
    body = json.dumps({"code": COUNT, "timeoutInSeconds": 30}).encode()
    head = (
        f"POST /executions?identifier={session.identifier}&api-version={NEWEST} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {pool.token}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connected(pool) as connection:
        connection.sendall(head.encode() + body)
        got = b""
        try:
            while chunk := connection.recv(65536):
                got += chunk
        except ConnectionResetError:
            return got, "reset"
        return got, "closed"


def connected(pool: LocalPool) -> socket.socket:
    url = httpx.URL(pool.endpoint)
    if url.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(url.path)
        return connection
    return socket.create_connection(("127.0.0.1", url.port or 0), timeout=30)


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_reset_is_one(pool: LocalPool, session: Remote, at: Any) -> None:
    pool.faults.add(faults.Reset(at))
    assert received(pool, session) == (b"", "reset")


def test_a_reset_in_the_reply_comes_after_half_of_it(pool: LocalPool, session: Remote) -> None:
    whole, ending = received(pool, session)
    assert ending == "closed"
    pool.faults.add(faults.Reset("reply"))
    part, ending = received(pool, session)
    head, _, body = part.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert (len(body), ending) == (length // 2, "reset")
    assert abs(len(whole) - len(part) - length // 2) < 10


def test_a_reply_without_a_body_is_reset_as_a_whole(pool: LocalPool, session: Remote) -> None:
    session.value("1")
    pool.faults.add(faults.Reset("reply"))
    with pytest.raises(httpx.ReadError):
        session.call("DELETE", "/session", version=NEWEST)
    pool.faults.clear()
    assert session.call("GET", "/session", version=NEWEST).status_code == 404


def test_a_unix_socket_is_closed_instead(tmp_path: Path, isolation: Any) -> None:
    with LocalPool(isolation=isolation, socket=tmp_path / "pool", faults=[faults.Reset("after")]) as pool:
        assert received(pool, Remote(httpx.Client(), "some-session")) == (b"", "closed")


SIZE = 20_000_000


@pytest.fixture
def large(session: Remote) -> Remote:
    """A session with a large file."""
    session.value(f"fs.writeFileSync('/mnt/data/large.bin', Buffer.alloc({SIZE}, 7))")
    return session


def download(session: Remote) -> tuple[int, str]:
    """Download the large file; gives how many bytes came, and what went wrong."""
    size = 0
    try:
        with session.http.stream(
            "GET",
            "/files/large.bin/content",
            params={"identifier": session.identifier, "api-version": NEWEST},
            timeout=0.5,
        ) as response:
            for chunk in response.iter_raw():
                size += len(chunk)
    except httpx.TransportError as error:
        return size, type(error).__name__
    return size, ""


def test_downloads_break(pool: LocalPool, large: Remote) -> None:
    pool.faults.add(faults.HalfBody(times=1))
    assert download(large) == (SIZE // 2, "")
    pool.faults.add(faults.Reset("reply", times=1))
    size, problem = download(large)
    assert problem == "ReadError"
    assert 0 < size <= SIZE // 2
    pool.faults.add(faults.Stall(FOREVER, "reply", times=1))
    assert download(large) == (SIZE // 2, "ReadTimeout")
    assert pool.faults.pending == []
    assert download(large) == (SIZE, "")


@pytest.mark.parametrize(
    "fault", [faults.Reset("after"), faults.Refuse(502, "after"), faults.WrongContentType("after")]
)
def test_a_file_that_is_not_sent_is_closed(pool: LocalPool, large: Remote, fault: Fault) -> None:
    def open_files() -> list[str]:
        return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]

    pool.faults.add(fault)
    gc.disable()
    try:
        download(large)
        assert not any("large.bin" in name for name in open_files())
    finally:
        gc.enable()


def test_half_of_a_download_arrives_before_the_reset(pool: LocalPool, session: Remote) -> None:
    session.upload("large.bin", bytes(60_000))
    pool.faults.add(faults.Reset("reply"))
    assert download(session) == (30_000, "ReadError")


def test_uploads_break(pool: LocalPool, session: Remote) -> None:
    content = bytes(3_000_000)
    pool.faults.add(faults.Reset("before", times=1))
    with pytest.raises(httpx.TransportError):
        session.upload("a.bin", content)
    assert session.names() == []
    pool.faults.add(faults.Reset("after", on="upload", times=1))
    with pytest.raises(httpx.TransportError):
        session.upload("a.bin", content)
    assert session.names() == ["a.bin"]
    pool.faults.add(faults.Stall(0.01, "before", times=1))
    assert session.upload("b.bin", content).json()["sizeInBytes"] == len(content)
    assert pool.faults.pending == []


# --- what is left of the streams ---


def run_by(session: Remote, family: str, code: str) -> dict[str, Any]:
    """Run code by a call of a family; gives its streams."""
    if family == "new":
        return session.run(code)
    if family == "old":
        answer = session.call("POST", "/code/execute", version=LEGACY, json={"properties": {"code": code}})
        streams: dict[str, Any] = answer.json()["properties"]
        return streams
    body = {"code": code, "timeoutInSeconds": 30, "executionType": "Asynchronous"}
    started = session.call("POST", "/executions", version=CURRENT, json=body).json()
    while (execution := session.call("GET", f"/executions/{started['id']}", version=CURRENT).json())[
        "status"
    ] == "Running":
        pass
    later: dict[str, Any] = execution["result"]
    return later


@pytest.mark.parametrize(
    ("fault", "stdout", "stderr"),
    [
        (faults.CutStreams(5), "one\n\ufffd", "error"),
        (faults.CutStreams(6), "one\n\u00e4", "error\n"),
        (faults.DropLastLine(), "one\n", "error\n"),
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["old", "new", "asynchronous"])
def test_what_is_left_of_the_streams(
    pool: LocalPool, session: Remote, fault: Fault, stdout: str, stderr: str, family: str
) -> None:
    pool.faults.add(fault)
    run = run_by(session, family, f"console.error('error'); {COUNT}")
    assert (run["stdout"], run["stderr"]) == (stdout, stderr)
    assert [met.fault for met in pool.faults.met] == [fault]


@pytest.mark.parametrize("length", [9_999, 999_999])
def test_both_streams_are_cut_at_4096_bytes(pool: LocalPool, session: Remote, length: int) -> None:
    pool.faults.add(faults.CutStreams())
    run = session.run(f"console.log('x'.repeat({length})); console.error('y'.repeat({length})); 42")
    assert (run["stdout"], run["stderr"], run["executionResult"]) == ("x" * 4096, "y" * 4096, "42")


@pytest.mark.parametrize("code", ["1", "missing()", "console.error('more')"])
def test_what_is_short_is_not_broken(pool: LocalPool, session: Remote, code: str) -> None:
    calm = session.run(code)
    pool.faults.add(faults.CutStreams(), faults.DropLastLine())
    broken = session.run(code)
    assert {**broken, "executionTimeInMilliseconds": 0} == {**calm, "executionTimeInMilliseconds": 0}
    assert pool.faults.met == []
    assert len(pool.faults.pending) == 2


def test_a_long_output_that_is_not_broken_arrives(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.CutStreams(10_000_000))
    assert session.run("console.log('x'.repeat(999_999))")["stdout"] == "x" * 999_999 + "\n"


@pytest.mark.parametrize("code", ["console.log('only')", "process.stdout.write('only')"])
def test_the_only_line_is_lost_too(pool: LocalPool, session: Remote, code: str) -> None:
    pool.faults.add(faults.DropLastLine())
    assert session.run(code)["stdout"] == ""


# --- errors ---


@pytest.mark.parametrize(
    ("status", "code"), [(403, "Forbidden"), (429, "SessionsCountExceedsLimit"), (500, "InternalServerError")]
)
def test_errors_are_worded_as_the_service_does(pool: LocalPool, session: Remote, status: Any, code: str) -> None:
    pool.faults.add(faults.Refuse(status, retry_after=7))
    answer = session.call("GET", "/files", version=NEWEST)
    error = answer.json().get("error", answer.json())
    assert (answer.status_code, answer.headers["retry-after"], error["code"]) == (status, "7", code)
    assert (answer.headers["x-ms-error-code"], "error" in answer.json()) == (code, status != 429)


@pytest.mark.parametrize(("status", "body"), [(401, ""), (502, "<html><head><title>Bad Gateway</title></head></html>")])
def test_a_gateway_has_no_json(pool: LocalPool, session: Remote, status: Any, body: str) -> None:
    pool.faults.add(faults.Refuse(status))
    answer = session.call("GET", "/files", version=NEWEST)
    assert (answer.status_code, answer.text, "retry-after" in answer.headers) == (status, body, False)


def test_a_foreign_page_has_its_own_type(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.WrongContentType())
    answer = session.call("GET", "/files", version=NEWEST)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_one_family_only(pool: LocalPool, session: Remote) -> None:
    def statuses(family: Any) -> list[int]:
        pool.faults.clear()
        pool.faults.add(faults.OneFamily(family))
        wrapped, flat = {"properties": {"code": "1"}}, {"code": "1"}
        return [
            session.call("POST", "/code/execute", version=LEGACY, json=wrapped).status_code,
            session.call("POST", "/code/execute", version=NEWEST, json=wrapped).status_code,
            session.call("POST", "/executions", version=NEWEST, json=flat).status_code,
            session.call("POST", "/executions", version=LEGACY, json=flat).status_code,
            session.call("GET", "/files", version=LEGACY).status_code,
            session.call("GET", "/files", version=CURRENT).status_code,
        ]

    assert statuses("legacy") == [200, 401, 401, 404, 200, 401]
    assert statuses("current") == [401, 404, 200, 401, 401, 200]


# --- where time passes ---


def test_who_does_not_wait_has_not_stopped_it(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.Stall(0.5, "before", times=1))
    assert attempt(session, timeout=0.1) == "ReadTimeout"
    pool.faults.clear()
    reads = (session.value("globalThis.count ?? 0") for _ in range(1000))
    assert next(itertools.dropwhile(lambda value: value == "0", reads)) == "1"


def test_a_held_reply_holds_nobody_else_up(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.Stall(FOREVER, on="execute", times=1))
    assert attempt(session, timeout=0.5) == "ReadTimeout"
    assert attempt(session) == "2"


def test_only_new_sessions_are_slow(pool: LocalPool, session: Remote) -> None:
    session.value("1")
    pool.faults.add(faults.SlowAllocation(FOREVER))
    assert attempt(session) == "1"
    other = Remote(session.http, f"test-{uuid.uuid4()}")
    assert other.call("GET", "/session", version=NEWEST).status_code == 404
    assert pool.faults.met == []
    assert attempt(other, timeout=0.2) == "ReadTimeout"
    assert [met.identifier for met in pool.faults.met] == [other.identifier]


@pytest.mark.parametrize("at", ["before", "after", "reply"])
def test_a_pool_ends_although_it_holds_calls(isolation: Any, at: Any, caplog: pytest.LogCaptureFixture) -> None:
    outcomes = []
    with LocalPool(isolation=isolation, faults=[faults.Stall(FOREVER, at)]) as pool, http_client(pool) as http:
        held = threading.Thread(target=lambda: outcomes.append(attempt(Remote(http, "some-session"))))
        held.start()
        while not pool.faults.met:
            time.sleep(0.01)
        pool.stop()
        held.join()
    assert outcomes == ["ReadError"]
    # The server tells of requests that it has to cancel.
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []


# --- sessions ---


def test_a_recycled_session_is_fresh(pool: LocalPool, session: Remote) -> None:
    pool.faults.add(faults.Recycle(on="execute", times=1))
    session.upload("a.txt", b"a")
    guid = session.call("GET", "/session", version=NEWEST).json()["etag"]
    assert attempt(session) == "1"
    assert session.names() == []
    assert session.call("GET", "/session", version=NEWEST).json()["etag"] != guid
    assert attempt(session) == "2"


@pytest.mark.parametrize("fault", [faults.Recycle(times=1), faults.RestartNode(times=1)], ids=str)
def test_where_there_is_no_session_there_is_none_to_lose(pool: LocalPool, session: Remote, fault: Fault) -> None:
    pool.faults.add(fault)
    assert attempt(session) == "1"
    assert pool.faults.pending == [fault]
    assert attempt(session) == "1"
    assert pool.faults.pending == []


def test_a_restarted_node_keeps_the_files(pool: LocalPool, session: Remote) -> None:
    session.upload("a.txt", b"a")
    attempt(session)
    pool.faults.add(faults.RestartNode(on="execute"))
    assert attempt(session) == "1"
    assert session.names() == ["a.txt"]


# --- what the executor makes of them ---


MAKE_FILE = """
    globalThis.count = (globalThis.count ?? 0) + 1
    fs.writeFileSync(`/mnt/data/${count}.txt`, 'x'.repeat(100_000))
    console.log(`${'line\\n'.repeat(2000)}last`)
    count
"""


@pytest.mark.parametrize(
    "fault",
    [
        faults.DropLastLine(on="execute", every=2),
        faults.CutStreams(),
        faults.Reset("before", on="execute", skip=1, times=1),
        faults.Reset("after", on="execute", every=2),
        faults.Reset("reply", on="execute", every=2),
        faults.Reset("reply", on="download", times=1),
        faults.HalfBody(on="execute", every=2),
        faults.Refuse(504, "after", on="execute", every=2),
        faults.WrongContentType("after", on="execute", every=2),
        faults.Stall(0.1, "reply"),
        faults.SlowAllocation(0.1),
    ],
    ids=str,
)
def test_the_executor_runs_code_once_and_loses_nothing(
    pool: LocalPool, session: Remote, tmp_path: Path, fault: Fault
) -> None:
    pool.faults.add(fault)
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path) as executor:
        runs = [executor.execute(MAKE_FILE) for _ in range(3)]
    assert [run.value for run in runs] == [1, 2, 3]
    assert [run.execution.stdout for run in runs] == ["line\n" * 2000 + "last\n"] * 3
    files = {file.name: len(file.read_bytes()) for run in runs for file in run.artifacts}
    assert {name: files.get(name) for name in ("1.txt", "2.txt", "3.txt")} == dict.fromkeys(
        ("1.txt", "2.txt", "3.txt"), 100_000
    )
    assert pool.faults.pending == []


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        (faults.Recycle(on="execute", skip=1, times=1), "variables and files are gone"),
        (faults.RestartNode(on="execute", skip=1, times=1), "variables are gone"),
    ],
    ids=str,
)
def test_the_executor_tells_of_a_lost_session(pool: LocalPool, session: Remote, fault: Fault, note: str) -> None:
    pool.faults.add(fault)
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        executor.upload(b"a", name="a.txt")
        first, second, third = (executor.execute(MAKE_FILE) for _ in range(3))
    assert (first.value, second.value, third.value) == (1, 1, 2)
    assert (first.notes, third.notes) == ((), ())
    assert note in " ".join(second.notes)
    assert pool.faults.pending == []
