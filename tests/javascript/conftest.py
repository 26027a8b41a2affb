"""Plain Node.js to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.javascript.oracle import Oracle


@pytest.fixture(scope="package")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """One process for all comparisons."""
    running = Oracle(tmp_path_factory.mktemp("oracle"))
    yield running
    running.close()
