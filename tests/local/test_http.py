"""Who may ask, which call a path is, and how a bad request is refused."""

from __future__ import annotations

import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from aca_node_interpreter.local import LocalPool
from tests.local.remote import CURRENT, LEGACY, NEWEST, Remote

PREFIX = "/subscriptions/s/resourceGroups/g/sessionPools/p"
RUN = {"code": "1+1", "timeoutInSeconds": 30}


@pytest.mark.parametrize("spaces", [1, 2, 5])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens_the_pool(pool: LocalPool, spaces: int, scheme: str) -> None:
    headers = {"authorization": scheme + " " * spaces + pool.token}
    assert httpx.get(f"{pool.endpoint}/metadata?api-version={NEWEST}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Bearer tökén", "Basic {token}", "{token}", "Bearer {token}x"]
)
def test_anything_else_does_not(pool: LocalPool, header: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.format(token=pool.token).encode())]
    answer = httpx.get(f"{pool.endpoint}/metadata?api-version={NEWEST}", headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("app.localhost:3", 200),
        ("127.0.0.1", 200),
        ("127.8.8.8:9", 200),
        ("[::1]:9", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_only_loopback_names_are_answered(http: httpx.Client, host: str, status: int) -> None:
    assert http.get(f"/metadata?api-version={NEWEST}", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:3000", 200), ("https://evil.example", 403), ("null", 403), ("http://[", 403)],
)
def test_foreign_origins_are_refused(http: httpx.Client, origin: str, status: int) -> None:
    assert http.get(f"/metadata?api-version={NEWEST}", headers={"origin": origin}).status_code == status


@pytest.mark.parametrize("prefix", ["", PREFIX])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["/execute", "/code/execute"])
def test_legacy_paths(remote: Remote, prefix: str, slash: str, path: str) -> None:
    for version in (None, LEGACY, NEWEST):
        answer = remote.call("POST", prefix + path + slash, version=version, json={"properties": {"code": "1+1"}})
        assert answer.status_code == 200
        assert answer.json()["properties"]["result"] == "2"


@pytest.mark.parametrize(("version", "status"), [(CURRENT, 202), ("2025-02-02-preview", 202), (NEWEST, 200)])
@pytest.mark.parametrize("path", ["/executions", f"{PREFIX}/executions/"])
def test_the_current_path(remote: Remote, version: str, status: int, path: str) -> None:
    answer = remote.call("POST", path, version=version, json=RUN)
    assert answer.status_code == status
    body = answer.json()
    assert list(body) == ["$id", "id", "identifier", "executionType", "status", "result"]
    assert list(body["result"]) == ["$id", "stdout", "stderr", "executionResult", "executionTimeInMilliseconds"]
    assert body["result"]["executionResult"] == "2"
    assert float(answer.headers["x-ms-allocation-time"]) >= 0
    assert answer.headers["x-ms-session-guid"]


def test_keys_and_choices_are_read_in_any_case_and_echoed_as_sent(remote: Remote) -> None:
    body = {"CODE": "MSsy", "CodeInputType": "INLINEBASE64", "ExecutionType": "sYnchronous", "TIMEOUTINSECONDS": 9}
    answer = remote.call("POST", "/executions", version=NEWEST, json=body).json()
    assert (answer["executionType"], answer["result"]["executionResult"]) == ("sYnchronous", "3")


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        (NEWEST, {}, 4096),
        (NEWEST, {"outputStreamsMaxLength": 10}, 10),
        (NEWEST, {"outputStreamsMaxLength": 0}, 0),
        (CURRENT, {"outputStreamsMaxLength": 10}, 10_000),
    ],
)
def test_streams_are_cut_where_the_api_version_has_it(
    remote: Remote, version: str, fields: dict[str, int], kept: int
) -> None:
    code = "process.stdout.write('x'.repeat(10_000)); process.stderr.write('y'.repeat(10_000))"
    result = remote.call("POST", "/executions", version=version, json={"code": code, **fields}).json()["result"]
    assert (result["stdout"], result["stderr"]) == ("x" * kept, "y" * kept)


