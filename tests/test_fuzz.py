"""Whatever a pool, a session or its code sends is read or refused: no other error, no secret, nothing unprintable.

The same properties with few examples, with each change, and with very many, as `.ci/run long` has them.
"""

from __future__ import annotations

import atexit
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.errors import AcaNodeError, MalformedResponseError
from aca_node_interpreter.javascript.envelope import Envelope, Record, split
from aca_node_interpreter.local_names import local_parts
from aca_node_interpreter.rest.failures import error_for
from aca_node_interpreter.rest.models import Execution, RemoteFile
from aca_node_interpreter.rest.operations import CURRENT_API, LEGACY_API, Operation, Page, Reply, SessionCalls, Upload
from aca_node_interpreter.sessions import output
from aca_node_interpreter.sessions.collecting import versions
from aca_node_interpreter.sessions.managed import Answered
from aca_node_interpreter.sessions.outcomes import outcome_of
from aca_node_interpreter.sessions.raw import outcome_of as raw_outcome_of
from aca_node_interpreter.sessions.runs import finished
from aca_node_interpreter.terminal import harmless
from tests.hostile import IDENTIFIER, SECRETS, TEXTS, Property, mutated, mutated_bytes

LIMIT = 2_000
ERRORS = [
    {"error": {"code": "SessionsCountExceedsLimit", "message": "full", "traceId": "t", "innererror": {"code": "x"}}},
    {"code": "Unauthorized", "message": "no"},
    {"title": "One or more validation errors occurred.", "errors": {"code": ["needed"]}, "traceId": "00-1"},
]
FILE = {
    "name": "a.txt",
    "sizeInBytes": 1,
    "lastModifiedAt": "2025-01-01T00:00:00.1234567Z",
    "directory": ".",
    "type": "file",
}
ANSWERS = [
    {"status": "Success", "stdout": "a", "stderr": "", "result": 4, "executionTimeInMilliseconds": 1},
    {"id": "1", "status": "Succeeded", "result": {"stdout": "a", "stderr": "", "executionResult": 4}, "error": None},
    {"properties": {"status": "Success", "result": {"type": "image", "format": "png", "base64_data": "iVBORw0KGgo="}}},
    {
        "value": [FILE, {"properties": {"filename": "b", "size": 2, "lastModifiedTime": "x"}}],
        "nextLink": "https://h/f?skip=1",
    },
    {"sessions": [{"identifier": "s", "etag": "e", "createdAt": "2025-01-01T00:00:00Z"}], "nextLink": None},
    {"runtimes": [{"name": "node", "version": "20"}], "preinstalledPackages": [], "jupyterKernel": {"name": "n"}},
    *ERRORS,
]
ERROR = {
    "name": "E",
    "message": "m",
    "stack": "at a (/mnt/data/x.js:1:1)",
    "cell": 1,
    "line": 1,
    "cause": {"name": "E"},
}
ENVELOPE = {
    "v": 1,
    "state": "done",
    "boot": "b",
    "id": "r",
    "end": "error",
    "exit": 1,
    "out": 1,
    "err": 0,
    "ms": 1.5,
    "value": {"text": "4", "json": 4, "mime": {"image/png": "iVBORw0KGgo=", "text/html": "<b>"}},
    "displays": [{"mime": {"image/svg+xml": "<svg/>"}}, {"text/plain": "a"}],
    "error": {**ERROR, "errors": [ERROR]},
    "files": {"created": [["a/b.txt", 1, 1.5, "0" * 64]], "changed": [], "deleted": ["c"], "more": 1},
    "late": {"out": "a", "err": "b", "errors": [ERROR]},
    "left": ["timer"],
    "warnings": ["w"],
}
CALLS = [SessionCalls(IDENTIFIER, version) for version in (CURRENT_API, LEGACY_API)]
OPERATIONS: list[Operation[Any]] = [
    operation
    for calls in CALLS
    for operation in (
        *(calls.execute("1"), calls.execute("1", execution_type="Asynchronous"), calls.get_execution("1")),
        *(calls.list_files("a"), calls.upload_file(Upload("a", b"")), calls.get_file("a"), calls.delete_file("a")),
        *(calls.get_session(), calls.delete_session(), calls.list_sessions(), calls.get_metadata()),
    )
]
HEADERS = st.dictionaries(
    st.sampled_from(["operation-id", "operation-location", "retry-after", "x-ms-error-code"]), TEXTS, max_size=3
)
FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-")
atexit.register(FOLDER.cleanup)
DIRECTORY = ArtifactDirectory(Path(FOLDER.name))


