"""Fixtures for every test: a clean environment, the shared references when they are there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from tests.clients import CLIENTS
from tests.engine import Engine
from tests.machine import npm_install, unavailable, why_no_sandbox
from tests.nel_pool import NEL, NelPool

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine decides which pool or model a test talks to."""
    for name in list(os.environ):
        if name.startswith(("ACA_", "AZURE_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)


@pytest.fixture(params=CLIENTS)
def client_class(request: pytest.FixtureRequest) -> Any:
    """Each client in turn."""
    return CLIENTS[request.param]


@pytest.fixture(scope="session")
def recordings() -> list[dict[str, Any]]:
    """The 42 recorded calls to built-in pools."""
    file = SHARED / "reference" / "wire-recordings.json"
    if not file.exists():
        unavailable("the recordings of the service are not part of the project, and are not on this machine")
    calls: list[dict[str, Any]] = json.loads(file.read_text())
    return [call for call in calls if "CUSTOM" not in call["recording"]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        unavailable("there is no chromium on PATH (Debian's package `chromium`)")
    with sync_playwright() as playwright:
        # As root Chromium can't make its own sandbox; only our pages are opened.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def isolation() -> str:
    """The sandbox for tests that are not about it: bubblewrap where that runs, else none."""
    return "bubblewrap" if not why_no_sandbox() else "none"


@pytest.fixture(scope="session")
def pool(isolation: Any) -> Iterator[LocalPool]:
    """An embedded pool for tests that don't mind others in it."""
    with LocalPool(isolation=isolation) as running:
        yield running


@pytest.fixture(scope="session")
def nel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of genuine nel, installed for this run of the tests only."""
    return npm_install(tmp_path_factory.mktemp("nel"), NEL) / "nel"


def make_engine(request: pytest.FixtureRequest, **options: Any) -> Engine:
    """Make the engine that the fixture's parameter names."""
    return NelPool(request.getfixturevalue("nel"), **options) if request.param == "nel" else Engine(**options)


@pytest.fixture(scope="module", params=["embedded", "nel"])
def engine(request: pytest.FixtureRequest, isolation: Any) -> Iterator[Engine]:
    """Each kernel in turn, the embedded one and genuine nel, for tests that don't mind others in the pool."""
    with make_engine(request, isolation=isolation) as running:
        yield running


@pytest.fixture(scope="module", params=["embedded", "nel"])
def engine_with_egress(request: pytest.FixtureRequest, isolation: Any) -> Iterator[Engine]:
    """The same, with sessions that reach the outside."""
    with make_engine(request, isolation=isolation, egress=True) as running:
        yield running


@pytest.fixture
def executor(pool: LocalPool, tmp_path: Path) -> Iterator[NodeSessionsCodeExecutor]:
    """An executor with a session of its own and its artifacts in `tmp_path / "artifacts"`."""
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path / "artifacts") as made:
        yield made
