"""The benchmarks still run; what they measure is nobody's pass or failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import unavailable, why_no_sandbox


def test_the_turn_is_measured() -> None:
    if reason := why_no_sandbox():
        unavailable(f"the benchmark measures the pool with its sandbox: {reason}")
    script = Path(__file__).parents[1] / "benchmarks" / "turn.py"
    ended = subprocess.run([sys.executable, script, "2"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("│") > 20
