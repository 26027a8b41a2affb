"""Clients of the session-pool API that others wrote, in an environment of their own, against the embedded pool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aca_node_interpreter import LocalPool

pytestmark = pytest.mark.long

PACKAGES = [
    "langchain-azure-dynamic-sessions",
    "llama-index-tools-azure-code-interpreter",
    "azure-dynamic-sessions-code-interpreter",
]

LANGCHAIN = """
import io
from langchain_azure_dynamic_sessions import SessionsPythonREPLTool
tool = SessionsPythonREPLTool(pool_management_endpoint=endpoint, access_token_provider=lambda: token)
assert tool.execute("1+3")["result"] == "4"
assert "boom" in tool.execute("throw new Error('boom')")["stderr"]
assert tool.execute("$$.png('aGk=')")["result"]["base64_data"] == "aGk="
tool.upload_file(data=io.BytesIO(b"abc"), remote_file_path="a b.txt")
assert [(f.filename, f.size_in_bytes) for f in tool.list_files()] == [("a b.txt", 3)]
assert tool.download_file(remote_file_path="a b.txt").read() == b"abc"
tool.delete_session()
assert tool.list_files() == []
"""

LLAMA_INDEX = """
from pathlib import Path
from llama_index.tools.azure_code_interpreter import AzureCodeInterpreterToolSpec
tool = AzureCodeInterpreterToolSpec(pool_management_endpoint=endpoint)
tool.access_token_provider = lambda: token
assert tool.code_interpreter("1+3")["properties"]["result"] == "4"
Path("a.csv").write_text("x")
tool.upload_file(local_file_path="a.csv")
assert [f.filename for f in tool.list_files()] == ["a.csv"]
tool.download_file_to_local(remote_file_path="a.csv", local_file_path="back.csv")
assert Path("back.csv").read_text() == "x"
"""

DYNAMIC_SESSIONS = """
from pathlib import Path
from azure_dynamic_sessions_code_interpreter import CodeInterpreterTool
tool = CodeInterpreterTool(pool_management_endpoint=endpoint)
tool.access_token_provider = lambda: token
assert tool.execute("1+3")["result"] == "4"
Path("a.csv").write_text("x")
tool.upload_file(local_file_path="a.csv")
assert [f.filename for f in tool.list_files()] == ["a.csv"]
assert tool.download_file(remote_file_path="a.csv").read() == b"x"
"""


@pytest.fixture(scope="module")
def their_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the other clients, and without this package."""
    home = tmp_path_factory.mktemp("theirs")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", [LANGCHAIN, LLAMA_INDEX, DYNAMIC_SESSIONS], ids=PACKAGES)
def test_they_work_unchanged(script: str, their_python: Path, pool: LocalPool, tmp_path: Path) -> None:
    endpoint = pool.endpoint + "/subscriptions/s/resourceGroups/g/sessionPools/p"
    setting = f"endpoint, token = {endpoint!r}, {pool.token!r}\n"
    ended = subprocess.run(
        [their_python, "-c", setting + script], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ)
    )
    assert ended.returncode == 0, ended.stderr
