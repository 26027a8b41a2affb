"""What both clients do with answers, failures and unusual input, over a real connection to a scripted server."""

from __future__ import annotations

import dataclasses
import gzip
import inspect
import io
import json
import os
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import AsyncSessionPoolClient, SessionPoolClient, errors
from aca_node_interpreter.rest.flow import Flow, Sleep
from aca_node_interpreter.rest.models import Status
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API, TUTORIAL_API, Operation, SessionCalls
from aca_node_interpreter.rest.patience import Deadline, Patience
from tests.http_server import Request, Response, serve

Connect = Callable[..., Any]


def succeeded(**result: Any) -> bytes:
    return json.dumps({"id": "e", "status": "Succeeded", "result": {"stdout": "", **result}}).encode()


def test_both_clients_have_the_same_methods() -> None:
    def signatures(client: type) -> dict[str, Any]:
        public = {name: member for name, member in vars(client).items() if not name.startswith("_")}
        return {name: inspect.signature(member) for name, member in public.items() if callable(member)}

    assert signatures(SessionPoolClient) == signatures(AsyncSessionPoolClient)


def test_the_current_family_is_flat_and_asks_for_more_than_4096_bytes(client_class: Any) -> None:
    with serve(lambda _: Response(200, succeeded(executionResult="4"))) as server:
        with client_class(server.url, token="t", session_id="my-session") as client:
            run = client.execute("1+3", code_input_type="InlineText", timeout=100)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/executions")
    assert request.query == {"identifier": "my-session", "api-version": CURRENT_API}
    assert json.loads(request.body) == {
        "codeInputType": "InlineText",
        "executionType": "Synchronous",
        "code": "1+3",
        "timeoutInSeconds": 100,
        "outputStreamsMaxLength": 64 * 1024 * 1024,
    }
    assert (run.result, run.succeeded) == ("4", True)


def test_the_tutorials_family_is_wrapped_and_needs_no_version(client_class: Any) -> None:
    with serve(lambda _: Response(200, b'{"properties":{"status":"Success","result":"4"}}')) as server:
        with client_class(server.url, token="t", session_id="my-session", api_version=TUTORIAL_API) as client:
            run = client.execute("MSsz", code_input_type="InlineBase64")
    (request,) = server.requests
    assert (request.path, request.query) == ("/code/execute", {"identifier": "my-session"})
    assert json.loads(request.body)["properties"]["identifier"] == "my-session"
    assert run.result == "4"


@pytest.mark.parametrize("api_version", [CURRENT_API, LEGACY_API])
def test_an_asynchronous_run_is_asked_for_until_it_is_over(api_version: str, client_class: Any) -> None:
    states = iter([b'{"id":"e/1","status":"NotStarted"}', b'{"id":"e/1","status":"Running"}', succeeded()])
    with serve(lambda _: Response(202, next(states))) as server:
        with client_class(server.url, token="t", api_version=api_version) as client:
            run = client.execute("1", execution_type="Asynchronous")
    assert run.status is Status.SUCCEEDED
    assert [(r.method, r.path) for r in server.requests] == [
        ("POST", "/executions"),
        ("GET", "/executions/e/1"),
        ("GET", "/executions/e/1"),
    ]
    assert "/executions/e%2F1?" in server.requests[1].target


def test_the_identifier_is_percent_encoded(client_class: Any) -> None:
    identifier = "a/b?c&d=e#f%g+h"
    with serve(lambda _: Response(200, succeeded())) as server:
        with client_class(server.url, token="t", session_id=identifier) as client:
            client.execute("1")
    assert server.requests[0].query["identifier"] == identifier
    assert "identifier=a%2Fb%3Fc%26d%3De%23f%25g%2Bh&" in server.requests[0].target


@pytest.mark.parametrize("code", ["\x00", "'\ud800'", "// nothing but a comment", "é 🦊", "x" * 5_000_000])
def test_any_text_arrives_as_it_is(code: str, client_class: Any) -> None:
    with serve(lambda _: Response(200, succeeded())) as server, client_class(server.url, token="t") as client:
        client.execute(code)
    assert json.loads(server.requests[0].body)["code"] == code


