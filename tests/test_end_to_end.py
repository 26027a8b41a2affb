"""Both clients against the embedded pool: the tutorial, every kind of call, and unusual input."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, errors
from aca_node_interpreter.rest.models import Image, Status
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API, TUTORIAL_API

API_VERSIONS = [TUTORIAL_API, LEGACY_API, "2024-10-02-preview", "2025-02-02-preview", CURRENT_API]


@pytest.fixture(params=API_VERSIONS, ids=lambda version: version or "none")
def client(request: pytest.FixtureRequest, client_class: Any, pool: LocalPool) -> Any:
    with client_class(pool.endpoint, token=pool.token, api_version=request.param) as connected:
        yield connected
        connected.delete_session()


@pytest.fixture
def newest(client_class: Any, pool: LocalPool) -> Any:
    with client_class(pool.endpoint, token=pool.token) as connected:
        yield connected
        connected.delete_session()


def test_code_runs_in_every_encoding(client: Any) -> None:
    assert client.execute("console.log('inline')").stdout == "inline\n"
    assert client.execute("1+3", code_input_type="InlineText", timeout=100).result == "4"
    assert client.execute("MSsy", code_input_type="InlineBase64").result == "3"


def test_a_failure_is_a_result(client: Any) -> None:
    run = client.execute("console.log('before'); throw new RangeError('boom')")
    assert (run.status, run.stdout, run.result) == (Status.FAILED, "before\n", "")
    assert "RangeError: boom\n    at evalmachine.<anonymous>:1:" in run.stderr


def test_asynchronous_runs_are_followed_to_their_end(client: Any) -> None:
    run = client.execute("$$.async(); setTimeout(() => $$.done(7), 300)", execution_type="Asynchronous")
    assert (run.status, run.result) == (Status.SUCCEEDED, "7")
    assert client.get_execution(run.id) == run


def test_files_go_up_are_listed_come_down_and_are_deleted(client: Any) -> None:
    sent = client.upload_file(b"testing", name="cert.txt")
    assert (sent.name, sent.size) == ("cert.txt", 7)
    assert [file.path for file in client.list_files()] == ["cert.txt"]
    assert client.get_file("cert.txt").modified_at == client.list_files()[0].modified_at
    assert client.download_file("cert.txt") == b"testing"
    client.delete_file("cert.txt")
    assert client.list_files() == []
    with pytest.raises(errors.NotFoundError):
        client.download_file("cert.txt")


def test_directories(newest: Any) -> None:
    newest.upload_file(b"x", name="x.txt", path="a/b")
    assert [(file.path, file.is_directory) for file in newest.list_files(recursive=True)] == [
        ("a", True),
        ("a/b", True),
        ("a/b/x.txt", False),
    ]
    assert [file.path for file in newest.list_files("a")] == ["a/b"]
    assert newest.get_file("x.txt", path="a/b").path == "a/b/x.txt"
    assert newest.download_file("x.txt", path="/mnt/data/a/b") == b"x"
    assert newest.execute("fs.readFileSync('/mnt/data/a/b/x.txt', 'utf8')").result == "'x'"


def test_the_session_and_the_pool_tell_about_themselves(client: Any, pool: LocalPool) -> None:
    client.execute("1")
    session = client.get_session()
    assert session.identifier == client.session_id
    assert session.created_at <= session.last_accessed_at < session.expires_at
    assert client.session_id in [other.identifier for other in client.list_sessions()]
    assert client.get_metadata().runtimes == {"node": pool.node_version}
    client.delete_session()
    with pytest.raises(errors.NotFoundError) as caught:
        client.get_session()
    assert client.session_id not in str(caught.value)
    client.execute("1")


def test_a_picture_is_a_value(client: Any) -> None:
    assert client.execute("$$.png('aGk=')").result == Image("png", "aGk=")


def test_many_sessions_are_told_page_by_page(pool: LocalPool, client_class: Any, isolation: Any) -> None:
    with client_class(pool.endpoint, token=pool.token) as client:
        client.execute("1")
        every = client.list_sessions()
        assert client.list_sessions(skip=len(every)) == []
        client.delete_session()


def test_a_full_pool_is_a_typed_error(client_class: Any, isolation: Any) -> None:
    with (
        LocalPool(max_sessions=1, isolation=isolation) as pool,
        client_class(pool.endpoint, token=pool.token) as first,
        client_class(pool.endpoint, token=pool.token) as second,
    ):
        first.execute("1")
        with pytest.raises(errors.PoolFullError, match="SessionsCountExceedsLimit") as caught:
            second.execute("1")
        assert caught.value.status == 429
        first.delete_session()
        assert second.execute("2").result == "2"


def test_a_wrong_token_is_a_typed_error(client_class: Any, pool: LocalPool) -> None:
    with client_class(pool.endpoint, token="wrong") as client, pytest.raises(errors.AuthenticationError):
        client.execute("1")


@pytest.mark.parametrize(
    ("code", "stdout", "result"),
    [
        ("// a comment", "", ""),
        ("console.log('a\\0b')", "a\0b\n", ""),
        ("'a\0b'.length", "", "3"),
        ("'\ud800'.length", "", "1"),
        ("console.log('\ud800')", "\ufffd\n", ""),
        ("'🦊é'.length", "", "3"),
        ("/*" + "x" * 5_000_000 + "*/ 5", "", "5"),
    ],
    ids=["comment", "NUL out", "NUL in", "lone surrogate in", "lone surrogate out", "beyond ASCII", "5 MB"],
)
def test_unusual_code(code: str, stdout: str, result: str, newest: Any) -> None:
    run = newest.execute(code)
    assert (run.status, run.stdout, run.result) == (Status.SUCCEEDED, stdout, result)


def test_fifty_megabytes_of_output(newest: Any) -> None:
    run = newest.execute("for (var i = 0; i < 50; i++) console.log('x'.repeat(1048575))")
    assert len(run.stdout) == 50 * 1048576


def test_the_services_silent_cut_is_there_when_asked_for(newest: Any) -> None:
    run = newest.execute("console.log('é'.repeat(5000))", output_limit=4095)
    assert run.stdout == "é" * 2047 + "\ufffd"


@pytest.mark.parametrize(
    "name", ["a b.txt", "naïve.txt", "🦊.txt", "50%25.txt", "a;b=c&d#e.txt", "(x)^$@.txt", "x" * 200]
)
def test_unusual_names(name: str, client: Any) -> None:
    client.upload_file(b"content", name=name)
    assert [file.name for file in client.list_files()] == [name]
    assert client.download_file(name) == b"content"
    assert client.get_file(name).size == 7
    client.delete_file(name)


def test_large_files_stream_both_ways(newest: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    content = os.urandom(1024 * 1024) * 20
    path.write_bytes(content)
    newest.upload_file(path)
    code = "require('crypto').createHash('sha256').update(fs.readFileSync('/mnt/data/large.bin')).digest('hex')"
    assert newest.execute(code).result == f"'{hashlib.sha256(content).hexdigest()}'"
    assert newest.download_file_to(tmp_path / "back.bin", "large.bin") == len(content)
    assert (tmp_path / "back.bin").read_bytes() == content


def test_the_largest_file_goes_up_and_one_byte_more_does_not(newest: Any) -> None:
    class Zeros(io.RawIOBase):
        """A file whose size nobody knows before it is read."""

        def __init__(self, size: int) -> None:
            self._left = size

        def read(self, size: int = -1) -> bytes:
            chunk = bytes(min(size, self._left))
            self._left -= len(chunk)
            return chunk

    limit = 128 * 1024 * 1024
    assert newest.upload_file(bytes(limit), name="most.bin").size == limit
    with pytest.raises(errors.PayloadTooLargeError):
        newest.upload_file(bytes(limit + 1), name="more.bin")
    with pytest.raises(errors.PayloadTooLargeError):
        newest.upload_file(Zeros(limit + 1), name="more.bin")
    assert [file.name for file in newest.list_files()] == ["most.bin"]