def test_a_cut_character_is_replaced_and_the_services_words_are_not_cut(remote: Remote) -> None:
    code = "process.stdout.write('aé'); process.stderr.write('bé'); process.exit()"
    run = remote.run(code, outputStreamsMaxLength=2)
    assert run["stdout"] == "a\ufffd"
    assert run["stderr"] == "b\ufffd\nRequest timed out waiting for code execution to complete"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"properties": {"code": "1"}}, 400, "SessionPropertiesMissing"),
        ({"timeoutInSeconds": 9}, 400, "SessionPropertiesMissing"),
        ({"code": ""}, 400, "SessionPropertiesMissing"),
        ({"code": "", "codeInputType": "InlineBase64"}, 400, "SessionPropertiesMissing"),
        ({"code": 5}, 400, "SessionRequestValidationFailed"),
        ({"code": "%%%", "codeInputType": "InlineBase64"}, 400, "SessionRequestValidationFailed"),
        ({"code": "/w==", "codeInputType": "InlineBase64"}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "codeInputType": "File"}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "executionType": "Later"}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": 0}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": -1}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": "9"}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": True}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": 10**400}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "outputStreamsMaxLength": -1}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": 9999}, 200, None),
        ({"code": "1"}, 200, None),
        ({"code": "1", "timeoutInSeconds": None}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "codeInputType": None}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "stdin": 5}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "useEmptyKernel": 1}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "execCommandAndArgs": ["a", 1]}, 400, "SessionRequestValidationFailed"),
        ({"code": "1", "stdin": "", "useEmptyKernel": False, "execCommandAndArgs": ["a"]}, 200, None),
        ({"code": "1", "unknown": {}}, 200, None),
    ],
)
def test_execute_bodies(remote: Remote, body: dict[str, Any], status: int, code: str | None) -> None:
    answer = remote.call("POST", "/executions", version=NEWEST, json=body)
    assert answer.status_code == status, answer.text
    if code is not None:
        assert answer.json()["error"]["code"] == answer.headers["x-ms-error-code"] == code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'{"code": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"code": 1' + b"0" * 5000 + b"}"]
)
def test_malformed_json_is_a_problem(remote: Remote, body: bytes) -> None:
    answer = remote.call("POST", "/executions", version=NEWEST, content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["title"] == "One or more validation errors occurred."


def test_null_stands_for_the_default_where_no_description_forbids_it(remote: Remote) -> None:
    body = {"code": "1", "timeoutInSeconds": None, "codeInputType": None, "stdin": 5}
    assert remote.call("POST", "/executions", version=CURRENT, json=body).status_code == 202


@pytest.mark.parametrize(("sent", "status"), [("true", 200), ("False", 200), ("", 400), ("1", 400), ("yes", 400)])
def test_recursive_is_true_or_false(remote: Remote, sent: str, status: int) -> None:
    assert remote.call("GET", "/files", version=NEWEST, params={"recursive": sent}).status_code == status


@pytest.mark.parametrize("operation_id", ["run 1", "r\u00fcn/..?", "x" * 256])
def test_any_operation_id_that_a_header_can_carry_finds_its_run(remote: Remote, operation_id: str) -> None:
    headers = [(b"operation-id", operation_id.encode("latin-1"))]
    answer = remote.call("POST", "/executions", version=NEWEST, json=RUN, headers=headers)
    assert answer.json()["id"] == operation_id
    found = remote.http.get(answer.headers["operation-location"])
    assert found.json()["result"]["executionResult"] == "2"


def test_legacy_bodies_need_their_wrapper(remote: Remote) -> None:
    answer = remote.call("POST", "/code/execute", json=RUN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "SessionPropertiesMissing")


def test_a_body_over_the_limit_is_refused(remote: Remote) -> None:
    assert remote.call("POST", "/executions", version=NEWEST, content=b" " * (65 << 20)).status_code == 413


@pytest.mark.parametrize(("fields", "status"), [(0, 200), (50, 200), (200, 400)])
def test_a_form_may_have_some_other_fields(remote: Remote, fields: int, status: int) -> None:
    data = {f"field-{number}": "x" for number in range(fields)}
    answer = remote.call("POST", "/files", version=NEWEST, data=data, files={"file": ("a.txt", b"a")})
    assert answer.status_code == status


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_json_is_read_in_any_of_its_encodings(remote: Remote, encoding: str) -> None:
    body = '{"code": "\'ä\' + 1"}'.encode(encoding)
    answer = remote.call("POST", "/executions", version=NEWEST, content=body).json()
    assert answer["result"]["executionResult"] == "'ä1'"


@pytest.mark.parametrize("identifier", [None, "", "abc", "x" * 129, "with space", "umläut", "new\nline", "back\\slash"])
def test_identifiers_outside_the_rule_are_refused(http: httpx.Client, identifier: str | None) -> None:
    params = {"api-version": NEWEST, **({} if identifier is None else {"identifier": identifier})}
    for method, path in [("POST", "/executions"), ("GET", "/files"), ("GET", "/session"), ("DELETE", "/files/x")]:
        answer = http.request(method, path, params=params, **({"json": RUN} if method == "POST" else {}))  # type: ignore[arg-type]
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "SessionRequestValidationFailed"


@pytest.mark.parametrize("identifier", ["abcd", "x" * 128, "|-&^%$#(){}[];<>", "a:b\"';?/.,@*_+=!~`"])
def test_identifiers_of_the_documented_set_work(http: httpx.Client, identifier: str) -> None:
    remote = Remote(http, identifier)
    assert remote.value("1") == "1"
    assert remote.call("GET", "/session", version=NEWEST).json()["identifier"] == identifier
    assert remote.call("DELETE", "/session", version=NEWEST).status_code == 204


def test_api_versions(remote: Remote) -> None:
    unknown = remote.call("GET", "/files", version="2031-01-01")
    assert (unknown.status_code, unknown.content) == (401, b"")
    missing = remote.call("POST", "/executions", json=RUN)
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "SessionRequestValidationFailed")
    assert remote.call("GET", "/files").json() == {"$id": "1", "value": []}