@pytest.mark.parametrize("code", ["", " \n\t"])
def test_no_code_is_refused_before_anything_is_sent(code: str, client_class: Any) -> None:
    with serve(lambda _: Response(200, succeeded())) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.ConfigurationError, match="no code"):
            client.execute(code)
    assert server.requests == []


@pytest.mark.parametrize("timeout", [0, -1, 221, float("nan"), float("inf")])
def test_a_timeout_that_the_service_does_not_know_is_refused(timeout: float, client_class: Any) -> None:
    with client_class("http://127.0.0.1:1", token="t") as client, pytest.raises(errors.ConfigurationError, match="220"):
        client.execute("1", timeout=timeout)


def test_a_link_to_the_next_page_can_not_change_the_session(client_class: Any) -> None:
    link = "https://host/files?identifier=other-session&api-version=x&skip=1"
    answers = iter([{"value": [], "NextLink": link}, {"value": []}])
    with serve(lambda _: Response(200, json.dumps(next(answers)).encode())) as server:
        with client_class(server.url, token="t", session_id="my-session") as client:
            client.list_files()
    assert server.requests[1].query == {**server.requests[0].query, "skip": "1"}


def test_pages_are_followed_on_the_same_pool(client_class: Any) -> None:
    def answer(request: Request) -> Response:
        if "skip" in request.query:
            return Response(200, b'{"value":[{"name":"b"}]}')
        return Response(200, b'{"value":[{"name":"a"}],"nextLink":"https://elsewhere.example/files?skip=1"}')

    with serve(answer) as server, client_class(server.url, token="t", session_id="my-session") as client:
        names = [file.name for file in client.list_files()]
    assert names == ["a", "b"]
    assert server.requests[1].query == {**server.requests[0].query, "skip": "1"}


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, errors.InvalidRequestError, "does not accept"),
        (401, errors.AuthenticationError, "az login"),
        (403, errors.PermissionDeniedError, "Azure ContainerApps Session Executor"),
        (404, errors.NotFoundError, "no such"),
        (409, errors.InvalidRequestError, "in the way"),
        (413, errors.PayloadTooLargeError, "128 MB"),
        (429, errors.PoolFullError, "taken"),
        (500, errors.ServiceError, "HTTP 500"),
    ],
)
def test_each_status_is_a_typed_error_with_advice(
    status: int, kind: type[errors.ServiceError], advice: str, client_class: Any
) -> None:
    body = b'{"error":{"code":"SomeCode","message":"some words","traceId":"trace"}}'
    with (
        serve(lambda _: Response(status, body, {"Retry-After": "7"})) as server,
        client_class(server.url, token="t") as client,
        pytest.raises(kind, match=advice) as caught,
    ):
        client.execute("1")
    assert type(caught.value) is kind
    assert "SomeCode: some words" in str(caught.value)
    assert (caught.value.status, caught.value.code) == (status, "SomeCode")
    assert (caught.value.trace_id, caught.value.retry_after) == ("trace", 7.0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"SessionsCountExceedsLimit","message":"there are 5"}',
        b"",
        b"plain words",
        b"<html>gateway</html>",
        b'"a string"',
        b"[1]",
        b'{"error":"a string"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_any_error_body_is_survived(body: bytes, client_class: Any) -> None:
    with (
        serve(lambda _: Response(429, body)) as server,
        client_class(server.url, token="t") as client,
        pytest.raises(errors.PoolFullError) as caught,
    ):
        client.execute("1")
    assert "<html>" not in str(caught.value)


def test_no_error_shows_the_identifier_the_token_or_a_url(client_class: Any) -> None:
    message = "Could not find session with name 'my-session' at https://host/x, Bearer hunter2, /subscriptions/s/x"
    body = json.dumps({"error": {"code": "NoSessionFoundError", "message": message}}).encode()
    with (
        serve(lambda _: Response(404, body)) as server,
        client_class(server.url, token="hunter2", session_id="my-session") as client,
        pytest.raises(errors.NotFoundError) as caught,
    ):
        client.get_session()
    shown = str(caught.value) + repr(caught.value)
    assert not [secret for secret in ("my-session", "hunter2", "http", "/subscriptions") if secret in shown]


