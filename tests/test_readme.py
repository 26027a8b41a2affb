"""Every block of the README runs as it is printed there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from aca_node_interpreter import LocalPool
from tests.machine import unavailable, why_no_sandbox

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BASH_BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", list(find_examples(ROOT / "README.md")), ids=str)
def test_python_blocks_print_what_they_say(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := why_no_sandbox():
        unavailable(f"the README uses the embedded pool with its sandbox: {reason}")
    monkeypatch.chdir(tmp_path)
    if eval_example.update_examples:
        eval_example.run_print_update(example)
    else:
        eval_example.run_print_check(example)


def test_there_are_three_bash_blocks_and_ci_runs_the_set_up_ones() -> None:
    demo, command_line, tests = BASH_BLOCKS
    assert demo.strip().endswith("aca-node demo")
    assert tests.strip().endswith("python -m pytest -n 2")
    assert "aca-node run" in command_line
    assert "README" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("line", BASH_BLOCKS[1].splitlines())
def test_the_command_line_block_works(line: str, pool: LocalPool, isolation: str, tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text("console.log('ran')")
    command = [sys.executable, "-m", "aca_node_interpreter", *shlex.split(line, comments=True)[1:]]
    if "serve" in command:
        _check_serve([*command, "--isolation", isolation])
        return
    environment: dict[str, Any] = {"ACA_POOL_MANAGEMENT_ENDPOINT": pool.endpoint, "ACA_POOL_TOKEN": pool.token}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == {"run": "ran\n", "doctor": ended.stdout}.get(command[3], "")


def _check_serve(command: list[str]) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "The session pool is at http://127.0.0.1:" in process.stdout.readline()
        finally:
            process.kill()
