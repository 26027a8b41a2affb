"""What the machine that runs the tests has, and what becomes of a test when it lacks something."""

from __future__ import annotations

import os
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from aca_node_interpreter import LocalPool
from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.node import find_node


def unavailable(reason: str) -> NoReturn:
    """Skip with a reason; in CI, where everything must run, fail instead."""
    if os.environ.get("CI"):
        pytest.fail(f"must run in CI: {reason}")
    # Somebody's own machine may lack what CI installs.
    pytest.skip(reason)


# For programs of their own: `getrusage` would tell of the process that started them.
PEAK_MEMORY = """
import re
from pathlib import Path

def peak():
    return int(re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1]) // 1024
"""
"""Python source of `peak()`, the most megabytes of memory that a process has had; Linux only."""


@cache
def why_no_sandbox() -> str:
    """Return why bubblewrap can't run here; empty when it can."""
    try:
        with LocalPool(isolation="bubblewrap", ready_sessions=0):
            return ""
    except LocalPoolError as error:
        return str(error)


def npm_install(folder: Path, *packages: str) -> Path:
    """Install npm packages below a folder, without running their scripts; gives the folder that they are in."""
    node = find_node()
    if node.npm_cli is None:
        unavailable("there is no npm")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    install([node.executable, node.npm_cli, "install", "--prefix", folder, *options, *packages])
    return folder / "node_modules"


def install(command: list[str | Path]) -> None:
    """Run an installer; without its registry there is nothing to test with."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode != 0:
        unavailable(f"{command[0]} can't install: {done.stderr.strip()[-300:]}")


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
