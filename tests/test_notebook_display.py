"""What a session made is shown in a notebook, and none of it runs there.

Checked in a browser, with a front end that trusts all that it gets: some do, for SVG and in a notebook that is trusted.
"""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Browser

from aca_node_interpreter.rest.models import Image

RUNS = "window.hacked=1"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUNS}"><script>{RUNS}</script></svg>'
PAGE = f"<title>{SVG}</title><script>{RUNS}</script><img src=x onerror={RUNS}>"
BREAKS_OUT = f'"><script>{RUNS}</script><img src=x onerror="{RUNS}'
FILES = {
    "a.svg": SVG,
    "a.html": PAGE,
    "a.js": RUNS,
    "a.json": f'{{"{BREAKS_OUT}": 1}}',
    f"{BREAKS_OUT.replace('/', '')}.csv": f"<script>{RUNS},b\n1,2\n",
    "a.png": PAGE,
    "a.gif": SVG,
}
FORMATS = ("svg+xml", "svg", "png", "jpeg", f"png{BREAKS_OUT}", "x/../../text/html")

CELL = """
import json
from pathlib import Path
from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.rest.models import Execution
from aca_node_interpreter.sessions.runs import Outcome, Run, finished

directory = ArtifactDirectory(Path("saved"))
files, values = json.loads(Path("hostile.json").read_text())
executions = [Execution.from_json({"status": "Success", "result": each, "stdout": str(each)}) for each in values]
outcome = Outcome(executions[0], "", 0, "raw", artifacts=[directory.save(*each) for each in
                  ((name, text.encode()) for name, text in files.items())])
run = finished(outcome, directory, 16_000)
"""


def run_in_page(browser: Browser, cells: list[str], folder: Path) -> tuple[str, object]:
    """Run cells in a kernel and show what they display; return the page's text and what `window.hacked` is then."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=90, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook["cells"] for output in cell["outputs"]]
    page = browser.new_page()
    try:
        page.route("http*://**", lambda route: route.abort())
        page.set_content("".join(element(*each) for output in outputs for each in output["data"].items()))
        return page.inner_text("body"), page.evaluate("window.hacked")
    finally:
        page.close()


def element(kind: str, data: str) -> str:
    if kind in ("text/html", "image/svg+xml"):
        return data
    if kind == "application/javascript":
        return f"<script>{data}</script>"
    return f'<img src="data:{kind};base64,{data}">' if kind.startswith("image/") else f"<pre>{escape(str(data))}</pre>"


def test_nothing_that_a_session_made_runs_in_a_notebook(browser: Browser, tmp_path: Path) -> None:
    values = [{"type": "image", "format": kind, "base64_data": data} for kind in FORMATS for data in (SVG, BREAKS_OUT)]
    values.append({"type": "image", "format": "svg+xml", "base64_data": b64encode(SVG.encode()).decode()})
    (tmp_path / "hostile.json").write_text(json.dumps([FILES, values]))
    displays = "for each in (*run.artifacts, run, outcome, *executions, *(each.result for each in executions)):\n"
    text, hacked = run_in_page(browser, [CELL, displays + "    display(each)", "run"], tmp_path)
    assert "saved as saved/a.svg" in text
    assert hacked is None


@pytest.mark.parametrize("kind", ["image/svg+xml", "text/html", "image/png"])
def test_the_page_runs_what_it_is_given(kind: str, browser: Browser, tmp_path: Path) -> None:
    data = BREAKS_OUT if kind == "image/png" else SVG
    assert run_in_page(browser, [f"display({{{kind!r}: {data!r}}}, raw=True)"], tmp_path)[1] == 1


def test_a_picture_is_shown_as_one(tmp_path: Path) -> None:
    data = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(50)).decode()
    assert Image("png", data)._repr_mimebundle_() == {"image/png": data}
    assert Image("png", f"{data[:20]}\n{data[20:]}\n")._repr_mimebundle_() == {"image/png": data}


@pytest.mark.parametrize(("kind", "data"), [("svg+xml", SVG), ("png", BREAKS_OUT), ("png", ""), ("png", "\ud800")])
def test_what_is_no_picture_is_a_line_of_text(kind: str, data: str) -> None:
    assert Image(kind, data)._repr_mimebundle_() == {"text/plain": f"Image(format={kind!r})"}
