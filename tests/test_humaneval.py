"""HumanEval's 164 problems in JavaScript: the reference solutions pass their tests, broken ones are seen to fail."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.models import Execution
from tests.conftest import SHARED
from tests.machine import unavailable

PROBLEMS = SHARED / "data" / "humaneval_js.jsonl.gz"


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    if not PROBLEMS.exists():
        unavailable("the HumanEval problems are not part of the project, and are not on this machine")
    return [json.loads(line) for line in gzip.decompress(PROBLEMS.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def pool_with_egress(isolation: Any) -> Iterator[LocalPool]:
    """One problem needs a package."""
    with LocalPool(egress=True, isolation=isolation) as pool:
        yield pool


def solve(pool: LocalPool, problem: dict[str, Any], solution: str) -> Execution:
    """Run a solution and its tests in a session of its own."""
    with SessionPoolClient(pool.endpoint, token=pool.token) as client:
        if "js-md5" in problem["prompt"] + solution:
            installed = client.execute(
                "require('child_process').execSync('npm install js-md5').toString()", timeout=100
            )
            assert installed.succeeded, installed.stderr
        run = client.execute(problem["prompt"] + solution + problem["test"], timeout=60)
        client.delete_session()
    return run


def complains(run: Execution) -> bool:
    """Tell whether a test complained: they use console.assert, which writes to stderr and goes on."""
    return "Assertion failed" in run.stderr


def test_none_of_the_reference_solutions_fails(problems: list[dict[str, Any]], pool_with_egress: LocalPool) -> None:
    runs = {p["task_id"]: solve(pool_with_egress, p, p["canonical_solution"]) for p in problems}
    assert {task: run.stderr for task, run in runs.items() if not run.succeeded} == {}
    assert len(runs) == 164
    # The data set's own mistakes (a comma operator where a list was meant): plain Node.js complains about them too.
    assert {task for task, run in runs.items() if complains(run)} == {"JavaScript/112", "JavaScript/155"}


def test_broken_solutions_are_seen_to_fail(problems: list[dict[str, Any]], pool: LocalPool) -> None:
    for problem in problems[:10]:
        wrong, throwing = "  return 'something else'\n}\n", "  throw new Error('not written')\n}\n"
        assert complains(solve(pool, problem, wrong))
        assert not solve(pool, problem, throwing).succeeded
