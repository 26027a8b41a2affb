"""What others' suites check of REPLs and kernels, retold in cells, on the embedded kernel and on genuine nel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from tests.engine import Engine

TABLE = Path(__file__).with_name("repl_suites.txt").read_text("utf-8")


def sections() -> dict[str, list[tuple[str, str]]]:
    """Read the cells of each suite, with what a model reads of them."""
    suites: dict[str, list[tuple[str, str]]] = {}
    parts = re.split(r"^==== (.*)\n", TABLE, flags=re.MULTILINE)
    for suite, lines in zip(parts[1::2], parts[2::2], strict=True):
        cells = re.split(r"^>>> ", re.sub(r"^//.*\n", "", lines, flags=re.MULTILINE), flags=re.MULTILINE)
        found = [re.fullmatch(r"(.*(?:\n\.\.\. .*)*)\n((?:.*\n)*?)\s*", cell) for cell in cells[1:]]
        suites[suite] = [(each[1].replace("\n... ", "\n"), each[2].rstrip("\n")) for each in found if each]
        assert len(suites[suite]) == lines.count("\n>>> ") + lines.startswith(">>> ")
    return suites


SUITES = sections()


@pytest.mark.parametrize("suite", SUITES)
def test_cells_of_others_suites(engine: Engine, suite: str) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, timeout=20) as executor:
        for code, expected in SUITES[suite]:
            run = executor.execute(code)
            assert run.mode == "managed", code
            if expected.startswith("! "):
                assert (run.exit_code, run.text[: len(expected) - 2]) == (1, expected[2:]), code
            else:
                assert (run.exit_code, run.text) == (0, expected), code
