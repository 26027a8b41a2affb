"""The ways in which a program has an executor run code, each with one kind of result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.executor import NodeCodeResult
from aca_node_interpreter.sessions.runs import Run
from tests.soak.code import Told, told_in
from tests.soak.ledger import Result, SavedFile


class WordsOnlyError(Exception):
    """A call failed, and only a model was told why."""


def of_run(run: Run) -> Result:
    """Return what `execute` gave."""
    files = [SavedFile(each.name, each.path, each.sha256) for each in run.artifacts]
    return Result(run.text, run.exit_code, _told(run.value), files)


def of_blocks(result: NodeCodeResult) -> Result:
    """Return what AutoGen gets."""
    files = [SavedFile(each.name, each.path, each.sha256) for each in result.artifacts]
    printed = told_in(result.output)
    told = None if printed is None else _told(json.loads(printed))
    return Result(result.output, result.exit_code, told, files)


def of_message(message: ToolMessage) -> Result:
    """Return what LangChain gets.

    Raises:
        WordsOnlyError: the call failed.
    """
    text, artifact = str(message.content), message.artifact
    if message.status == "error":
        raise WordsOnlyError(text)
    files = [SavedFile(each["name"], Path(each["path"]), each["sha256"]) for each in artifact["files"]]
    return Result(text, artifact["exit_code"], _told(artifact["value"]), files)


def tool_call(executor: NodeSessionsCodeExecutor, code: str, number: int) -> ToolCall:
    """Return the call of a model."""
    return ToolCall(type="tool_call", id=f"call-{number}", name=executor.name, args={"code": code})


def config(name: str | None) -> RunnableConfig:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": name}}


async def run_blocks(executor: NodeSessionsCodeExecutor, code: str, token: CancellationToken) -> Result:
    """Run code as AutoGen does."""
    return of_blocks(await executor.execute_code_blocks([CodeBlock(code=code, language="javascript")], token))


def _told(value: Any) -> Told | None:
    return Told.read(value) if isinstance(value, dict) and "store" in value else None