def test_unknown_paths_and_methods(remote: Remote) -> None:
    for path in ("/nothing", "/python/execute", "/files/a/b/c", "/subscriptions/s", "//executions//x"):
        assert remote.call("GET", path, version=NEWEST).status_code == 404, path
    wrong = remote.call("PUT", "/files/x", version=NEWEST)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, DELETE")
    stop = remote.call("POST", "/.management/stopSession", version=NEWEST)
    assert (stop.status_code, stop.json()["error"]["code"]) == (400, "SessionRequestNotSupported")


def test_an_asynchronous_execution_is_polled(remote: Remote) -> None:
    body = {"code": "$$.async(); setTimeout(() => $$.done('late'), 300)", "executionType": "Asynchronous"}
    answer = remote.call("POST", f"{PREFIX}/executions", version=NEWEST, json=body, headers={"operation-id": "my-run"})
    assert answer.json() == {
        "$id": "1",
        "id": "my-run",
        "identifier": remote.identifier,
        "executionType": "Asynchronous",
        "status": "Running",
    }
    assert answer.headers["operation-id"] == "my-run"
    assert f"{PREFIX}/executions/my-run?" in answer.headers["operation-location"]
    deadline = time.monotonic() + 5
    while (polled := remote.http.get(answer.headers["operation-location"]).json())["status"] == "Running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (polled["status"], polled["result"]["executionResult"]) == ("Succeeded", "'late'")


def test_recent_executions_are_remembered(remote: Remote) -> None:
    first = remote.call("POST", "/executions", version=NEWEST, json=RUN).json()
    assert remote.call("GET", f"/executions/{first['id']}", version=NEWEST).json() == first
    for number in range(100):
        remote.call("POST", "/executions", version=NEWEST, json=RUN, headers={"operation-id": f"run-{number}"})
    assert remote.call("GET", "/executions/run-0", version=NEWEST).status_code == 200
    missing = remote.call("GET", f"/executions/{first['id']}", version=NEWEST)
    assert missing.status_code == 404
    assert missing.json()["error"]["message"] == f"No execution available for operation Id: {first['id']}"


def test_metadata_names_the_real_runtime(pool: LocalPool, http: httpx.Client) -> None:
    body = http.get(f"/metadata?api-version={NEWEST}").json()
    assert body["runtimes"] == [{"name": "node", "version": pool.node_version}]
    assert set(body["jupyterKernel"]) == {"name", "version", "projectUrl", "description"}


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 14", '{"code":"1+1"}'),
        ("Transfer-Encoding: chunked", '7\r\n{"code"\r\n7\r\n:"1+1"}\r\n0\r\n\r\n'),
    ],
    ids=["length", "chunked"],
)
def test_another_protocol_is_not_taken_and_the_request_is(pool: LocalPool, framing: str, body: str, size: int) -> None:
    """As Java's own client asks for HTTP/2."""
    query = f"api-version={NEWEST}&identifier=upgrade"
    head = f"Host: localhost\r\nAuthorization: Bearer {pool.token}\r\n"
    run = f"POST /executions?{query} HTTP/1.1\r\n{head}{UPGRADE}{framing}\r\n\r\n{body}"
    nothing = f"POST /executions?{query} HTTP/1.1\r\n{head}{UPGRADE}Content-Length: 0\r\n\r\n"
    look = f"GET /session?{query} HTTP/1.1\r\n{head}{UPGRADE}\r\n"
    end = f"DELETE /session?{query} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    sent = (run + nothing + look + run + end).encode()
    address = urlsplit(pool.endpoint)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as connection:
        for start in range(0, len(sent), size):
            connection.sendall(sent[start : start + size])
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answers)
    assert statuses == [b"200", b"400", b"200", b"200", b"204"]
    assert answers.count(b'"executionResult":"2"') == 2
