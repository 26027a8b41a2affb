"""The notebooks run from top to bottom, and print what the committed ones show."""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from aca_node_interpreter import LocalPool
from tests.images import decode_png
from tests.machine import why_no_sandbox

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PICTURES = {"agents": 1, "data_analysis": 3, "tutorial": 0}
OF_A_MACHINE = re.compile(r"(?<!\w)/(?:home|private|root|tmp|Users|usr|var|work)/\S*|127\.0\.0\.1\S*|localhost\S*")

Notebook = Any


def read(path: Path) -> Notebook:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs_as_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        if why_no_sandbox():
            pool = stack.enter_context(LocalPool(egress=True, isolation="none"))
            monkeypatch.setenv("ACA_POOL_MANAGEMENT_ENDPOINT", pool.endpoint)
            monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
        executed = execute(path, tmp_path)
    committed = read(path)
    assert texts(executed) == texts(committed)
    for notebook in (executed, committed):
        shown = pictures(notebook)
        assert len(shown) == PICTURES[path.stem]
        for picture in shown:
            width, height, colors = decode_png(picture)
            assert min(width, height) >= 300
            assert colors > 100  # a chart with smooth lines and letters, not an empty sheet


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_was_executed_in_order_and_shows_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    notebook = read(path)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    text = re.sub(r'"image/png": ".*"', "", path.read_text(encoding="utf-8"))
    assert OF_A_MACHINE.findall(text) == []


def execute(path: Path, folder: Path) -> Notebook:
    """Run a notebook in a kernel of its own; a cell that raises ends it."""
    notebook = read(path)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    NotebookClient(notebook, timeout=90, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def texts(notebook: Notebook) -> list[str]:
    """Return what each cell printed and showed as text; how many bytes a picture takes may differ."""
    shown = []
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        # What was printed may arrive in several pieces.
        text = "".join(output["text"] if "text" in output else output["data"]["text/plain"] for output in outputs)
        shown.append(re.sub(r"(?<=\.png \()[\d,]+ bytes", "… bytes", text))
    return shown


def pictures(notebook: Notebook) -> list[bytes]:
    shown = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [b64decode(data["image/png"]) for data in shown if "image/png" in data]
