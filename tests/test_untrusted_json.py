"""Answers that would cost gigabytes, or end a program by their depth, are refused; large honest ones are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aca_node_interpreter.errors import InvalidRequestError, MalformedResponseError
from aca_node_interpreter.javascript.envelope import Record, parse
from aca_node_interpreter.rest.failures import error_for
from aca_node_interpreter.rest.models import Execution, RemoteFile
from aca_node_interpreter.rest.operations import Page, Reply, SessionCalls, all_pages
from aca_node_interpreter.rest.untrusted_json import loads
from aca_node_interpreter.sessions.output import text_of
from tests.machine import PEAK_MEMORY

DEEP = {
    "lists": b"[" * 100_000,
    "closed lists": b"[" * 900 + b"]" * 900,
    "objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "wide and deep": b"[[]," * 900 + b"1" + b"]" * 900,
}
# Reads 64 MB and tells how many more megabytes that took.
MEASURED = f"""{PEAK_MEMORY}
import sys
from aca_node_interpreter.rest.untrusted_json import loads
content = eval(sys.argv[1])
before = peak()
try:
    loads(content)
except ValueError as error:
    print(error, file=sys.stderr)
print(peak() - before)
"""


@pytest.mark.parametrize("content", DEEP.values(), ids=DEEP)
def test_what_is_nested_deeply_is_refused_by_every_reader(content: bytes) -> None:
    wrapped = b'{"state":"done","status":"Success","stdout":' + content + b"}"
    readers: list[Callable[[], Any]] = [
        lambda: Reply(200, {}, content).json(),
        lambda: SessionCalls("some-session").execute("1").read(Reply(200, {}, wrapped)),
        lambda: parse(wrapped),
        lambda: Record.parse(wrapped),
    ]
    for read in readers:
        with pytest.raises(MalformedResponseError):
            read()
    error = error_for(400, {}, b'{"error":{"message":' + content + b"}}", hide={})
    assert type(error) is InvalidRequestError


@pytest.mark.parametrize(
    "content",
    [
        """b"[" + b"[]," * 21_000_000 + b"[]]" """,
        """b"[" + b'{"a":1},' * 7_000_000 + b"1]" """,
        """b'{"value":[' + b'"",' * 21_000_000 + b'""]}' """,
        """b'"' + b'\\\\\\\\"' * 20_000_000""",
        """b'""' * 30_000_000""",
    ],
    ids=["lists", "objects", "strings", "escapes", "quotes"],
)
def test_millions_of_values_cost_little_more_than_their_text(content: str) -> None:
    ran = subprocess.run([sys.executable, "-c", MEASURED, content], capture_output=True, text=True, check=True)
    assert ran.stderr
    assert int(ran.stdout) < 250  # as objects they would take 1,500 and more


def test_a_large_output_is_read() -> None:
    printed = '1,"{[\\\n' * 2_000_000
    assert loads(json.dumps({"stdout": printed}).encode()) == {"stdout": printed}
    assert loads(b'\xef\xbb\xbf"\xed\xa0\x80"') == "\ud800"


def test_numbers_without_end_are_none() -> None:
    for number in ("9" * 400, "-5", "1e999", "NaN", "Infinity", "9" * 20):
        answer = loads(
            f'{{"name":"a","sizeInBytes":{number},"status":"Success","executionTimeInMilliseconds":{number}}}'
        )
        assert RemoteFile.from_json(answer).size == 0
        assert Execution.from_json(answer).duration == 0
    with pytest.raises(MalformedResponseError):
        Reply(200, {}, b"[" + b"9" * 1_000_000 + b"]").json()


def test_a_value_of_any_depth_that_is_read_can_be_worded() -> None:
    value = "[" * 150 + "]" * 150
    execution = Execution.from_json(loads(f'{{"status":"Success","result":{value}}}'))
    assert text_of(execution) == f"=> {value}"


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_list_that_leads_in_a_circle_ends(turns: int) -> None:
    flow = all_pages(SessionCalls("some-session").list_files())
    calls = [next(flow)]

    def follow() -> None:
        for number in range(100):
            body = {"value": [{"name": "a"}], "nextLink": f"https://host/files?skip={number % turns}"}
            calls.append(flow.send(calls[-1].read(Reply(200, {}, json.dumps(body).encode()))))

    with pytest.raises(MalformedResponseError, match="does not come to an end"):
        follow()
    assert len(calls) == turns + 1


def test_a_list_without_end_ends() -> None:
    flow = all_pages(SessionCalls("some-session").list_files(), most=10)
    next(flow)

    def follow() -> None:
        for number in range(100):
            flow.send(Page([], (("skip", str(number)),)))

    with pytest.raises(MalformedResponseError, match="does not come to an end"):
        follow()


def test_links_that_are_none_are_refused() -> None:
    calls = SessionCalls("some-session")
    with pytest.raises(MalformedResponseError, match="a link that is none"):
        calls.list_files().read(Reply(200, {}, b'{"value":[],"nextLink":"http://["}'))
    with pytest.raises(MalformedResponseError, match="a link that is none"):
        calls.execute("1", execution_type="Asynchronous").read(Reply(202, {"operation-location": "http://["}, b""))
    link = b'{"value":[],"nextLink":"?Identifier=other-session&API-version=1&skip=1"}'
    assert calls.list_files().read(Reply(200, {}, link)).next_query == (("skip", "1"),)
    assert calls.get_execution("\ud800").path == "/executions/%3F"


SECRET = "node-0123456789abcdef/+x"


@pytest.mark.parametrize(
    "told",
    [
        "x" * 490 + SECRET,
        " " * 9_990 + SECRET,
        "https://" + "x" * 9_980 + " " + SECRET,
        f"no session {SECRET.upper()}",
        f"see ?identifier={SECRET.replace('/', '%2F').replace('+', '%2B')}&a=b",
        "host westus2.dynamicsessions.io is busy",
        "wss://westus2.example/x",
        "token eyJhbGciOi.eyJzdWIi.c2ln is over",
    ],
)
def test_an_error_tells_no_part_of_a_secret(told: str) -> None:
    words = str(error_for(400, {}, json.dumps({"error": {"message": told}}).encode(), hide={"identifier": SECRET}))
    for part in ("node-01", "NODE-01", "0123456789", "dynamicsessions", "://", "eyJ"):
        assert part not in words
    assert "…" in words or told.startswith((" ", "https"))


def test_an_error_is_one_printable_line() -> None:
    error = error_for(
        500, {"retry-after": "inf"}, b'{"code":"a\\nb","message":"\\u001b[2J\\u202e\\nForged: x"}', hide={}
    )
    assert error.code == "a b"
    assert str(error).endswith(r"The service says: a b: \u001b[2J\u202e Forged: x")
    assert error.retry_after is None