def test_no_log_shows_the_identifier_the_token_or_code(client_class: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serve(lambda _: Response(200, succeeded())) as server:
        with client_class(server.url, token="hunter2", session_id="my-session") as client:
            client.execute("the.code()")
    assert "receive_response_headers" in caplog.text
    assert not [secret for secret in ("my-session", "hunter2", "the.code") if secret in caplog.text]


@pytest.mark.parametrize("place", ["code", "message", "header", "trace"])
def test_nothing_that_the_service_says_shows_the_identifier_or_a_url_or_is_endless(
    place: str, client_class: Any
) -> None:
    secret = "see https://host/x?identifier=my%2Fsession and my/session " + "x" * 100_000
    error = {"code": {"code": secret}, "message": {"message": secret}, "trace": {"traceId": secret}}.get(place, {})
    headers = {"x-ms-error-code": "https://host/my/session"} if place == "header" else {}
    with (
        serve(lambda _: Response(400, json.dumps({"Error": error}).encode(), headers)) as server,
        client_class(server.url, token="t", session_id="my/session") as client,
        pytest.raises(errors.InvalidRequestError) as caught,
    ):
        client.execute("1")
    shown = f"{caught.value} {caught.value.code} {caught.value.trace_id}"
    assert not [word for word in ("my/session", "my%2Fsession", "https://") if word in shown]
    assert len(shown) < 3_000


def test_an_asynchronous_start_may_be_told_in_headers_only(client_class: Any) -> None:
    answers = iter([Response(202, b"", {"Operation-Id": "op"}), Response(200, succeeded(executionResult="7"))])
    with serve(lambda _: next(answers)) as server, client_class(server.url, token="t") as client:
        started = client.start_execution("7")
        assert (started.id, started.status) == ("op", Status.NOT_STARTED)
        assert client.get_execution(started.id).result == "7"
    assert server.requests[1].path == "/executions/op"


def test_a_run_that_never_ends_is_not_asked_for_for_ever(client_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aca_node_interpreter.rest.operations._RUN_MARGIN", 0.0)
    with serve(lambda _: Response(200, b'{"id":"e","status":"Running"}')) as server:
        with client_class(server.url, token="t") as client, pytest.raises(errors.ResponseTimeoutError) as caught:
            client.execute("1", execution_type="Asynchronous", timeout=1)
    assert caught.value.ran is True
    assert len(server.requests) > 1


def test_a_closed_client_says_so(client_class: Any) -> None:
    with client_class("http://127.0.0.1:1", token="t") as client:
        client.close()
        with pytest.raises(errors.ServiceUnreachableError, match="closed"):
            client.execute("1")


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"properties":{}}', b"[" * 100_000])
def test_an_answer_of_something_else_is_a_typed_error(body: bytes, client_class: Any) -> None:
    with (
        serve(lambda _: Response(200, body)) as server,
        client_class(server.url, token="t") as client,
        pytest.raises(errors.MalformedResponseError),
    ):
        client.execute("1")


def test_code_is_sent_once_when_the_connection_breaks(client_class: Any) -> None:
    with serve(lambda _: Response(None)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.ServiceUnreachableError, match="may have run") as caught:
            client.execute("1")
    assert caught.value.ran is None
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [None, 502, 503, 504])
def test_a_question_is_asked_again_when_the_connection_or_a_gateway_fails(
    status: int | None, client_class: Any
) -> None:
    answers = iter([Response(status), Response(200, b'{"value":[]}')])
    with serve(lambda _: next(answers)) as server, client_class(server.url, token="t") as client:
        assert client.list_files() == []
    assert len(server.requests) == 2


def test_a_gateway_that_fails_a_run_is_not_asked_again(client_class: Any) -> None:
    with (
        serve(lambda _: Response(503)) as server,
        client_class(server.url, token="t") as client,
        pytest.raises(errors.ServiceError),
    ):
        client.execute("1")
    assert len(server.requests) == 1


def test_an_address_where_nobody_listens_is_a_typed_error(client_class: Any) -> None:
    with serve(lambda _: Response()) as server:
        url = server.url
    with client_class(url, token="t") as client, pytest.raises(errors.ServiceUnreachableError) as caught:
        client.execute("1")
    assert caught.value.ran is False
    assert url not in str(caught.value)


