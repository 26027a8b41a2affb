"""Ours: the same object as AutoGen's executor and as LangChain's tool, blocking and asynchronous."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

import httpx
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig

from aca_node_interpreter import NodeSessionsCodeExecutor

from .conversation import BareCall, Pool


class AutoGen:
    """AutoGen's executor, one for each conversation, as AutoGen has it."""

    def __init__(self, pool: Pool) -> None:
        self._executor = NodeSessionsCodeExecutor(pool.endpoint, token=pool.token)

    async def start(self) -> None:
        """Open the connection before the first run."""
        await self._executor.start()

    async def run(self, code: str) -> list[str]:
        """Run code; names the files that came back."""
        result = await self._executor.execute_code_blocks([CodeBlock(code, "javascript")], CancellationToken())
        assert result.exit_code == 0, result.output
        return [artifact.name for artifact in result.artifacts]

    async def bring(self, code: str, names: list[str], directory: Path) -> None:
        """Run: what it writes is brought."""
        assert await self.run(code) == names

    async def upload(self, files: list[Path]) -> None:
        """Upload their directory."""
        await self._executor.aupload(files[0].parent)

    async def end(self) -> None:
        """End the session."""
        await self._executor.stop()

    @staticmethod
    async def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of its transport."""
        http = httpx.AsyncClient(headers=pool.headers)
        url, body = pool.url("bare", legacy=False), pool.body(code, legacy=False)

        async def call() -> None:
            response = await http.post(url, json=body)
            response.raise_for_status()
            response.json()

        return call


class _Thread:
    """LangChain's tool: one object for all conversations of a pool, each a thread with a session of its own."""

    def __init__(self, pool: Pool) -> None:
        self._tool = _tool(pool)
        self._thread = f"thread-{uuid.uuid4()}"
        self._config: RunnableConfig = {"configurable": {"thread_id": self._thread}}


class LangChain(_Thread):
    """The tool, invoked."""

    def run(self, code: str) -> object:
        """Invoke the tool."""
        return self._tool.invoke({"code": code}, self._config)

    def bring(self, code: str, names: list[str], directory: Path) -> None:
        """Run: what it writes is brought."""
        assert _names(self._tool.invoke(_tool_call(code), self._config)) == names

    def upload(self, files: list[Path]) -> None:
        """Upload their directory."""
        self._tool.upload(files[0].parent, thread_id=self._thread)

    def end(self) -> None:
        """End the session."""
        self._tool.close(self._thread)

    @staticmethod
    def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of its transport."""
        http = httpx.Client(headers=pool.headers)
        url, body = pool.url("bare", legacy=False), pool.body(code, legacy=False)

        def call() -> None:
            http.post(url, json=body).raise_for_status().json()

        return call


class AsyncLangChain(_Thread):
    """The same, invoked without holding up the event loop."""

    async def start(self) -> None:
        """Open the connection before the first run."""
        await self._tool.start()

    async def run(self, code: str) -> object:
        """Invoke the tool."""
        return await self._tool.ainvoke({"code": code}, self._config)

    async def bring(self, code: str, names: list[str], directory: Path) -> None:
        """Run: what it writes is brought."""
        assert _names(await self._tool.ainvoke(_tool_call(code), self._config)) == names

    async def upload(self, files: list[Path]) -> None:
        """Upload their directory."""
        await self._tool.aupload(files[0].parent, thread_id=self._thread)

    async def end(self) -> None:
        """End the session."""
        await self._tool.aclose(self._thread)

    @staticmethod
    async def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of its transport."""
        return await AutoGen.bare(pool, code)


@cache
def _tool(pool: Pool) -> NodeSessionsCodeExecutor:
    return NodeSessionsCodeExecutor(pool.endpoint, token=pool.token)


def _tool_call(code: str) -> dict[str, object]:
    return {"name": "node_interpreter", "args": {"code": code}, "id": str(uuid.uuid4()), "type": "tool_call"}


def _names(message: ToolMessage) -> list[str]:
    return [file["name"] for file in message.artifact["files"]]
