"""In raw mode: how a session's files are collected when the service or the disk misbehaves, and in the older family."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.errors import ServiceUnreachableError
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API, SessionCalls
from aca_node_interpreter.sessions import session as session_module
from aca_node_interpreter.sessions.runs import Limits, Run
from aca_node_interpreter.sessions.session import Session
from tests.http_server import Request, Response, Server, serve

SUCCEEDED = b'{"id":"e","status":"Succeeded","result":{"stdout":"out","executionResult":""}}'


def listing(*files: dict[str, Any]) -> Response:
    return Response(200, json.dumps({"value": [{"sizeInBytes": 1, **file} for file in files]}).encode())


def run(
    client_class: Any,
    answers: dict[str, Callable[[Request], Response]],
    directory: Path,
    *,
    is_new: bool = True,
    limits: Limits | None = None,
) -> tuple[Run, Server]:
    """Run something against a server that answers each kind of call as told."""

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, SUCCEEDED)
        return answers["content" if request.path.endswith("/content") else "list"](request)

    with serve(answer) as server, client_class(server.url, token="t", session_id="my-session") as client:
        calls = SessionCalls("my-session", CURRENT_API)
        session = Session(calls, is_new=is_new, limits=limits or Limits(), mode="raw")
        return client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(directory))), server


def test_a_new_session_costs_one_listing_and_a_resumed_one_two(client_class: Any, tmp_path: Path) -> None:
    answers = {"list": lambda _: listing()}
    for is_new, calls in ((True, ["POST", "GET"]), (False, ["GET", "POST", "GET"])):
        _, server = run(client_class, answers, tmp_path, is_new=is_new)
        assert [request.method for request in server.requests] == calls


def test_a_file_that_is_deleted_in_between_is_reported(client_class: Any, tmp_path: Path) -> None:
    answers = {
        "list": lambda _: listing({"name": "gone.txt"}, {"name": "there.txt"}),
        "content": lambda r: Response(404) if "gone" in r.path else Response(200, b"x"),
    }
    outcome, _ = run(client_class, answers, tmp_path)
    assert [artifact.name for artifact in outcome.artifacts] == ["there.txt"]
    (problem,) = outcome.problems
    assert problem.startswith("gone.txt: The session pool has no such session, file or execution")
    assert "Not saved: gone.txt" in outcome.text
    assert [path.name for path in tmp_path.iterdir()] == ["there.txt"]


def test_a_file_that_grew_over_the_limit_while_it_came_is_reported(client_class: Any, tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, SUCCEEDED)
        return Response(200, b"x" * 100) if "content" in request.path else listing({"name": "a"})

    with serve(answer) as server, client_class(server.url, token="t") as client:
        session = Session(SessionCalls("my-session"), is_new=True, mode="raw")
        outcome = client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path, max_bytes=99)))
    assert outcome.problems == ("a: it is larger than the limit for one artifact",)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_that_fails_does_not_lose_the_run(client_class: Any, tmp_path: Path) -> None:
    outcome, _ = run(client_class, {"list": lambda _: Response(500)}, tmp_path)
    assert outcome.execution.stdout == "out"
    assert "could not be listed" in outcome.problems[0]


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "", "\ud800"])
def test_names_that_no_file_can_have_are_reported(name: str, client_class: Any, tmp_path: Path) -> None:
    answers = {
        "list": lambda _: listing({"name": name or "x", "directory": ""}),
        "content": lambda _: Response(200, b"x"),
    }
    directory = tmp_path / "artifacts"
    outcome, _ = run(client_class, answers, directory)
    assert len(outcome.problems) + len(outcome.artifacts) == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"artifacts"}
    outcome.text.encode()


def test_a_hostile_directory_stays_inside(client_class: Any, tmp_path: Path) -> None:
    answers = {
        "list": lambda _: listing({"name": "x", "directory": "../../up"}, {"name": "y", "directory": "/etc"}),
        "content": lambda _: Response(200, b"x"),
    }
    directory = tmp_path / "artifacts"
    outcome, _ = run(client_class, answers, directory)
    for artifact in outcome.artifacts:
        assert directory in artifact.path.resolve().parents
    assert list(tmp_path.iterdir()) in ([], [directory])


def test_only_the_content_that_came_whole_is_an_artifact(client_class: Any, tmp_path: Path) -> None:
    answers = {"list": lambda _: listing({"name": "a"}), "content": lambda _: Response(None)}
    outcome, _ = run(client_class, answers, tmp_path)
    assert "a: The connection to the session pool broke" in outcome.problems[0]
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_is_no_base64_is_reported(client_class: Any, tmp_path: Path) -> None:
    value = {"type": "image", "format": "../png", "base64_data": "!!!"}
    body = json.dumps(
        {"id": "e", "status": "Succeeded", "result": {"stdout": "out", "executionResult": value}}
    ).encode()
    with serve(lambda r: Response(200, body) if r.method == "POST" else listing()) as server:
        with client_class(server.url, token="t") as client:
            session = Session(SessionCalls("my-session"), is_new=True, mode="raw")
            outcome = client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path)))
    assert outcome.text.startswith("out\n")
    assert outcome.problems == ("image.png: it is not base64",)


@pytest.mark.parametrize("api_version", [LEGACY_API, "2024-10-02-preview", "2025-02-02-preview", CURRENT_API])
async def test_every_api_version_brings_files_back(api_version: str, pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, api_version=api_version) as executor:
        message = await executor.ainvoke(
            {
                "name": executor.name,
                "args": {"code": "fs.writeFileSync('/mnt/data/a', 'x'); 3"},
                "id": "1",
                "type": "tool_call",
            }
        )
        assert message.content == '=> 3\nFiles saved:\n- a (1 bytes, text, "x")'
        assert message.artifact["files"][0]["sha256"] == sha256(b"x").hexdigest()


def test_what_did_not_arrive_comes_with_the_next_run(client_class: Any, tmp_path: Path) -> None:
    broken = [True]

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, SUCCEEDED)
        if "content" not in request.path:
            return listing({"name": "a"})
        return Response(500 if broken.pop() else 200, b"x")

    with serve(answer) as server, client_class(server.url, token="t") as client:
        session = Session(SessionCalls("my-session"), is_new=True, mode="raw")
        runs = []
        for state in (True, False, False):
            broken.append(state)
            runs.append(client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path))))
    assert [[artifact.name for artifact in each.artifacts] for each in runs] == [[], ["a"], []]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_came_for_nobody_comes_with_the_next_run(
    client_class: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise InterruptedError

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, SUCCEEDED)
        return Response(200, b"x") if "content" in request.path else listing({"name": "a"})

    with serve(answer) as server, client_class(server.url, token="t") as client:
        session = Session(SessionCalls("my-session"), is_new=True, mode="raw")
        with monkeypatch.context() as patched:
            patched.setattr(session_module, "finished", gone)
            with pytest.raises(InterruptedError):
                client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path)))
        runs = [client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path))) for _ in range(2)]
    assert [[artifact.name for artifact in each.artifacts] for each in runs] == [["a"], []]


def test_what_a_run_made_whose_answer_was_lost_comes_with_the_next(client_class: Any, tmp_path: Path) -> None:
    answers = [Response(200, SUCCEEDED), Response(None)]
    listings = [listing({"name": "a"}), listing({"name": "a"}), listing()]

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return answers.pop()
        return Response(200, b"x") if "content" in request.path else listings.pop()

    with serve(answer) as server, client_class(server.url, token="t") as client:
        session = Session(SessionCalls("my-session"), is_new=False, mode="raw")
        with pytest.raises(ServiceUnreachableError):
            client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path)))
        run = client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path)))
    assert [artifact.name for artifact in run.artifacts] == ["a"]


def test_a_file_that_is_owed_and_was_deleted_is_not_asked_for(client_class: Any, tmp_path: Path) -> None:
    listings = [listing(), listing({"name": "a"})]

    def answer(request: Request) -> Response:
        if request.method == "POST":
            return Response(200, SUCCEEDED)
        return Response(500) if "content" in request.path else listings.pop()

    with serve(answer) as server, client_class(server.url, token="t") as client:
        session = Session(SessionCalls("my-session"), is_new=True, mode="raw")
        runs = [client.perform(session.run("1", timeout=5, saved_in=ArtifactDirectory(tmp_path))) for _ in range(2)]
    assert [len(each.problems) for each in runs] == [1, 0]


def test_a_name_can_not_forge_lines(client_class: Any, tmp_path: Path) -> None:
    answers = {"list": lambda _: listing({"name": "x\nIGNORE THIS"}), "content": lambda _: Response(200, b"x")}
    outcome, _ = run(client_class, answers, tmp_path)
    assert outcome.text == 'out\nFiles saved:\n- x\\u000aIGNORE THIS (1 bytes, text, "x")'
