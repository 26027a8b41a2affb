"""The calls that Azure's own tests recorded: for the same intent our core sends the same and reads the right thing."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from aca_node_interpreter.rest.models import Status, parse_time
from tests.http_server import Request, Response, serve


def test_there_are_42_of_them(recordings: list[dict[str, Any]]) -> None:
    assert len(recordings) == 42


@pytest.mark.parametrize("number", range(42))
def test_our_request_equals_the_recorded_one_and_its_answer_is_read(
    number: int, recordings: list[dict[str, Any]], client_class: Any
) -> None:
    recorded = recordings[number]
    wanted = urlsplit(recorded["url"])
    query = dict(parse_qsl(wanted.query, keep_blank_values=True))
    prefix, pool, call = re.split(r"(/sessionPools/[^/]+)", wanted.path)

    def answer(request: Request) -> Response:
        return Response(
            recorded["status"]["code"],
            recorded["response_body"].encode(),
            {"Content-Type": recorded["headers"].get("content-type", "text/plain"), **_timings(recorded)},
        )

    with serve(answer) as server:
        endpoint = server.url + prefix + pool
        settings = {"session_id": query["identifier"], "api_version": query["api-version"]}
        with client_class(endpoint, token="secret", **settings) as client:
            outcome = _do_the_same(client, recorded["method"], call, query, recorded["request_body"])

    (request,) = server.requests
    assert (request.method, request.path, request.query) == (recorded["method"], wanted.path, query)
    assert _meaning(request.headers.get("content-type", ""), request.body) == _recorded_meaning(recorded)
    _check(outcome, call, recorded["response_body"])
    if _timings(recorded):
        allocation = float(recorded["headers"]["x-ms-allocation-time"]) / 1000
        assert outcome.timings["allocation_time"] == pytest.approx(allocation)
        assert outcome.timings["container_execution_duration"] == outcome.duration


def _do_the_same(client: Any, method: str, call: str, query: dict[str, str], body: str | None) -> Any:
    path = {"path": query["path"]} if "path" in query else {}
    name = next((part for part in call.split("/") if part.endswith(".txt")), "")
    if method == "POST" and call in ("/code/execute", "/executions"):
        sent = json.loads(body or "")
        sent = sent.get("properties", sent)
        return client.execute(sent["code"], timeout=sent["timeoutInSeconds"])
    if method == "POST":
        return client.upload_file(b"testing", name="cert.txt", **path)
    if method == "DELETE":
        return client.delete_file(name, **path)
    if "content" in call:
        return client.download_file(name, **path)
    return client.get_file(name, **path) if name else client.list_files(**path)


def _timings(recorded: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in recorded["headers"].items() if name.endswith(("-time", "-duration"))}


def _recorded_meaning(recorded: dict[str, Any]) -> Any:
    body = recorded["request_body"]
    if body is None:
        return None
    boundary = body.split("\r\n")[0].removeprefix("--")
    form = f"multipart/form-data; boundary={boundary}"
    return _meaning(form if body.startswith("--") else "application/json", body.encode())


def _meaning(content_type: str, body: bytes) -> Any:
    """What a body says: JSON with its case-insensitive words in lower case, or the parts of a form."""
    if not body:
        return None
    if content_type.startswith("application/json"):
        return json.loads(re.sub(rb'"(Inline|Synchronous)"', lambda m: m.group().lower(), body))
    boundary = content_type.split("boundary=")[1].encode()
    parts = body.split(b"--" + boundary)[1:-1]
    heads_and_contents = [part.strip(b"\r\n").split(b"\r\n\r\n") for part in parts]
    return [(re.findall(rb'name="([^"]*)"', head), content) for head, content in heads_and_contents]


def _check(outcome: Any, call: str, response_body: str) -> None:
    if call in ("/code/execute", "/executions"):
        duration = int(re.findall(r'"executionTimeInMilliseconds":(\d+)', response_body)[0]) / 1000
        assert (outcome.status, outcome.stdout, outcome.stderr) == (Status.SUCCEEDED, "Hello world\n", "")
        assert (outcome.result, outcome.duration) == ("", duration)
    elif response_body in ("", "testing"):
        assert outcome == (b"testing" if response_body else None)
    elif response_body.endswith('"value":[]}'):
        assert outcome == []
    else:
        file = outcome[0] if isinstance(outcome, list) else outcome
        modified = re.findall(r'"lastModified(?:At|Time)":"([^"]*)"', response_body)[0]
        assert (file.name, file.size, file.path, file.is_directory) == ("cert.txt", 7, "cert.txt", False)
        assert file.modified_at == parse_time(modified)
        assert file.modified_at is not None
