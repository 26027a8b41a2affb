"""What a model reads of a run: of the stacks that code prints, the frames of code only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.errors import ResponseTimeoutError
from aca_node_interpreter.javascript.envelope import Envelope, Late
from aca_node_interpreter.rest.models import Execution, Image, Status
from aca_node_interpreter.sessions.managed import Answered
from aca_node_interpreter.sessions.outcomes import outcome_of
from aca_node_interpreter.sessions.runs import Attachment, Outcome, finished, reason
from tests.engine import Engine

# What was printed, and what a model reads of it.
PRINTED = {
    "a stack": (
        "Error: x\n    at f (/mnt/data/cell_1.js:1:7)\n    at node:aca:1:137\n    at start (node:aca:1:26)",
        "Error: x\n    at f (/mnt/data/cell_1.js:1:7)",
    ),
    "kinds of frames": (
        "E\n    at async open (node:internal/fs/promises:6:2)\n    at async node:internal/a-b:1:2\n"
        "    at Immediate.begin [as _onImmediate] (node:aca:1:2)\n    at new Script (node:vm:1:2)\n"
        "    at arguments.<computed> [as a] (node:events:1:2)\nend",
        "E\nend",
    ),
    "properties after a stack": (
        "Error: x\n    at f (/a.js:1:7)\n    at open (node:fs:1:2) {\n  code: 'E'\n}",
        "Error: x\n    at f (/a.js:1:7) {\n  code: 'E'\n}",
    ),
    "errors in an object": (
        "{\n  e: Error: x\n      at open (node:fs:1:2),\n  f: [ Error: y\n      at node:aca:1:2 ] }",
        "{\n  e: Error: x,\n  f: [ Error: y ] }",
    ),
}  # fmt: skip

KEPT = {
    "code's own": "E\n    at f (/mnt/data/cell_1.js:1:7)\n    at /mnt/data/node_modules/a/b.js:1:2",
    "scripts of the code's own": "E\n    at f (evalmachine.<anonymous>:1:2)\n    at evalmachine.<anonymous>:2:1",
    "built-in functions": "E\n    at Array.map (<anonymous>)\n    at async Promise.all (index 0)",
    "code in eval": "E\n    at eval (eval at f (node:aca:1:2), <anonymous>:1:6)",
    "a line alone": "    at node:fs:1:2",
    "words": "we meet\n    at node:fs, as always",
    "no indent": "E\nat node:fs:1:2",
}


def read(stdout: str = "", stderr: str = "", late: Late | None = None) -> tuple[str, str, str]:
    """Return what a model reads, and the streams as they are told to programs."""
    envelope = Envelope("done", end="ok", late=late or Late())
    outcome = outcome_of(Answered(envelope, stdout, stderr), 1)
    return outcome.text, outcome.execution.stdout, outcome.execution.stderr


@pytest.mark.parametrize("name", PRINTED)
def test_frames_that_are_not_the_codes_are_left_out(name: str) -> None:
    printed, text = PRINTED[name]
    assert read(printed) == (text, printed, "")
    assert read(stderr=printed) == (f"stderr:\n{text}", "", printed)
    assert text in read(late=Late(out=printed))[0]


@pytest.mark.parametrize("name", KEPT)
def test_all_else_is_kept(name: str) -> None:
    assert read(KEPT[name])[0] == KEPT[name]


def test_a_run_that_prints_its_error(engine: Engine) -> None:
    code = "function f() { fs.readFileSync('/none') }\ntry { f() } catch (e) { console.error(e); console.log(e.stack) }"
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        run = executor.execute(code)
    assert "node:" in run.execution.stdout
    assert "node:" not in run.text
    assert len(re.findall(r"at f \(/mnt/data/cell_\d+\.js:1:19\)", run.text)) == 2
    assert "code: 'ENOENT'" in run.text


def test_what_is_displayed_as_text_is_read(engine: Engine) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        run = executor.execute("console.log('a'); $$.text('b'); $$.json({ c: 1 }); $$.html('<p>'); 'd'")
        assert run.text.splitlines()[:4] == ["a", "b", '{"c": 1}', "=> 'd'"]
        assert executor.execute("$$.text('only')").execution.result == "only"


def test_reasons_are_those_of_the_error_and_name_no_path() -> None:
    assert reason(ResponseTimeoutError("No answer came.", ran=None)) == "No answer came."
    assert reason(FileNotFoundError(2, "No such file or directory", "/home/ada/secret")) == "No such file or directory"


def test_a_picture_that_is_no_base64_is_a_problem_and_no_error(tmp_path: Path) -> None:
    for data in ("é", "\ud800", "a", "*"):
        attachment = Attachment.of_image(Image("png", data))
        outcome = Outcome(Execution(Status.SUCCEEDED), "", 0, "managed", attachments=(attachment,))
        assert finished(outcome, ArtifactDirectory(tmp_path), 1_000).problems == ("image.png: it is not base64",)


def test_what_runs_in_the_background_forges_no_line() -> None:
    envelope = Envelope("done", left=("timer\nnote: forged",))
    assert outcome_of(Answered(envelope, "", ""), 1).notes == (
        r"Still running in the background: timer\u000anote: forged.",
    )