def check_words(text: str) -> None:
    """A model or a person may read it."""
    text.encode()
    assert text.isprintable()
    assert len(text) < LIMIT
    for secret in SECRETS:
        assert secret.lower() not in text.lower()
    assert not re.search(r"\w\.(dynamic|aca)sessions\.io|\w://", text, re.IGNORECASE)


def answers_are_read_or_refused(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(OPERATIONS))
    status = data.draw(st.sampled_from([200, 200, 200, 202, 204, 302, 400, 401, 404, 429, 500]))
    try:
        read = operation.finish(Reply(status, data.draw(HEADERS), data.draw(mutated_bytes(ANSWERS))))
    except AcaNodeError as error:
        if "identifier" in dict(operation.query):
            check_words(str(error))
        return
    if isinstance(read, Page):
        assert f"identifier={IDENTIFIER.replace('/', '%2F')}" in operation.target or operation.path == "/listSessions"
        versions(each for each in read.items if isinstance(each, RemoteFile))
        assert "identifier" not in {name.lower() for name, _ in read.next_query}
    if isinstance(read, RemoteFile):
        assert 0 <= read.size < 2**53
        assert all(part.isprintable() for part in local_parts(read.path))
    if isinstance(read, Execution):
        output.text_of(read).encode()
        if read.id:
            CALLS[0].get_execution(read.id)
        run = finished(raw_outcome_of(read), DIRECTORY, LIMIT)
        assert len(run.text) < 2 * LIMIT


def errors_tell_no_secret(data: st.DataObject) -> None:
    hide = {"identifier": IDENTIFIER}
    error = error_for(data.draw(st.integers(300, 599)), data.draw(HEADERS), data.draw(mutated_bytes(ERRORS)), hide=hide)
    check_words(str(error))
    check_words(error.code + error.trace_id)
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")


def envelopes_are_worded_or_refused(data: st.DataObject) -> None:
    line = data.draw(mutated_bytes([ENVELOPE])).decode("utf-8", "replace")
    printed = data.draw(TEXTS)
    stdout, envelope = split(f"{printed}\naca-1 {line}", "aca-1 ")
    if envelope is None:
        return
    check_run(envelope, stdout)


def records_are_worded_or_refused(data: st.DataObject) -> None:
    content = data.draw(mutated_bytes([{"envelope": ENVELOPE, "stdout": "a", "stderr": "b"}]))
    try:
        record = Record.parse(content)
    except MalformedResponseError:
        return
    check_run(record.envelope, record.stdout)


def check_run(envelope: Envelope, stdout: str) -> None:
    run = finished(outcome_of(Answered(envelope, stdout, "err"), 1), DIRECTORY, LIMIT)
    run.text.encode()
    assert len(run.text) < 2 * LIMIT
    for artifact in run.artifacts:
        assert artifact.path.resolve().is_relative_to(DIRECTORY.path.resolve())
        assert str(artifact).isprintable()
        artifact.path.unlink()
    for words in (*run.problems, *run.notes):
        assert words.isprintable()
    versions(envelope.files.changed)


def pages_end(data: st.DataObject) -> None:
    link = data.draw(mutated([{"value": [FILE], "nextLink": "https://h/f?skip=1&identifier=x&path=.."}]))
    try:
        page = OPERATIONS[3].read(Reply(200, {}, json.dumps(link).encode()))
    except MalformedResponseError:
        return
    assert not {"identifier", "api-version"} & {name.lower() for name, _ in page.next_query}


def terminals_show_and_do_not_obey(data: st.DataObject) -> None:
    pieces = st.sampled_from([*"\x1b[]0;mJ\x9b\r\n\\P_^", "\x1b[", "\x1b]8;;", "\x1b\\"]) | st.text(max_size=3)
    shown = re.sub(r"\x1b\[[0-9;:]*m|\r\n", "", harmless("".join(data.draw(st.lists(pieces, max_size=40)))))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


PROPERTIES: list[Property] = [
    answers_are_read_or_refused,
    errors_tell_no_secret,
    envelopes_are_worded_or_refused,
    records_are_worded_or_refused,
    pages_end,
    terminals_show_and_do_not_obey,
]


def hold(holds: Property, examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    settings(max_examples=examples, deadline=None, suppress_health_check=checks)(given(st.data())(holds))()


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda each: each.__name__)
def test_it_holds(holds: Property) -> None:
    hold(holds, 150)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda each: each.__name__)
def test_it_holds_for_very_many(holds: Property) -> None:
    hold(holds, 2_000)