@pytest.mark.parametrize("name", ["a b.txt", "naïve.txt", "🦊.txt", "50%.txt", "a;b=c&d.txt", "x" * 200])
def test_names_that_the_service_takes_arrive_as_they_are(name: str, client_class: Any) -> None:
    def answer(request: Request) -> Response:
        return Response(200, json.dumps({"name": name, "sizeInBytes": 1}).encode() if request.body else b"content")

    with serve(answer) as server, client_class(server.url, token="t") as client:
        assert client.upload_file(b"x", name=name).name == name
        assert client.download_file(name) == b"content"
    upload, download = server.requests
    assert f'filename="{name}"'.encode() in upload.body
    assert download.path == f"/files/{name}/content"


@pytest.mark.parametrize("name", ["a/b.txt", "..", ".", "", 'a"b.txt', "a\nb", "a\x00b", "a\\b", "\ud800"])
def test_names_that_the_service_does_not_take_are_refused_before_sending(name: str, client_class: Any) -> None:
    with serve(lambda _: Response(200, b"{}")) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.ConfigurationError):
            client.upload_file(b"x", name=name)
    assert server.requests == []


@pytest.mark.parametrize("name", ["a/b.txt", "..", ".", "", "a\x00b", "\ud800"])
def test_a_download_names_one_file(name: str, client_class: Any) -> None:
    with client_class("http://127.0.0.1:1", token="t") as client, pytest.raises(errors.InvalidFileNameError):
        client.download_file(name)


def test_uploads_come_from_paths_bytes_and_file_objects(client_class: Any, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_bytes(b"a,b\n")
    with serve(lambda _: Response(200, b'{"name":"sample.csv","sizeInBytes":4}')) as server:
        with client_class(server.url, token="t") as client:
            client.upload_file(path)
            client.upload_file(str(path))
            client.upload_file(b"a,b\n", name="sample.csv")
            client.upload_file(io.BytesIO(b"a,b\n"), name="sample.csv")
            with path.open("rb") as file:
                client.upload_file(file)
    for request in server.requests:
        assert b'filename="sample.csv"' in request.body
        assert b"\r\n\r\na,b\n\r\n" in request.body


def test_a_stream_is_sent_from_where_it_stands_and_may_be_a_pipe(client_class: Any) -> None:
    with serve(lambda _: Response(200, b'{"name":"a"}')) as server, client_class(server.url, token="t") as client:
        middle = io.BytesIO(b"abcdef")
        middle.seek(3)
        client.upload_file(middle, name="a")
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as end:
            end.write(b"piped")
        with os.fdopen(reading, "rb") as pipe:
            client.upload_file(pipe, name="a")
    assert b"\r\n\r\ndef\r\n" in server.requests[0].body
    assert b"\r\n\r\npiped\r\n" in server.requests[1].body


def test_a_file_that_grows_while_it_is_sent_is_sent_as_it_was(client_class: Any) -> None:
    class Log(io.BytesIO):
        """Somebody writes to it whenever some of it was read."""

        def read(self, size: int | None = -1, /) -> bytes:
            chunk, here = super().read(size), self.tell()
            self.seek(0, os.SEEK_END)
            self.write(b"more")
            self.seek(here)
            return chunk

    with serve(lambda _: Response(200, b'{"name":"a"}')) as server, client_class(server.url, token="t") as client:
        client.upload_file(Log(b"first"), name="a")
    assert b"\r\n\r\nfirst\r\n" in server.requests[0].body


def test_a_file_that_shrinks_while_it_is_sent_is_an_error_of_ours(client_class: Any) -> None:
    class Emptied(io.BytesIO):
        """Somebody empties it as soon as some of it was read."""

        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            self.truncate(self.tell())
            return chunk

    with serve(lambda _: Response(200, b'{"name":"a"}')) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.UploadError, match="became shorter"):
            client.upload_file(Emptied(bytes(1_000_000)), name="a")


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="there is no /proc here")
def test_a_file_that_has_content_but_no_size_is_read_to_its_end(client_class: Any) -> None:
    with serve(lambda _: Response(200, b'{"name":"a"}')) as server, client_class(server.url, token="t") as client:
        client.upload_file("/proc/version")
        with pytest.raises(errors.PayloadTooLargeError):
            client.upload_file("/dev/zero")
    (request,) = server.requests
    assert b"\r\n\r\n" + Path("/proc/version").read_bytes() + b"\r\n" in request.body


