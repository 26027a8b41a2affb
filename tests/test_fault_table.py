"""Each failure of `fault_table` as both clients meet it, against a real socket, and the same table in words."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import errors
from aca_node_interpreter.rest import connections, transport
from aca_node_interpreter.rest.flow import Download, Flow, Sleep
from aca_node_interpreter.rest.local_files import BoundedBuffer
from aca_node_interpreter.rest.operations import Operation, SessionCalls, Upload
from aca_node_interpreter.rest.patience import NEVER, Deadline, Patience
from tests.fault_meetings import TOKEN, Met
from tests.fault_table import ROWS, Kind, Row
from tests.run_fault_table import RUN_ROWS, RunRow

SESSION = "a-secret-session"
WORDS = Path(errors.__file__).with_name("ERRORS.md")
TIMES = ("no", "once", "twice")
RAN = {True: "yes", False: "no", None: "unknown"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that calls would have waited before they were sent again."""
    made: list[float] = []

    def waiting(seconds: float) -> Flow[None]:
        made.append(seconds)
        yield Sleep(0)

    monkeypatch.setattr(transport, "_waiting", waiting)
    return made


@contextmanager
def met_by(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Met]:
    monkeypatch.setattr(transport, "_CONNECT_TIMEOUT", 0.2 if "10 s" in row.name else 10)
    with row.meeting(tmp_path) as met:
        for name, value in met.environment.items():
            monkeypatch.setenv(name, value)
        connections._trusted.cache_clear()
        try:
            yield met
        finally:
            connections._trusted.cache_clear()


def call(kind: Kind, row: Row) -> Flow[Any]:
    calls, content = SessionCalls(SESSION), b"x" * row.size
    operations: dict[Kind, Operation[Any]] = {
        "question": calls.list_files(),
        "upload": calls.upload_file(Upload("a.bin", io.BytesIO(content))),
        "download": calls.download_file("a.bin"),
        "run": calls.execute(content.decode()),
    }
    operation = operations[kind]
    if row.wait is not None:
        operation = replace(operation, wait=row.wait)
    return (yield Download(operation, BoundedBuffer(10_000)) if kind == "download" else operation)


@pytest.mark.parametrize(
    ("row", "kind"), [pytest.param(row, kind, id=f"{row.name}-{kind}") for row in ROWS for kind in row.kinds]
)
def test_what_the_caller_gets(
    row: Row, kind: Kind, client_class: Any, tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = row.again(kind)
    with met_by(row, tmp_path, monkeypatch) as met:
        with client_class(met.endpoint, session_id=SESSION, **met.client) as client:
            deadline = NEVER if row.deadline is None else Deadline.after(row.deadline)
            if row.error is None:
                client.perform(call(kind, row), Patience(deadline))
            else:
                with pytest.raises(errors.AcaNodeError) as caught:
                    client.perform(call(kind, row), Patience(deadline))
                check(caught.value, row, kind, met)
        if met.calls is not None:
            assert met.calls() == 1 + again
    assert tuple(pauses) == row.pauses[:again]


def check(error: errors.AcaNodeError, row: Row, kind: Kind, met: Met) -> None:
    said = str(error)
    assert type(error) is row.error
    assert row.says in said
    assert error.ran is (row.ran if kind == "run" else False)
    assert ("may have run" in said) is (kind == "run" and row.ran is None)
    secrets = (TOKEN, SESSION, "://", met.endpoint.split("//")[1])
    assert not [secret for secret in secrets if secret in said + repr(error)]


def test_the_words_say_what_the_data_say() -> None:
    tables = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", WORDS.read_text(), re.MULTILINE)
    assert [table.splitlines() for table in tables] == [list(map(in_words, ROWS)), list(map(run_in_words, RUN_ROWS))]


def in_words(row: Row) -> str:
    question, download, run = (
        TIMES[row.again(kind)] if kind in row.kinds else "" for kind in ("upload", "download", "run")
    )
    return line(row.name, question, download, run, *error_in_words(row))


def run_in_words(row: RunRow) -> str:
    file = {"now": "with the result", "none": ""}.get(row.files, row.files)
    return line(row.name, TIMES[row.runs], file, *error_in_words(row))


def error_in_words(row: Row | RunRow) -> tuple[str, str, str]:
    if row.error is None:
        return "", "", row.says and f"“{row.says}”"
    return f"`{row.error.__name__}`", RAN[row.ran], f"“{row.says}”"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
