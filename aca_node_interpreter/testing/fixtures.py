"""Pytest fixtures: `pytest_plugins = ["aca_node_interpreter.testing.fixtures"]` in your top `conftest.py`.

They register themselves for nobody else. A fixture of the same name in your own files takes the place of one here, such
as a `node_pool` with other settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor

from .model import ScriptedModel


@pytest.fixture(scope="session")
def node_pool() -> Iterator[LocalPool]:
    """An embedded session pool that all tests share."""
    with LocalPool() as pool:
        yield pool


@pytest.fixture
def node_executor(node_pool: LocalPool, tmp_path: Path) -> Iterator[NodeSessionsCodeExecutor]:
    """An executor on it, with a session of its own and its artifacts in `tmp_path / "artifacts"`."""
    with NodeSessionsCodeExecutor(
        node_pool.endpoint, token=node_pool.token, artifacts_dir=tmp_path / "artifacts"
    ) as executor:
        yield executor


@pytest.fixture
def scripted_model() -> Iterator[Callable[..., ScriptedModel]]:
    """A function that takes what `ScriptedModel` takes and starts it; it ends with the test, and is checked then."""
    with contextlib.ExitStack() as models:
        yield lambda *args, **settings: models.enter_context(ScriptedModel(*args, **settings))
