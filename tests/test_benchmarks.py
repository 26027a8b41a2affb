"""The benchmarks still run, and their distance is one; what they measure is nobody's pass or failure."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aca_node_interpreter import LocalPool
from benchmarks.distance import FarPool, far_pool
from benchmarks.driving import OURS
from benchmarks.growth import QUANTITIES
from benchmarks.turn import SCENARIOS
from tests.machine import unavailable, why_no_sandbox

# One must wait longer than for another test where all cores are busy.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _sandbox() -> None:
    if reason := why_no_sandbox():
        unavailable(f"the benchmarks measure the pool with its sandbox: {reason}")


def tables(folder: Path, part: str) -> dict[str, list[dict[str, Any]]]:
    """Run a part of the benchmarks as one does at a desk, but short; gives the rows of each table."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "benchmarks",
        part,
        "--short",
        "--output",
        folder,
        "--peers",
        folder / "peers",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    written = json.loads((folder / "table.json").read_text())
    text = (folder / "table.md").read_text()
    for each in written["tables"]:
        assert f"## {each['title']}\n" in text
    return {each["title"]: each["rows"] for each in written["tables"]}


def test_the_turn_is_measured_by_every_client_of_ours(tmp_path: Path) -> None:
    measured = tables(tmp_path, "turn")
    for scenario, title in SCENARIOS.items():
        rows = [row for row in measured[f"The turn: {title}"] if row["client"].startswith("ours")]
        assert len(rows) == (2 if scenario == "started" else len(OURS))
        assert all(row["median ms"] > 0 for row in rows)
    (conversations,) = (rows for title, rows in measured.items() if "conversations" in title)
    assert [row["conversations a second"] > 0 for row in conversations[: len(OURS)]] == [True] * len(OURS)


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (rows,) = tables(tmp_path, "overhead").values()
    assert {row["peer, over TLS"] for row in rows} == {"autogen-ext", "langchain-azure-dynamic-sessions"}
    assert all(row["note"].startswith("not installed: ") and row["ratio"] > 0 for row in rows)
    assert "| semantic-kernel | not installed: " in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(("part", "rows"), [("pool", 20), ("files", 2), ("starting", 9), ("prepare", 4)])
def test_it_measures(tmp_path: Path, part: str, rows: int) -> None:
    assert sum(map(len, tables(tmp_path, part).values())) >= rows


def test_growth_is_plotted(tmp_path: Path) -> None:
    slopes = tables(tmp_path, "growth")["Growth: the slopes"]
    assert [row["what"] for row in slopes] == [each.title for each in QUANTITIES]
    for each in QUANTITIES:
        assert (tmp_path / f"growth-{each.name}.png").read_bytes().startswith(b"\x89PNG")


def status_of(far: FarPool, timeout: float) -> int:
    trusted = ssl.create_default_context(cafile=far.certificate)
    address = urlsplit(far.endpoint)
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=trusted, timeout=timeout)
    try:
        connection.request("GET", "/nothing")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_distance_of_an_hour_lets_nothing_arrive_while_none_does(tmp_path: Path) -> None:
    certificates = [tmp_path / "near", tmp_path / "far"]
    for each in certificates:
        each.mkdir()
    with LocalPool(ready_sessions=0) as pool, far_pool(pool, certificates[0], round_trip=0) as near:
        with far_pool(pool, certificates[1], round_trip=3600) as far:
            with pytest.raises(TimeoutError):
                status_of(far, 1)
            assert status_of(near, 60) == 401
