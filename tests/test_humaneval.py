"""HumanEval's 164 problems in JavaScript, one after the other in one session, as in a long conversation."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.sessions.runs import Run
from tests.conftest import SHARED
from tests.engine import Engine
from tests.machine import unavailable

PROBLEMS = SHARED / "data" / "humaneval_js.jsonl.gz"

# The data set's own mistakes (a comma operator where a list was meant): plain Node.js complains about them too.
COMPLAINED_OF = {"JavaScript/112", "JavaScript/155"}


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    if not PROBLEMS.exists():
        unavailable("the HumanEval problems are not part of the project, and are not on this machine")
    return [json.loads(line) for line in gzip.decompress(PROBLEMS.read_bytes()).splitlines()]


def complains(run: Run) -> bool:
    """Tell whether a test complained: they use console.assert, which writes to stderr and goes on."""
    return "Assertion failed" in run.execution.stderr


@pytest.mark.parametrize("seed", [None, 1, *[pytest.param(n, marks=pytest.mark.long) for n in range(2, 12)]])
def test_all_reference_solutions_pass_in_one_session(
    problems: list[dict[str, Any]], engine_with_egress: Engine, seed: int | None
) -> None:
    problems = list(problems)
    if seed is not None:
        random.Random(seed).shuffle(problems)  # noqa: S311  # any order will do
    engine = engine_with_egress
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, packages=("js-md5",)) as executor:
        runs = {
            each["task_id"]: executor.execute(each["prompt"] + each["canonical_solution"] + each["test"])
            for each in problems
        }
    assert {task: run.text for task, run in runs.items() if run.exit_code or run.mode != "managed"} == {}
    assert len(runs) == 164
    assert {task for task, run in runs.items() if complains(run)} == COMPLAINED_OF


def test_broken_solutions_are_seen_to_fail(problems: list[dict[str, Any]], executor: NodeSessionsCodeExecutor) -> None:
    for problem in problems[:10]:
        wrong, throwing = "  return 'something else'\n}\n", "  throw new Error('not written')\n}\n"
        assert complains(executor.execute(problem["prompt"] + wrong + problem["test"]))
        assert executor.execute(problem["prompt"] + throwing + problem["test"]).exit_code == 1
