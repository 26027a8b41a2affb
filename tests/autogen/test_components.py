"""Tool, workbench and executor are loaded from what was written down, in another process and from these namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from autogen_core import ComponentModel

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import NodeTool, NodeWorkbench

LOADING = """
import asyncio, json, sys
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor
from autogen_core.tools import BaseTool, Workbench

async def main(tool, workbench, executor):
    token = CancellationToken()
    tool, workbench = BaseTool.load_component(tool), Workbench.load_component(workbench)
    executor = CodeExecutor.load_component(executor)
    print(await tool.run_json({"code": "1 + 1"}, token))
    await tool.close()
    async with workbench:
        print((await workbench.call_tool("node_interpreter", {"code": "1 + 2"}, token)).to_text())
    async with executor:
        print((await executor.execute_code_blocks([CodeBlock("1 + 3", "js")], token)).output)

asyncio.run(main(*json.load(sys.stdin)))
"""


def loaded_elsewhere(pool: LocalPool, components: list[ComponentModel], **environment: str) -> str:
    written = json.dumps([component.model_dump() for component in components])
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADING],
        input=written,
        env={**os.environ, "ACA_POOL_TOKEN": pool.token, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_they_are_loaded_in_a_process_that_allows_the_namespace(pool: LocalPool) -> None:
    executor = NodeSessionsCodeExecutor(pool.endpoint, token=pool.token)
    components = [each.dump_component() for each in (NodeTool(executor), NodeWorkbench(executor), executor)]
    # Those that released versions of AutoGen load from anywhere, coming ones load from what this names.
    assert {component.provider.partition(".")[0] for component in components} == {"aca_node_interpreter"}
    told = loaded_elsewhere(pool, components, AUTOGEN_ALLOWED_PROVIDER_NAMESPACES="aca_node_interpreter")
    assert told.splitlines() == ["=> 2", "=> 3", "=> 4"]
