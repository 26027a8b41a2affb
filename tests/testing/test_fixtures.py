"""The fixtures in a project of somebody else's, whose tests pytest runs in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aca_node_interpreter import LocalPool

CONFTEST = """\
import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.testing import ScriptedModel

pytest_plugins = ["aca_node_interpreter.testing.fixtures"]
"""
# As a user with a machine without sandboxes does it.
OWN_POOL = """
@pytest.fixture(scope="session")
def node_pool():
    with LocalPool(isolation="{isolation}") as pool:
        yield pool
"""
GOOD = """
import pytest
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from aca_node_interpreter.testing import Call, Say, Turn

@pytest.fixture(scope="module")
def seen():
    return []

@pytest.mark.parametrize("number", [6, 7])
def test_agent(number, scripted_model, node_executor, node_pool, tmp_path, seen):
    code = f"fs.writeFileSync('/mnt/data/n.txt', '{number}'); globalThis.n = (globalThis.n || 0) + {number}"
    model = scripted_model([Call("node_interpreter", code=code), Turn(Say("Done."), output=f"=> {number}")])
    other = scripted_model([Say("Hello.")], name="another")
    chat = ChatOpenAI(model=model.name, base_url=model.base_url, api_key=model.api_key)
    agent = create_agent(chat, tools=[node_executor])
    assert agent.invoke({"messages": [("user", "Go.")]})["messages"][-1].text == "Done."
    assert (tmp_path / "artifacts" / "n.txt").read_text() == str(number)
    assert ChatOpenAI(model="another", base_url=other.base_url, api_key=other.api_key).invoke("Hi.").text == "Hello."
    seen.append(node_pool)
    assert seen == [node_pool] * len(seen)
"""
BAD = """
from aca_node_interpreter.testing import Say

def test_agent(scripted_model):
    scripted_model([Say("Nobody asks for this.")])
"""


def run_project(folder: Path, conftest: str, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest"]
    command += ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir", str(folder)]
    # Which pool the fixtures use is the project's own affair.
    environment = os.environ | {"ACA_POOL_MANAGEMENT_ENDPOINT": "https://nowhere.invalid"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_project_uses_them(tmp_path: Path, pool: LocalPool, isolation: str) -> None:
    conftest = CONFTEST + (OWN_POOL.format(isolation=isolation) if isolation == "none" else "")
    ended = run_project(tmp_path, conftest, GOOD)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("2 passed in ")


def test_a_project_has_a_pool_of_its_own(tmp_path: Path, isolation: str) -> None:
    ended = run_project(tmp_path, CONFTEST + OWN_POOL.format(isolation=isolation), GOOD)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_script_that_is_not_played_fails_the_test(tmp_path: Path) -> None:
    ended = run_project(tmp_path, CONFTEST, BAD)
    assert ended.returncode == 1
    assert "- turn 1 was not played: \"Say(text='Nobody asks for this.')\"" in ended.stdout


def test_nobody_gets_them_unasked(tmp_path: Path) -> None:
    ended = run_project(tmp_path, "", BAD)
    assert ended.returncode == 1
    assert "fixture 'scripted_model' not found" in ended.stdout
