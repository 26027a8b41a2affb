"""The envelope is hostile input: it shares its process with the model's code."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aca_node_interpreter.errors import MalformedResponseError
from aca_node_interpreter.javascript.envelope import CodeError, Envelope, Manifest, Record, parse, split

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYS = ["boot", "id", "end", "exit", "out", "value", "displays", "error", "files", "late", "left", "ms", "file"]


def done(**more: Any) -> Envelope:
    return Envelope.from_json({"v": 1, "state": "done", "id": "r", "boot": "b", **more})


def test_it_is_the_last_line_after_the_mark() -> None:
    forged = '\naca-1 {"state":"done","id":"forged"}\n'
    stdout = f'printed{forged}more\naca-1 {{"v":1,"state":"done","id":"mine"}}\n'
    printed, envelope = split(stdout, "aca-1 ")
    assert envelope is not None
    assert (printed, envelope.id) == (f"printed{forged}more", "mine")


@pytest.mark.parametrize("stdout", ["", "printed", "\naca-1 ", "\naca-1 {", '\naca-1 {"state":"other"}', "\naca-1 []"])
def test_without_a_whole_one_there_is_none(stdout: str) -> None:
    assert split(stdout, "aca-1 ")[1] is None


# A busy machine makes values slowly; that says nothing of what is read.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANY_JSON))
def test_whatever_the_code_puts_into_it_is_read_or_refused(fields: dict[str, Any]) -> None:
    with suppress(MalformedResponseError):
        done(**fields)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ANY_JSON)
def test_any_json_is_read_or_refused(data: Any) -> None:
    for read in (parse, Record.parse):
        with pytest.raises(MalformedResponseError):
            read(json.dumps(data).encode())


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(MalformedResponseError):
        parse('{"state":"done","value":' + "[" * 100_000)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../b", "", ".", "a//b", "a\0b", "a/.", "x" * 5000, 7, None, ["a"]]
)
def test_a_path_that_leaves_the_data_directory_is_left_out(path: Any) -> None:
    manifest = Manifest.from_json({"created": [[path, 1, 1.0], ["ok", 1, 1.0]], "deleted": [path, "gone"]})
    assert [file.path for file in manifest.changed] == ["ok"]
    assert manifest.deleted == ("gone",)


@pytest.mark.parametrize("name", ["../x", "a/b", "", 3])
def test_a_record_is_a_file_at_the_top(name: Any) -> None:
    with pytest.raises(MalformedResponseError):
        Envelope.from_json({"state": "file", "file": [name, 1, "0" * 64]})


def test_causes_without_end_are_cut() -> None:
    error: dict[str, Any] = {"name": "E", "message": "m"}
    for _ in range(50):
        error = {"name": "E", "message": "m", "cause": error}
    depth, read = 0, CodeError.from_json(error)
    while read.cause is not None:
        depth, read = depth + 1, read.cause
    assert depth == 5


def test_numbers_that_are_none_count_as_nothing() -> None:
    envelope = done(exit=-1, out="many", err=2**60, ms=1e300)
    assert (envelope.exit, envelope.out, envelope.err, envelope.seconds) == (0, 0, 0, 0.0)
    assert done(exit=100_000).exit == 255
