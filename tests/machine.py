"""What the machine that runs the tests has, and what becomes of a test when it lacks something."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from aca_node_interpreter import LocalPool
from aca_node_interpreter.errors import LocalPoolError


def unavailable(reason: str) -> NoReturn:
    """Skip with a reason; in CI, where everything must run, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(f"must run in CI: {reason}")
    # Somebody's own machine may lack what CI installs.
    pytest.skip(reason)


@cache
def why_no_sandbox() -> str:
    """Return why bubblewrap can't run here; empty when it can."""
    try:
        with LocalPool(isolation="bubblewrap", ready_sessions=0):
            return ""
    except LocalPoolError as error:
        return str(error)


def install(command: list[str | Path]) -> None:
    """Run an installer; without its registry there is nothing to test with."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0:
        unavailable(f"{command[0]} can't install: {done.stderr.strip()[-300:]}")
