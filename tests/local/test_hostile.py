"""What a hostile session, or a local process without the token, once could do to the pool or its host."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.local import answers, frames, http_protocol
from aca_node_interpreter.local.host_network import read_host_network
from aca_node_interpreter.temporary import make_temporary_directory
from tests.local.remote import http_client
from tests.machine import unavailable, why_no_sandbox


@pytest.fixture(scope="module")
def sandboxed() -> Iterator[LocalPool]:
    if reason := why_no_sandbox():
        unavailable(f"this is about the sandbox: {reason}")
    with LocalPool(isolation="bubblewrap") as pool:
        yield pool


def connect(pool: LocalPool) -> socket.socket:
    address = urlsplit(pool.endpoint)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 0), timeout=10)


def test_a_session_can_not_set_the_hosts_kernel(sandboxed: LocalPool) -> None:
    code = """
        ['/proc/sys/fs/lease-break-time', '/proc/sys/kernel/core_pattern'].map((name) => {
          try { fs.closeSync(fs.openSync(name, 'r+')); return 'opened' } catch (error) { return error.code }
        }).join()"""
    with SessionPoolClient(sandboxed.endpoint, token=sandboxed.token) as client:
        assert client.execute(code).result in ("'EROFS,EROFS'", "'EACCES,EACCES'")
        client.delete_session()


def test_ended_sessions_leave_no_process_not_even_a_dead_one(sandboxed: LocalPool) -> None:
    def with_parent() -> set[str]:
        here = Path(f"/proc/{os.getpid()}/task")
        return {child for task in here.iterdir() for child in (task / "children").read_text().split()}

    with SessionPoolClient(sandboxed.endpoint, token=sandboxed.token) as client:
        client.execute("1")
        before = len(with_parent())
        for _ in range(5):
            client.execute(
                "require('child_process').spawn('sleep', ['100'], {detached: true, stdio: 'ignore'}).unref()"
            )
            client.delete_session()
        deadline = time.monotonic() + 5
        while len(with_parent()) > before + 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(with_parent()) <= before + 1  # which may be the session that is kept ready


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /", b"GET / HTTP/1.1\r\na: "])
def test_a_head_without_end_is_cut(start: bytes, pool: LocalPool) -> None:
    more = b"a:b\r\n" * 1_000_000 if start.endswith(b"\n") else b"a" * 5_000_000
    with connect(pool) as connection, pytest.raises(OSError, match=r"reset|Broken pipe|aborted"):
        connection.sendall(start + more)


def exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    return b"".join(iter(lambda: connection.recv(65536), b""))


CHUNKED = b"POST /executions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "flood",
    [
        CHUNKED + b"0\r\n" + b"a:b\r\n" * 1_000_000,
        CHUNKED + b"0\r\na:" + b"b" * 5_000_000,
        CHUNKED + b"5;" + b"a" * 5_000_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100_000,
    ],
    ids=["trailers", "a trailer", "an extension", "requests"],
)
def test_what_follows_a_head_without_end_is_cut(flood: bytes, pool: LocalPool) -> None:
    with connect(pool) as connection, pytest.raises(OSError, match=r"reset|Broken pipe|aborted"):
        exchange(connection, flood)


def test_a_few_requests_wait_for_their_turn(pool: LocalPool) -> None:
    request = b"GET /files HTTP/1.1\r\nHost: localhost\r\n"
    with connect(pool) as connection:
        answers = exchange(connection, (request + b"\r\n") * 9 + request + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 401") == 10


def test_a_connection_that_says_nothing_is_closed(isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    with LocalPool(isolation=isolation) as pool, connect(pool) as silent, connect(pool) as slow:  # type: ignore[arg-type]
        slow.sendall(b"GET / HT")
        for connection in (silent, slow):
            with contextlib.suppress(ConnectionResetError):  # that is closed, too
                assert connection.recv(1) == b""


def test_only_so_many_connections_are_open(isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 3)
    with LocalPool(isolation=isolation) as pool:  # type: ignore[arg-type]
        connections = [connect(pool) for _ in range(6)]
        closed = 0
        for connection in reversed(connections):
            connection.settimeout(1)
            try:
                closed += connection.recv(1) == b""
            except ConnectionResetError:
                closed += 1
            except TimeoutError:
                pass
        for connection in connections:
            connection.close()
    assert closed == 3


@pytest.mark.parametrize("payload", [b'{"a":[' + b"1," * 600_000 + b"1]}", b'{"a":[' + b"[]," * 600_000 + b"[]]}"])
def test_a_message_of_too_many_parts_is_refused_unread(payload: bytes) -> None:
    with pytest.raises(frames.FrameError, match="too many parts"):
        frames.decode_object(payload)


@pytest.mark.parametrize(
    "text", ["1,[{" * 300_000, 'a"\\,' * 600_000, "\\" * 1_000_001 + ',"' * 600_000, ",\\" * 600_001]
)
def test_what_a_text_holds_are_no_parts(text: str) -> None:
    assert frames.decode_object(json.dumps({"a": text, "b": [1]}).encode()) == {"a": text, "b": [1]}


@pytest.mark.parametrize("text", ["", ",", '"', "\\", '\\"', '",' * 5, "\\\\\\"])
def test_texts_hide_no_parts(text: str) -> None:
    payload = json.dumps({"t": text, "a": [0] * 600_000, "u": text}).encode()
    with pytest.raises(frames.FrameError, match="too many parts"):
        frames.decode_object(payload)


def test_too_many_texts_are_refused_unread() -> None:
    with pytest.raises(frames.FrameError, match="too many strings"):
        frames.decode_object(b'{"a":[' + b'"",' * 1_200_000 + b'""]}')


def test_a_text_of_many_commas_is_a_value(pool: LocalPool) -> None:
    with SessionPoolClient(pool.endpoint, token=pool.token) as client:
        assert client.execute("var kept = 7; '1,2'.repeat(600000)").status.value == "Succeeded"
        assert client.execute("$$.svg('M1,2'.repeat(600000))").result == "M1,2" * 600_000
        assert client.execute("kept").result == "7"
        client.delete_session()


def test_a_long_output_is_answered_in_pieces(pool: LocalPool) -> None:
    """In one, it held up everybody else for seconds."""
    code = "process.stdout.write('\\x01\u20ac\U0001f600'.repeat(300000)); process.stderr.write('x'); 'end'"
    query = {"api-version": "2024-10-02-preview", "identifier": "long-output"}
    with http_client(pool) as http:
        answer = http.post("/executions", params=query, json={"code": code})
        http.delete("/session", params=query)
    assert answer.status_code == 202
    assert "content-length" not in answer.headers
    assert answer.headers["x-ms-session-guid"]
    result = answer.json()["result"]
    assert result["stdout"] == "\x01\u20ac\U0001f600" * 300_000
    assert (result["stderr"], result["executionResult"]) == ("x", "'end'")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"a": {}, "b": "x" * 262_145},
        {"a": "\ud83d" * 262_144 + "\ude00\U0001f600", "b": [1, None, {"c": True}], "d": {"e": '\\"' * 300_000}},
    ],
)
def test_pieces_make_the_whole(body: dict[str, Any]) -> None:
    assert "".join(answers._pieces(body)) == answers._encode(body)


def test_numbers_of_thousands_of_digits_are_not_worked_out() -> None:
    assert frames.decode_object(b'{"a": 12, "b": ' + b"9" * 4_000 + b"}") == {"a": 12, "b": float("inf")}


@pytest.mark.parametrize("proxy", ["u:pw@127.0.0.1:9", "http://u:pw@127.0.0.1:9", "http://u:p@w@127.0.0.1:9/x@y"])
def test_proxy_credentials_are_not_handed_in(proxy: str) -> None:
    given = read_host_network({"https_proxy": proxy, "npm_config_proxy": proxy}, ()).variables
    assert {"pw" in value or "u:" in value for value in given.values()} == {False}
    assert all("127.0.0.1:9" in value for value in given.values())


def test_pools_that_start_together_leave_each_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    failures: list[BaseException] = []

    def start_and_stop() -> None:
        try:
            for _ in range(30):
                with contextlib.ExitStack() as undo:
                    assert make_temporary_directory("aca-node-pool-", undo).is_dir()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start_and_stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == []
