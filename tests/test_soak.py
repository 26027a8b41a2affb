"""Minutes of mixed load and faults on each engine: nothing lost, nothing run twice, nothing left.

For hours, `python -m tests.soak`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.standing import growth, look

ROOT = Path(__file__).parents[1]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["embedded", "nel"])
def test_nothing_is_lost_or_run_twice_or_left(engine: str) -> None:
    # In a process of its own, where nothing stands but what the soak made.
    command = [sys.executable, "-m", "tests.soak", "--minutes", "2.5", "--seconds", "8", "--engine", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_growth_is_that_of_the_line_through_all() -> None:
    assert growth([1, 2, 3]) == pytest.approx(2)
    assert growth([5, 5, 5, 5]) == pytest.approx(0)
    assert abs(growth([5, 6, 4, 6, 5])) < 1
    assert growth([1, 100]) == 0


def test_what_is_allocated_is_what_is_held(tmp_path: Path) -> None:
    before = look(tmp_path, 1)
    if not before.allocated:
        pytest.skip("the C library does not tell")
    held = [bytes(10_000) for _ in range(1_000)]
    during = look(tmp_path, 1)
    assert during.allocated - before.allocated == pytest.approx(10_000_000, rel=0.1)
    held.clear()
    assert look(tmp_path, 1).allocated - before.allocated == pytest.approx(0, abs=500_000)
