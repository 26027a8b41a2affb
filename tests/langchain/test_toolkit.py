"""The toolkit: run, upload, list and download in a thread's session, and nothing that was not allowed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import SecretStr

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.langchain import NodeSessionsToolkit
from aca_node_interpreter.sessions.session import Session
from aca_node_interpreter.testing import Call, Say, ScriptedModel, Turn
from tests.http_server import Response, serve
from tests.langchain.test_results import PNG

NAMES = ["node_interpreter", *(f"node_interpreter_{what}" for what in ("upload_file", "list_files", "download_file"))]


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "sales.csv").write_text("region,amount\nNorth,3\nSouth,4\n")
    (tmp_path / "private.txt").write_text("hunter2")
    return folder


@pytest.fixture
def tools(executor: NodeSessionsCodeExecutor, data: Path) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in NodeSessionsToolkit(executor=executor, allowed_paths=[data]).get_tools()}


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def call(tool: BaseTool, **args: Any) -> ToolCall:
    return ToolCall(name=tool.name, args=args, id="1", type="tool_call")


def test_the_tools_and_what_a_model_fills_in(tools: dict[str, BaseTool], executor: NodeSessionsCodeExecutor) -> None:
    assert list(tools) == NAMES
    assert tools["node_interpreter"] is executor
    fields = [set(convert_to_openai_tool(tool)["function"]["parameters"]["properties"]) for tool in tools.values()]
    assert fields == [{"code"}, {"path"}, set(), {"path"}]
    without = NodeSessionsToolkit(executor=executor).get_tools()
    assert [tool.name for tool in without] == [NAMES[0], *NAMES[2:]]
    other = NodeSessionsCodeExecutor(name="js")
    assert [tool.name for tool in NodeSessionsToolkit(executor=other).get_tools()] == [
        "js",
        "js_list_files",
        "js_download_file",
    ]


def test_an_agent_uploads_reads_and_hands_over(tools: dict[str, BaseTool], executor: NodeSessionsCodeExecutor) -> None:
    _, upload, listing, download = NAMES
    count = "fs.readFileSync('/mnt/data/sales.csv', 'utf8').trim().split('\\n').length - 1"
    script: list[Any] = [
        Call(upload, path="sales.csv"),
        Turn(Call("node_interpreter", code=count), output="- sales.csv (30 bytes, 2 rows: "),
        Turn(Call(listing), output="=> 2"),
        Turn(Call(download, path="sales.csv"), output="Files in /mnt/data:\n- sales.csv (30 bytes, 2 rows"),
        Turn(Say("Here it is."), output="Files saved:\n- sales.csv (30 bytes, 2 rows"),
    ]
    with ScriptedModel(script) as model:
        chat = ChatOpenAI(model=model.name, base_url=model.base_url, api_key=SecretStr(model.api_key))
        agent = create_agent(chat, tools=list(tools.values()))
        said = agent.invoke({"messages": [HumanMessage("Count the sales.")]}, thread("a"))["messages"]
    artifact = said[-2].artifact
    assert Path(artifact["files"][0]["path"]).read_text().startswith("region,amount")
    assert [file.name for file in executor.list_files(thread_id="a")] == ["sales.csv"]
    assert executor.list_files(thread_id="b") == executor.list_files() == []
    assert JsonPlusSerializer(allowed_msgpack_modules=None).loads_typed(
        JsonPlusSerializer().dumps_typed(said[-2])
    ).artifact == json.loads(json.dumps(artifact))


@pytest.mark.parametrize("is_async", [False, True])
async def test_calls_of_one_message_go_in_order_whatever_tools_they_are(
    is_async: bool, executor: NodeSessionsCodeExecutor, tools: dict[str, BaseTool]
) -> None:
    run, upload, listing, _ = NAMES
    read, remove = "fs.readFileSync('/mnt/data/sales.csv').length", "fs.unlinkSync('/mnt/data/sales.csv')"
    made = [(upload, {"path": "sales.csv"}), (run, {"code": read}), (run, {"code": remove}), (listing, {})]
    calls = [ToolCall(name=name, args=args, id=f"c{n}", type="tool_call") for n, (name, args) in enumerate(made)]
    message = AIMessage("", tool_calls=calls)
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(list(tools.values())))
    graph.add_edge(START, "tools")
    node: Any = graph.compile()
    for name in ("d", "e", "f"):
        if is_async:
            state = await node.ainvoke({"messages": [message]}, thread(name))
        else:
            state = await asyncio.to_thread(node.invoke, {"messages": [message]}, thread(name))
        _, _, size, _, there = (each.content for each in state["messages"])
        assert (size, there) == ("=> 30", "There are no files in /mnt/data.")


async def test_the_asynchronous_way_does_the_same(tools: dict[str, BaseTool]) -> None:
    run, upload, listing, download = tools.values()
    assert await listing.ainvoke({}, thread("c")) == "There are no files in /mnt/data."
    assert (await upload.ainvoke({"path": "data"}, thread("c"))).startswith("Uploaded. Files in /mnt/data:\n- sales")
    assert await run.ainvoke({"code": "fs.readdirSync('/mnt/data')"}, thread("c")) == "=> [ 'sales.csv' ]"
    message = await download.ainvoke(call(download, path="/mnt/data/sales.csv"), thread("c"))
    assert message.artifact["files"][0]["size"] == 30
    assert await listing.ainvoke({}) == "There are no files in /mnt/data."


@pytest.mark.parametrize("named", ["../private.txt", "private.txt", "/etc/hostname", "{parent}/private.txt", "link"])
def test_a_model_uploads_only_what_is_allowed(named: str, tools: dict[str, BaseTool], data: Path) -> None:
    (data / "link").symlink_to(data.parent / "private.txt")
    upload, path = tools["node_interpreter_upload_file"], named.format(parent=data.parent)
    message = upload.invoke(call(upload, path=path))
    assert (message.status, message.content) == ("error", f"There is no file {path!r} that may be uploaded.")
    assert tools["node_interpreter_list_files"].invoke({}) == "There are no files in /mnt/data."


async def test_what_goes_wrong_is_told_and_shows_no_secret(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"error": {"code": "SessionsCountExceedsLimit", "message": "see https://host/x for my-session"}}'
    with serve(lambda _: Response(429, body, {"Retry-After": "120"})) as server:
        with NodeSessionsCodeExecutor(server.url, token="hunter2", session_id="my-session", deadline=61) as executor:
            _, *tools = NodeSessionsToolkit(executor=executor, allowed_paths=[data]).get_tools()
            for tool, args in zip(tools, ({"path": "sales.csv"}, {}, {"path": "a"}), strict=True):
                for message in (tool.invoke(call(tool, **args)), await tool.ainvoke(call(tool, **args))):
                    assert message.status == "error"
                    secrets = ("hunter2", "my-session", "http", "127.0.0.1", str(data))
                    assert not [secret for secret in secrets if secret in message.content]


def test_a_file_that_can_not_be_read_or_is_not_there(tools: dict[str, BaseTool], monkeypatch: Any) -> None:
    _, upload, _, download = tools.values()
    missing = download.invoke(call(download, path="nothing.txt"))
    assert (missing.status, isinstance(missing, ToolMessage)) == ("error", True)

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "/home/me/sales.csv")

    monkeypatch.setattr(Session, "upload", denied)
    told = upload.invoke(call(upload, path="sales.csv"))
    assert (told.status, told.content) == ("error", "It did not work: Permission denied.")


def test_a_picture_that_is_downloaded_is_shown_on_request(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, return_images=True) as executor:
        executor.upload(PNG, name="dot.png")
        download = NodeSessionsToolkit(executor=executor).get_tools()[-1]
        _, picture = download.invoke(call(download, path="dot.png")).content
    assert picture["base64"] == base64.b64encode(PNG).decode()


class TheTool:
    """The tool of that suffix, on the pool that the environment names."""

    suffix = "list_files"
    example: dict[str, Any] = {}  # noqa: RUF012  # each suite has its own

    @pytest.fixture(autouse=True)
    def the_pool_of_the_environment(self, pool: LocalPool, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
        monkeypatch.setenv("ACA_POOL_MANAGEMENT_ENDPOINT", pool.endpoint)
        monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
        monkeypatch.chdir(data)

    @property
    def tool_constructor(self) -> Any:
        executor = NodeSessionsCodeExecutor()
        if self.suffix == "download_file":
            executor.upload(b"x", name="sales.csv")
        toolkit = NodeSessionsToolkit(executor=executor, allowed_paths=[Path()])
        return next(tool for tool in toolkit.get_tools() if tool.name.endswith(self.suffix))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class TheUploads(TheTool):
    suffix, example = "upload_file", {"path": "sales.csv"}


class TheDownloads(TheTool):
    suffix, example = "download_file", {"path": "sales.csv"}


class TestListUnit(TheTool, ToolsUnitTests):
    """LangChain's own suite, nothing overridden."""


class TestListIntegration(TheTool, ToolsIntegrationTests):
    """LangChain's own suite against the embedded pool, nothing overridden."""


class TestUploadUnit(TheUploads, ToolsUnitTests):
    """LangChain's own suite, nothing overridden."""


class TestUploadIntegration(TheUploads, ToolsIntegrationTests):
    """LangChain's own suite against the embedded pool, nothing overridden."""


class TestDownloadUnit(TheDownloads, ToolsUnitTests):
    """LangChain's own suite, nothing overridden."""


class TestDownloadIntegration(TheDownloads, ToolsIntegrationTests):
    """LangChain's own suite against the embedded pool, nothing overridden."""
