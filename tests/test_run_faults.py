"""Each failure of `run_fault_table`, through the executor and on both engines: never run twice, no file lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.sessions import managed
from aca_node_interpreter.sessions.runs import Run
from tests.engine import Engine
from tests.fault_proxy import Fault, FaultProxy
from tests.faults import Garble
from tests.run_fault_table import FOR_GOOD, RUN_ROWS, RunRow

CODE = """
globalThis.runs = (globalThis.runs ?? 0) + 1;
fs.writeFileSync('/mnt/data/a.bin', Buffer.alloc(100_000, runs));
console.log('x'.repeat(100));
runs
"""
CONTENT = hashlib.sha256(b"\1" * 100_000).hexdigest()


@pytest.fixture
def proxy(engine: Engine) -> Iterator[FaultProxy]:
    with FaultProxy(engine) as running:
        yield running


@pytest.fixture
def executor(proxy: FaultProxy, tmp_path: Path) -> Iterator[NodeSessionsCodeExecutor]:
    with NodeSessionsCodeExecutor(
        proxy.endpoint, credential=lambda: proxy.token, artifacts_dir=tmp_path / "artifacts", timeout=20
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("row", "way"), [pytest.param(row, way, id=f"{row.name}-{way[0]}") for row in RUN_ROWS for way in row.ways]
)
def test_what_becomes_of_a_run(
    row: RunRow,
    way: tuple[Fault, ...],
    proxy: FaultProxy,
    executor: NodeSessionsCodeExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(managed, "_PATIENCE", 0.5 if len(way) == FOR_GOOD else 30)
    executor.execute("0")
    proxy.plan(*way, kind=row.kind)
    files: list[str] = []
    if row.error is None:
        run = executor.execute(CODE)
        assert (run.mode, run.value, run.execution.stdout) == ("managed", 1, "x" * 100 + "\n")
        assert row.says in run.text
        assert bool(run.problems) is bool(row.says)
        files = [each for each in hashes(run) if each == CONTENT]
    else:
        with pytest.raises(AcaNodeError) as caught:
            executor.execute(CODE)
        assert type(caught.value) is row.error
        assert row.says in str(caught.value)
        assert caught.value.ran is row.ran
    assert len(proxy.planned) == 0 or len(way) == FOR_GOOD
    proxy._plans.clear()
    # What comes later is compared with what the session said earlier.
    proxy.plan(*[Garble()] * (row.files == "with the next run"), kind="download")
    after = executor.execute("globalThis.runs ?? 0")
    assert after.value == row.runs
    assert (files, hashes(after)) == {"now": ([CONTENT], []), "with the next run": ([], [CONTENT]), "none": ([], [])}[
        row.files
    ]


def hashes(run: Run) -> list[str]:
    """Return what arrived, as it lies on the disk."""
    return [hashlib.sha256(each.path.read_bytes()).hexdigest() for each in run.artifacts]
