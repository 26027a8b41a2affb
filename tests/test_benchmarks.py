"""The benchmarks still run; what they measure is nobody's pass or failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import unavailable, why_no_sandbox


@pytest.mark.parametrize(("name", "rows"), [("turn", 6), ("pool", 5)])
def test_it_measures(name: str, rows: int) -> None:
    if reason := why_no_sandbox():
        unavailable(f"the benchmark measures the pool with its sandbox: {reason}")
    run(name, rows)


def test_it_measures_what_needs_no_pool() -> None:
    run("prepare", 4)


def run(name: str, rows: int) -> None:
    """Run a benchmark as one does at a desk."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", f"benchmarks.{name}", "2"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("│") >= 6 * rows