def test_a_download_is_asked_for_again_before_its_first_byte(client_class: Any, tmp_path: Path) -> None:
    answers = iter([Response(None), Response(503), Response(200, b"content")])
    (tmp_path / "a.txt.part").write_text("the user's own")
    with serve(lambda _: next(answers)) as server, client_class(server.url, token="t") as client:
        client.download_file_to(tmp_path, "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"content"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "a.txt.part"]
    assert len(server.requests) == 3


def test_bytes_need_a_name(client_class: Any) -> None:
    with client_class("http://127.0.0.1:1", token="t") as client:
        with pytest.raises(errors.ConfigurationError, match="name"):
            client.upload_file(b"x")
        with pytest.raises(errors.ConfigurationError, match="name"):
            client.upload_file(io.BytesIO(b"x"))


def test_a_file_that_is_open_as_text_is_refused(client_class: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with client_class("http://127.0.0.1:1", token="t") as client, (tmp_path / "a.txt").open() as file:
        with pytest.raises(errors.ConfigurationError, match="rb"):
            client.upload_file(file)


def test_an_upload_over_128_mb_is_refused_before_sending(client_class: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(128 * 1024 * 1024 + 1)
    with serve(lambda _: Response(200, b"{}")) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.PayloadTooLargeError, match="134,217,729 bytes"):
            client.upload_file(path)
    assert server.requests == []


def test_a_download_streams_to_a_path_a_directory_or_a_file_object(client_class: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    with serve(lambda _: Response(200, content)) as server, client_class(server.url, token="t") as client:
        sink = io.BytesIO()
        assert client.download_file_to(sink, "a.bin") == len(content)
        client.download_file_to(tmp_path / "b.bin", "a.bin")
        client.download_file_to(tmp_path, "a.bin", path="sub")
    assert sink.getvalue() == (tmp_path / "b.bin").read_bytes() == (tmp_path / "a.bin").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.bin"]
    assert server.requests[2].query["path"] == "sub"


def test_a_download_that_fails_leaves_the_former_file(client_class: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("former")
    with serve(lambda _: Response(404)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.NotFoundError):
            client.download_file_to(tmp_path / "a.txt", "a.txt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "former")]


def test_a_download_into_a_directory_that_can_not_be_written_is_an_os_error(client_class: Any, tmp_path: Path) -> None:
    with serve(lambda _: Response(200, b"x")) as server, client_class(server.url, token="t") as client:
        with pytest.raises(FileNotFoundError):
            client.download_file_to(tmp_path / "no" / "such" / "a.txt", "a.txt")
    assert server.requests == []


def test_what_the_older_family_never_had_is_asked_in_the_newer_one(client_class: Any) -> None:
    body = b'{"sessions":[],"identifier":"abcd","runtimes":[]}'
    with serve(lambda r: Response(204 if r.method == "DELETE" else 200, body if r.method == "GET" else b"")) as server:
        with client_class(server.url, token="t", api_version=LEGACY_API) as client:
            client.get_session()
            client.list_sessions()
            client.get_metadata()
            client.delete_session()
    assert {request.query["api-version"] for request in server.requests} == {CURRENT_API}
    assert [request.path for request in server.requests] == ["/session", "/listSessions", "/metadata", "/session"]
    assert "identifier" not in server.requests[2].query


def broken(content: bytes, *cuts: int, version: str = "") -> Callable[[Request], Response]:
    """Return what cuts a file's answer after so many bytes, one after the other, and knows parts if it has versions."""
    left = list(cuts)

    def answer(request: Request) -> Response:
        cut = left.pop(0) if left else None
        headers = {"ETag": version} if version else {}
        if version and request.headers.get("if-range") == version:
            begin = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            return Response(206, content[begin:], headers, cut_after=cut)
        return Response(200, content, headers, cut_after=cut)

    return answer


@pytest.mark.parametrize("version", ["", 'W/"1"', '"1"'])
def test_a_download_that_breaks_goes_on_and_no_byte_is_written_twice(version: str, client_class: Any) -> None:
    content = os.urandom(200_000)
    # More often than a call is sent again that brings nothing.
    answer = broken(content, 1000, 70_000, 70_500, 150_000, 199_999, version=version)
    if version == '"1"':
        answer = broken(content, 1000, 69_000, 500, 70_000, 50_000, version=version)
    with serve(answer) as server, client_class(server.url, token="t") as client:
        sink = io.BytesIO()
        assert client.download_file_to(sink, "a.bin") == len(content)
    assert sink.getvalue() == content
    asked = [request.headers.get("range", "") for request in server.requests]
    assert bool(asked[1]) is (version == '"1"')
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}


def test_a_download_that_brings_nothing_more_is_given_up(client_class: Any) -> None:
    with serve(broken(b"x" * 1000, *[10] * 9)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.ServiceUnreachableError, match="connection"):
            client.download_file_to(io.BytesIO(), "a.bin")
    assert len(server.requests) == 3


@pytest.mark.parametrize("now", [b"y" * 1000, b"x" * 9 + b"y" * 991, b"x" * 5])
def test_a_file_that_changes_while_it_is_fetched_is_never_two_halves(now: bytes, client_class: Any) -> None:
    answers = [Response(200, b"x" * 1000, cut_after=10), Response(200, now)]
    with serve(lambda _: answers.pop(0)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.MalformedResponseError, match="changed while it was fetched"):
            client.download_file_to(io.BytesIO(), "a.bin")
    assert answers == []
    assert server.requests


def test_a_download_of_which_only_the_end_was_lost_is_whole(client_class: Any) -> None:
    content = b"0123456789"
    in_chunks = {"ETag": '"1"', "Transfer-Encoding": "chunked"}

    def answer(request: Request) -> Response:
        if "range" not in request.headers:
            return Response(200, b"a\r\n%s\r\n0\r\n\r\n" % content, in_chunks, cut_after=5 + len(content))
        begin = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
        if begin >= len(content):
            return Response(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        there = {"ETag": '"1"', "Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        return Response(206, content[begin:], there)

    with serve(answer) as server, client_class(server.url, token="t") as client:
        sink = io.BytesIO()
        assert client.download_file_to(sink, "a.bin") == len(content)
    assert sink.getvalue() == content
    assert len(server.requests) == 2


def test_a_rest_that_does_not_continue_what_came_is_refused(client_class: Any) -> None:
    rest = Response(206, b"y" * 991, {"Content-Range": "bytes 9-999/1000"})
    answers = [Response(200, b"x" * 1000, {"ETag": '"1"'}, cut_after=10), rest]
    with serve(lambda _: answers.pop(0)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.MalformedResponseError, match="changed while it was fetched"):
            client.download_file_to(io.BytesIO(), "a.bin")


def test_another_part_than_was_asked_for_is_refused(client_class: Any) -> None:
    wrong = Response(206, b"x" * 10, {"Content-Range": "bytes 0-9/1000"})
    answers = [Response(200, b"x" * 1000, {"ETag": '"1"'}, cut_after=10), wrong]
    with serve(lambda _: answers.pop(0)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.MalformedResponseError, match="another part"):
            client.download_file_to(io.BytesIO(), "a.bin")


def test_an_answer_of_hostile_size_is_not_read(client_class: Any) -> None:
    large = b"[" + b" " * 3_000_000
    answers = [Response(200, gzip.compress(large), {"Content-Encoding": "gzip"}), Response(200, large)]
    operation = dataclasses.replace(SessionCalls("a-session").get_session(), max_bytes=1_000_000)
    with serve(lambda _: answers.pop()) as server, client_class(server.url, token="t") as client:
        for _ in range(2):
            with pytest.raises(errors.MalformedResponseError, match="1,000,000 bytes"):
                client.perform(flow_of(operation))
    assert answers == []


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_a_compression_that_nobody_asked_for_is_refused(encoding: str, client_class: Any) -> None:
    answer = Response(200, b"{}", {"Content-Encoding": encoding})
    with serve(lambda _: answer) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.MalformedResponseError, match="compression"):
            client.get_session()


def test_a_deadline_ends_an_answer_that_drips(client_class: Any) -> None:
    drips = Response(200, b" " * 1000, pause=0.05)
    with serve(lambda _: drips) as server, client_class(server.url, token="t") as client:
        for operation in (SessionCalls("a-session").get_session(), SessionCalls("a-session").execute("1")):
            began = time.monotonic()
            with pytest.raises(errors.DeadlineExceededError, match=r"deadline of 1 second") as caught:
                client.perform(flow_of(operation), Patience(Deadline.after(1)))
            assert time.monotonic() - began < 5
            assert caught.value.ran is (None if operation.runs_code else False)
            assert isinstance(caught.value, TimeoutError)
    assert len(server.requests) == 2


def test_nothing_is_sent_when_the_deadline_is_over(client_class: Any) -> None:
    with serve(lambda _: Response()) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.DeadlineExceededError) as caught:
            client.perform(flow_of(SessionCalls("a-session").execute("1")), Patience(Deadline.after(0)))
    assert caught.value.ran is False
    assert server.requests == []


def flow_of(operation: Operation[Any]) -> Flow[Any]:
    return (yield operation)


@pytest.mark.parametrize(
    ("refusal", "least"),
    [
        (Response(429, b'{"code":"SessionsCountExceedsLimit","message":"The request sessions count is 1."}'), 0.1),
        (Response(404, b'{"error":{"code":"SessionsCountExceedsLimit","message":"No more sessions."}}'), 0.1),
        (Response(429, headers={"Retry-After": "0"}), 0.1),
        (Response(429, headers={"Retry-After": "1"}), 1),
        (Response(429, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)}), 0),
    ],
)
def test_a_full_pool_is_an_error_at_once_or_waited_for(refusal: Response, least: float, client_class: Any) -> None:
    answers = [refusal, refusal, Response(200, b'{"status":"Succeeded","result":{}}')]
    paused: list[float] = []

    def when_full(_: Deadline, seconds: float) -> Flow[None]:
        paused.append(seconds)
        yield Sleep(0)

    with serve(lambda _: answers.pop(0)) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.PoolFullError, match="All sessions"):
            client.execute("1")
        operation = SessionCalls("a-session").execute("1")
        assert client.perform(flow_of(operation), Patience(Deadline.after(120), when_full)).succeeded
    assert len(server.requests) == 3
    assert len(paused) == 1
    assert least <= paused[0] < 3


@pytest.mark.parametrize("failure", [Response(404), Response(None), Response(500), Response(200, b"[]")])
def test_a_question_that_fails_leaves_it_open_whether_the_code_ran(failure: Response, client_class: Any) -> None:
    def answer(request: Request) -> Response:
        return Response(202, b'{"id":"e","status":"Running"}') if request.method == "POST" else failure

    with serve(answer) as server, client_class(server.url, token="t") as client:
        with pytest.raises(errors.AcaNodeError, match="may have run") as caught:
            client.execute("1", execution_type="Asynchronous")
    assert caught.value.ran is None


def test_what_a_lost_answer_had_already_deleted_is_no_error(client_class: Any) -> None:
    answers = iter([Response(None), Response(404), Response(404)])
    with serve(lambda _: next(answers)) as server, client_class(server.url, token="t") as client:
        client.delete_file("a.txt")
        with pytest.raises(errors.NotFoundError):
            client.delete_file("a.txt")


def test_a_page_is_a_file_where_its_name_says_so(client_class: Any) -> None:
    page = Response(200, b"<html></html>", {"Content-Type": "text/html; charset=utf-8"})
    with serve(lambda _: page) as server, client_class(server.url, token="t") as client:
        assert client.download_file("Report.HTML") == b"<html></html>"
        with pytest.raises(errors.MalformedResponseError, match="A web page came instead"):
            client.download_file("report.csv")


def test_an_upload_is_sent_whole_again_with_a_new_token(client_class: Any) -> None:
    tokens = iter(["old", "new"])

    def answer(request: Request) -> Response:
        is_known = request.headers["authorization"] == "Bearer new"
        return Response(200, b'{"name":"a.bin"}') if is_known else Response(401)

    content = os.urandom(300_000)
    with serve(answer) as server, client_class(server.url, credential=lambda: next(tokens)) as client:
        client.upload_file(io.BytesIO(content), name="a.bin")
    assert [content in request.body for request in server.requests] == [True, True]


def test_a_full_pool_is_waited_for_only_as_long_as_the_run_still_fits(client_class: Any) -> None:
    with serve(lambda _: Response(429)) as server, client_class(server.url, token="t") as client:
        operation = SessionCalls("a-session").execute("1", timeout=60)
        with pytest.raises(errors.PoolFullError):
            client.perform(flow_of(operation), Patience(Deadline.after(59), lambda *_: flow_of(operation)))
    assert len(server.requests) == 1
