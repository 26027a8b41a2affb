"""What a model reads of a run."""

from __future__ import annotations

import base64
import random

import pytest

from aca_node_interpreter import output
from aca_node_interpreter.models import Execution, Image, Status


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
