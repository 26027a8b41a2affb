"""What it costs to begin: the processor time of imports and of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measuring import Times
from benchmarks.report import Cell, Row, Table
from benchmarks.setting import Setting

PROGRAMS = {
    "`python -c pass`": ["-c", "pass"],
    "`import httpx`": ["-c", "import httpx"],
    "`import aca_node_interpreter`": ["-c", "import aca_node_interpreter"],
    "`SessionPoolClient`": ["-c", "from aca_node_interpreter import SessionPoolClient"],
    "`NodeSessionsCodeExecutor`, both faces": ["-c", "from aca_node_interpreter import NodeSessionsCodeExecutor"],
    "AutoGen's and LangChain's own base classes": [
        "-c",
        "from autogen_core.code_executor import CodeExecutor; from langchain_core.tools import BaseTool",
    ],
    "`aca_node_interpreter.autogen`": ["-c", "import aca_node_interpreter.autogen"],
    "`aca_node_interpreter.langchain`": ["-c", "import aca_node_interpreter.langchain"],
    "`aca-node --version`": ["-m", "aca_node_interpreter", "--version"],
}
LIMITS = {"`aca-node --version`": 150.0}
"""Milliseconds of processor time."""


def processor_seconds(arguments: list[str]) -> float:
    """Return the processor time of a fresh interpreter."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return used.ru_utime + used.ru_stime


def measure(setting: Setting) -> Iterator[Table]:
    """Measure each."""
    # In turns, so that what else this machine does meets all of them.
    rounds = [
        {what: processor_seconds(arguments) for what, arguments in PROGRAMS.items()}
        for _ in range(setting.repetitions(10) + 1)
    ]
    # The first one wrote the compiled files.
    rows = [_row(what, Times.of(each[what] for each in rounds[1:])) for what in PROGRAMS]
    yield Table("To begin with: processor time", ABOUT, rows)


def _row(what: str, seconds: Times) -> Row:
    cells: dict[str, Cell] = {"what": what, **seconds.cells()}
    if most := LIMITS.get(what):
        cells.update({"limit ms": most, "limit": seconds.median * 1000 <= most})
    return cells


ABOUT = "User and system time together, which a busy machine changes less than what a clock shows."
