"""What importing the package costs and shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

import aca_node_interpreter

FRAMEWORKS = (
    "langchain_core",
    "autogen_core",
    "autogen_agentchat",
    "openai",
    "azure",
    "opentelemetry",
    "starlette",
    "uvicorn",
    "pydantic",
)


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after some code."""
    show = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_root_imports_no_framework_and_no_http() -> None:
    assert not modules_after("import aca_node_interpreter") & {*FRAMEWORKS, "httpx", "typer", "rich", "asyncio"}


@pytest.mark.parametrize("name", ["SessionPoolClient", "AsyncSessionPoolClient", "LocalPool", "Artifact"])
def test_the_core_and_the_pool_import_no_framework(name: str) -> None:
    assert not modules_after(f"from aca_node_interpreter import {name}") & set(FRAMEWORKS)


def test_the_version_on_the_command_line_imports_no_framework() -> None:
    code = "from aca_node_interpreter.cli import app; app(['--version'], standalone_mode=False)"
    assert not modules_after(code) & {*FRAMEWORKS, "httpx"}


def test_the_scripted_model_imports_no_framework_and_no_pytest() -> None:
    assert not modules_after("from aca_node_interpreter.testing import ScriptedModel") & {
        *FRAMEWORKS,
        "httpx",
        "pytest",
    }


def test_public_names_are_sorted_and_there() -> None:
    assert aca_node_interpreter.__all__ == sorted(aca_node_interpreter.__all__)
    for name in aca_node_interpreter.__all__:
        assert getattr(aca_node_interpreter, name).__name__ == name
        assert name in dir(aca_node_interpreter)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="LocalPol"):
        aca_node_interpreter.LocalPol  # type: ignore[attr-defined]  # noqa: B018  # asking is the test


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert aca_node_interpreter.__version__ == version("aca-node-interpreter")  # type: ignore[attr-defined]
