"""Where tokens and session identifiers must not be found: in what objects show, in pickles, errors and logs."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import aca_node_interpreter
from aca_node_interpreter import (
    AsyncSessionPoolClient,
    LocalPool,
    NodeSessionsCodeExecutor,
    SessionPoolClient,
    errors,
)
from aca_node_interpreter.rest.auth import TokenSource
from aca_node_interpreter.rest.operations import LEGACY_API, Operation, SessionCalls
from aca_node_interpreter.running.runner import SessionRunner
from aca_node_interpreter.running.settings import Settings
from aca_node_interpreter.sessions.session import Session
from tests.http_server import Request, Response, serve
from tests.machine import closed_port

TOKEN, IDENTIFIER = "my-own-token", "my/own session&".replace(" ", "-")
SECRET = "my-own-session-secret"  # pragma: allowlist secret
QUOTED = "my%2Fown-session%26"
SECRETS = (TOKEN, IDENTIFIER, QUOTED, SECRET)
URL = "http://127.0.0.1:9"


def found_in(*texts: str) -> list[str]:
    return [secret for secret in SECRETS for text in texts if secret in text]


def provide_token() -> str:
    return TOKEN


MAKERS: dict[type, Callable[[], Any]] = {
    NodeSessionsCodeExecutor: lambda: NodeSessionsCodeExecutor(
        URL, token=TOKEN, session_id=IDENTIFIER, session_secret=SECRET
    ),
    SessionPoolClient: lambda: SessionPoolClient(URL, token=TOKEN, session_id=IDENTIFIER),
    AsyncSessionPoolClient: lambda: AsyncSessionPoolClient(URL, token=TOKEN, session_id=IDENTIFIER),
    LocalPool: lambda: LocalPool(token=TOKEN),
    SessionCalls: lambda: SessionCalls(IDENTIFIER),
    Session: lambda: Session(SessionCalls(IDENTIFIER), is_new=True),
    Settings: lambda: Settings(token=TOKEN, session_secret=SECRET),
    TokenSource: lambda: _asked(TokenSource(provide_token)),
    Operation: lambda: SessionCalls(IDENTIFIER, LEGACY_API).execute("1"),
}
WITHOUT_SECRETS = {"Artifact", "Policy", "Proposal"}


def _asked(source: TokenSource) -> TokenSource:
    assert source.get() == TOKEN
    return source


def test_every_public_class_is_looked_at() -> None:
    known = {kind.__name__ for kind in MAKERS} | WITHOUT_SECRETS
    assert set(aca_node_interpreter.__all__) <= known


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_what_an_object_shows_has_no_secret_in_it(kind: type) -> None:
    made = MAKERS[kind]()
    assert not found_in(repr(made), str(made), f"{[made]}")


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_what_has_a_secret_is_not_pickled(kind: type) -> None:
    for attempt in (pickle.dumps, copy.copy):
        if attempt is copy.copy and kind is NodeSessionsCodeExecutor:
            continue  # pydantic's own copies are of this process
        with pytest.raises(TypeError, match=f"{kind.__name__} can't be pickled or copied"):
            attempt(MAKERS[kind]())


def test_every_call_keeps_the_identifier_to_itself() -> None:
    calls = SessionCalls(IDENTIFIER)
    made: list[Operation[Any]] = [
        calls.get_session(),
        calls.list_files(),
        calls.delete_session(),
        calls.download_file("a"),
        calls.get_execution("e"),
        calls.execute("1", execution_type="Asynchronous"),
    ]
    for operation in made:
        assert QUOTED in operation.target
        assert not found_in(repr(operation), repr([operation]))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shown_by(error: BaseException) -> list[str]:
    """All that is found in an error by those who record errors: text, chain, attributes, requests."""
    shown = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        shown += [str(each), repr(each), repr(each.args), repr(vars(each))]
        for value in vars(each).values():
            if isinstance(value, httpx.Request):
                shown += [str(value.url), repr(list(value.headers.items()))]
    return shown


ECHO = json.dumps({"error": {"code": IDENTIFIER, "message": f"identifier={QUOTED} {IDENTIFIER} Bearer {TOKEN}"}})
ANSWERS: dict[str, Response] = {
    **{f"status {status}": Response(status, ECHO.encode()) for status in (302, 400, 401, 403, 404, 413, 429, 500, 503)},
    "no JSON": Response(200, f"<html>{QUOTED}".encode()),
    "cut": Response(None),
    "half": Response(200, b"x" * 100, cut_after=50),
    "unknown compression": Response(200, b"x", {"Content-Encoding": "br"}),
    "broken compression": Response(200, b"x", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_errors_show_no_secret_whatever_the_service_answers(answer: str, client_class: Any) -> None:
    def echo(request: Request) -> Response:
        assert (request.query["identifier"], request.headers["authorization"]) == (IDENTIFIER, f"Bearer {TOKEN}")
        return ANSWERS[answer]

    with serve(echo) as server, client_class(server.url, token=TOKEN, session_id=IDENTIFIER) as client:
        for call in (lambda: client.execute("1"), client.list_files):
            with pytest.raises(errors.AcaNodeError) as caught:
                call()
            assert not found_in(*shown_by(caught.value))
            assert not found_in(pickle.dumps(caught.value).decode("latin-1"))


def test_errors_show_no_secret_where_nobody_answers(client_class: Any) -> None:
    with client_class(f"http://127.0.0.1:{closed_port()}", token=TOKEN, session_id=IDENTIFIER) as client:
        with pytest.raises(errors.ServiceUnreachableError) as caught:
            client.execute("1")
    causes = [each for each in chain(caught.value) if isinstance(each, httpx.RequestError)]
    assert [str(each.request.url) for each in causes] == ["https://session-pool.invalid"]
    assert not found_in(*shown_by(caught.value))


def test_arguments_that_cannot_work_are_not_repeated_where_they_are_secret() -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: SessionCalls(f"{IDENTIFIER} "),
        lambda: SessionPoolClient(URL, token=f"{TOKEN}\n{TOKEN}"),
        lambda: NodeSessionsCodeExecutor(URL, token=TOKEN, timeout="soon"),  # type: ignore[arg-type]
        lambda: NodeSessionsCodeExecutor(URL, token=TOKEN, session_secret=SECRET, credential=provide_token),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError if attempt is not attempts[1] else errors.AuthenticationError) as caught:
            attempt()
        assert not found_in(*shown_by(caught.value))


def kinds_of_errors() -> list[type[errors.AcaNodeError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.AcaNodeError)]


@pytest.mark.parametrize("kind", kinds_of_errors())
def test_an_error_comes_out_of_another_process_as_it_was(kind: Any) -> None:
    made = kind() if kind in (errors.ClientClosedError, errors.SessionLostError) else kind("what to do next")
    again = pickle.loads(pickle.dumps(made))  # noqa: S301  # its own
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(made), made.args, vars(made))


def test_log_records_of_every_level_have_no_secret_in_them(
    pool: LocalPool, client_class: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with client_class(pool.endpoint, token=pool.token, session_id=IDENTIFIER) as client:
        client.execute("1", execution_type="Asynchronous")
        client.upload_file(b"a", name="a.txt")
        client.delete_session()
    # Nobody but pytest hears the embedded pool's access log: it has no handler and is not passed on.
    heard = [record for record in caplog.records if record.name != "uvicorn.access"]
    told = [f"{record.getMessage()} {vars(record)}" for record in heard]
    assert "httpcore.http11" in {record.name for record in heard}
    assert any("operation-location" in text.lower() and "identifier=…" in text for text in told)
    assert not found_in(*told)
    assert not [text for text in told if pool.token in text]


def test_code_and_output_are_logged_at_debug_only(pool: LocalPool, caplog: pytest.LogCaptureFixture) -> None:
    runner = SessionRunner(Settings(endpoint=pool.endpoint, token=pool.token))
    with caplog.at_level(logging.DEBUG):
        runner.perform(runner.run("console.log('MA' + 'RK'.repeat(2)) // ours"))
    runner.close()
    own = [record for record in caplog.records if record.name == "aca_node_interpreter"]
    telling = {record.levelno for record in own if "MARKRK" in str(vars(record)) or "// ours" in str(vars(record))}
    assert telling == {logging.DEBUG}
    (ended,) = [record for record in own if "exit code" in record.getMessage()]
    assert (ended.levelno, vars(ended)["aca_node.exit_code"], vars(ended)["aca_node.output_bytes"]) == (20, 0, 7)
