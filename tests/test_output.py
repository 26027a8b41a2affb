"""What a model reads of a run."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from aca_node_interpreter.artifacts import Artifact, ArtifactDirectory
from aca_node_interpreter.rest.models import Execution, Image, Status
from aca_node_interpreter.sessions import output
from aca_node_interpreter.sessions.runs import Outcome, finished


def test_output_error_output_and_value_are_told_apart() -> None:
    run = Execution(Status.SUCCEEDED, stdout="a\n", stderr="careful\n", result="4")
    assert output.text_of(run) == "a\nstderr:\ncareful\n=> 4"


def test_a_failure_is_what_the_service_says() -> None:
    run = Execution(Status.FAILED, stdout="before\n", stderr="Error: boom\n    at x")
    assert output.text_of(run) == "before\nError: boom\n    at x"


def test_the_kernels_frames_are_left_out_and_the_codes_own_stay() -> None:
    stack = "Error: boom\n    at f (evalmachine.<anonymous>:1:7)\n"
    kernel = "    at Script.runInThisContext (node:vm:137:12)\n    at run ([eval]:1:2)\n"
    run = Execution(Status.FAILED, stderr=stack + kernel + "Request timed out waiting for code execution to complete")
    assert output.text_of(run) == stack + "Request timed out waiting for code execution to complete"


def test_a_picture_is_not_text() -> None:
    assert output.text_of(Execution(Status.SUCCEEDED, result=Image("png", "AAAA"))) == ""


def test_values_that_are_falsy_are_still_values() -> None:
    assert output.text_of(Execution(Status.SUCCEEDED, result=0)) == "=> 0"
    assert output.text_of(Execution(Status.SUCCEEDED, result=False)) == "=> false"


def test_a_lone_surrogate_is_replaced() -> None:
    output.text_of(Execution(Status.SUCCEEDED, stdout="a\ud800b")).encode()


def test_long_text_keeps_its_head_and_tail() -> None:
    text = "head" + "x" * 10_000 + "tail"
    short = output.abridged(text, limit=1_000)
    assert len(short) < 1_100
    assert short.startswith("head")
    assert short.endswith("tail")
    assert "9,008 characters left out" in short


def test_text_at_the_limit_is_left_alone() -> None:
    assert output.abridged("x" * 1_000, limit=1_000) == "x" * 1_000


def test_base64_is_replaced_by_its_length() -> None:
    encoded = base64.b64encode(random.Random(1).randbytes(900)).decode()  # noqa: S311  # any bytes will do
    assert output.without_base64(f"data:image/png;base64,{encoded}!") == (
        "data:image/png;base64,[1,200 characters of base64]!"
    )


def test_what_only_looks_like_base64_stays() -> None:
    for text in ("x" * 5_000, "ABCDEF" * 100, "0123456789abcdef" * 100):
        assert output.without_base64(text) == text


def test_values_are_shown_as_javascript_has_them() -> None:
    assert output.text_of(Execution(Status.SUCCEEDED, result={"a": [True, None]})) == '=> {"a": [true, null]}'


def test_base64_in_lines_is_replaced_too() -> None:
    encoded = base64.encodebytes(random.Random(1).randbytes(3_000)).decode()  # noqa: S311  # any bytes will do
    assert (
        output.without_base64(f"before\n{encoded}after")
        == f"before\n[{len(encoded) - 1:,} characters of base64]\nafter"
    )


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_limit_of_nothing_leaves_nothing(limit: int) -> None:
    assert "x" not in output.abridged("x" * 1_000, limit=limit).replace("characters", "")


def artifacts(number: int, preview: str) -> list[Artifact]:
    return [Artifact(f"{i:02}.csv", 11, "text/csv", "", Path(), preview) for i in range(number)]


def test_files_are_told_with_what_they_hold() -> None:
    about = output.lines_about(artifacts(2, "3 rows: n integer"), ["b.bin: why"])
    line = "csv (11 bytes, 3 rows: n integer)"
    assert about == f"Files saved:\n- 00.{line}\n- 01.{line}\nNot saved: b.bin: why"


@pytest.mark.parametrize(("room", "previews"), [(-1_000, 0), (0, 0), (99, 0), (100, 1), (1_099, 10), (100_000, 100)])
def test_names_come_before_previews(room: int, previews: int) -> None:
    names = len(output.lines_about(artifacts(100, ""), []))
    # A hundred characters more than the media type, which it replaces.
    about = output.lines_about(artifacts(100, "3 rows: " + "x" * 100), [], room=names + room)
    assert [" 3 rows" in line for line in about.splitlines()[1:]] == [True] * previews + [False] * (100 - previews)
    assert len(about) <= names + max(0, room)


def test_a_preview_that_is_shorter_than_the_media_type_always_has_room() -> None:
    assert output.lines_about(artifacts(1, "1 row"), [], room=0) == "Files saved:\n- 00.csv (11 bytes, 1 row)"


@pytest.mark.parametrize("number", [1, 100])
def test_previews_of_a_run_take_no_more_than_a_quarter_of_its_text(number: int, tmp_path: Path) -> None:
    directory = ArtifactDirectory(tmp_path)
    content = ",".join(f"column{i}" for i in range(50)).encode() + b"\n1\n"
    saved = [directory.save(f"{i}.csv", content) for i in range(number)]
    outcome = Outcome(Execution(Status.SUCCEEDED), "x" * 16_000, 0, "managed", artifacts=saved)
    run = finished(outcome, directory, 16_000)
    assert all(artifact.preview.startswith("1 row of 1 to 50 columns: column0") for artifact in run.artifacts[:number])
    assert run.artifacts[-1].preview == "1 line"
    assert len(run.text) <= 16_100
    assert sum(line.startswith("- ") for line in run.text.splitlines()) == number + 1
    assert run.text.count("more)") < 20


def test_previews_stop_when_they_take_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("aca_node_interpreter.sessions.runs._PREVIEWS_SECONDS", -1)
    directory = ArtifactDirectory(tmp_path)
    outcome = Outcome(Execution(Status.SUCCEEDED), "", 0, "managed", artifacts=[directory.save("a.csv", b"a,b\n1,2")])
    assert finished(outcome, directory, 16_000).text == "Files saved:\n- a.csv (text/csv, 7 bytes)"
