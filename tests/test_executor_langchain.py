"""The LangChain face: a `BaseTool`, on real Node.js."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.sessions import managed
from tests.http_server import Response, serve


class TestStandardUnit(ToolsUnitTests):
    """LangChain's own suite, nothing overridden."""

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return NodeSessionsCodeExecutor

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"timeout": 30}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"code": "1+1"}


class TestStandardIntegration(ToolsIntegrationTests):
    """LangChain's own suite against the embedded pool, nothing overridden."""

    @pytest.fixture(autouse=True)
    def the_pool_of_the_environment(self, pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ACA_POOL_MANAGEMENT_ENDPOINT", pool.endpoint)
        monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return NodeSessionsCodeExecutor

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"code": "1+1"}


def tool_call(code: str, number: int = 1) -> ToolCall:
    return ToolCall(name="node_interpreter", args={"code": code}, id=str(number), type="tool_call")


def test_the_model_sees_one_field(executor: NodeSessionsCodeExecutor) -> None:
    schema = convert_to_openai_tool(executor)["function"]
    assert schema["name"] == "node_interpreter"
    assert schema["parameters"]["properties"].keys() == {"code"}
    assert schema["parameters"]["required"] == ["code"]
    assert executor.metadata == {"ls_code_input_language": "javascript"}


def test_arguments_give_text(executor: NodeSessionsCodeExecutor) -> None:
    assert executor.invoke({"code": "console.log('hi'); 6*7"}) == "hi\n=> 42"


def test_a_tool_call_gives_a_message_with_what_came_of_the_run_as_artifact(executor: NodeSessionsCodeExecutor) -> None:
    message = executor.invoke(tool_call("fs.writeFileSync('/mnt/data/a.txt', 'x'); 5"))
    assert isinstance(message, ToolMessage)
    assert (message.content, message.status) == ('=> 5\nFiles saved:\n- a.txt (1 bytes, "x")', "success")
    assert (message.artifact["exit_code"], message.artifact["value"]) == (0, 5)
    assert [Path(file["path"]).read_bytes() for file in message.artifact["files"]] == [b"x"]


async def test_the_asynchronous_way_is_native_and_shares_the_session(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        await executor.ainvoke({"code": "var shared = 'yes'"})
        assert await executor.ainvoke({"code": "shared"}) == "=> 'yes'"
        assert await asyncio.to_thread(executor.invoke, {"code": "shared"}) == "=> 'yes'"
        message = await executor.ainvoke(tool_call("shared"))
        assert message.content == "=> 'yes'"


def test_a_program_without_a_framework_gets_the_run_itself(executor: NodeSessionsCodeExecutor) -> None:
    outcome = executor.execute("fs.writeFileSync('/mnt/data/a.txt', 'x'); 5")
    assert (outcome.exit_code, outcome.execution.result, outcome.artifacts[0].read_bytes()) == (0, "5", b"x")
    assert executor.execute("null.x").exit_code == 1


def test_a_failure_of_the_code_is_content(executor: NodeSessionsCodeExecutor) -> None:
    message = executor.invoke(tool_call("null.x"))
    assert message.status == "success"
    assert "TypeError: Cannot read properties of null" in message.content
    assert message.artifact["exit_code"] == 1


def test_a_run_without_output_says_so(executor: NodeSessionsCodeExecutor) -> None:
    assert executor.invoke({"code": "var quiet = 1"}) == "The code ran and printed nothing."


def test_empty_code_is_refused(executor: NodeSessionsCodeExecutor) -> None:
    message = executor.invoke(tool_call(" "))
    assert (message.content, message.artifact["exit_code"]) == ("There is no code to run: send JavaScript.", 1)


@pytest.mark.parametrize("code", [None, b"1 + 1"])
async def test_code_that_is_no_text_is_an_error_that_says_so(code: Any, executor: NodeSessionsCodeExecutor) -> None:
    with pytest.raises(ConfigurationError, match="pass a str"):
        executor.execute(code)
    with pytest.raises(ConfigurationError, match="pass a str"):
        await executor.aexecute(code)


def test_a_failure_of_the_call_is_handled_and_shows_no_secret() -> None:
    body = b'{"code":"SessionsCountExceedsLimit","message":"see https://host/x for my-session"}'
    with serve(lambda _: Response(429, body, {"Retry-After": "120"})) as server:
        with NodeSessionsCodeExecutor(server.url, token="hunter2", session_id="my-session", deadline=61) as executor:
            message = executor.invoke(tool_call("1"))
            strict = executor.model_copy(update={"handle_tool_error": False})
            with pytest.raises(ToolException, match="taken"):
                strict.invoke(tool_call("1"))
    assert message.status == "error"
    assert "All sessions of the pool are taken" in message.content
    assert not [secret for secret in ("hunter2", "my-session", "http", "127.0.0.1") if secret in message.content]


@pytest.mark.parametrize("settings", [{"tokn": "hunter2"}, {"session_secret": ["hunter2"]}])
def test_an_error_in_a_setting_shows_no_secret(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))) as raised:
        NodeSessionsCodeExecutor(**settings)
    assert "hunter2" not in str(raised.value)


async def test_in_a_graphs_tool_node_a_failed_call_does_not_end_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "_PATIENCE", 0.5)
    with serve(lambda _: Response(500)) as server:
        async with NodeSessionsCodeExecutor(server.url, token="t") as executor:
            graph = StateGraph(MessagesState)
            graph.add_node("tools", ToolNode([executor]))
            graph.add_edge(START, "tools")
            graph.add_edge("tools", END)
            state = await graph.compile().ainvoke({"messages": [AIMessage("", tool_calls=[tool_call("1")])]})
    assert state["messages"][-1].status == "error"


class ScriptedModel(GenericFakeChatModel):
    """Says what it is given, whatever tools it may use."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


async def test_an_agent_uses_the_tool(pool: LocalPool) -> None:
    script = [AIMessage("", tool_calls=[tool_call("2n ** 64n")]), AIMessage("done")]
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        agent = create_agent(ScriptedModel(messages=iter(script)), tools=[executor])
        state = await agent.ainvoke({"messages": [HumanMessage("What is 2 to the 64?")]})
    assert [m.content for m in state["messages"][2:]] == ["=> 18446744073709551616n", "done"]


def test_parallel_calls_take_turns_in_the_session(executor: NodeSessionsCodeExecutor) -> None:
    with ThreadPoolExecutor(4) as threads:
        code = "var n = (globalThis.n || 0) + 1; fs.writeFileSync('/mnt/data/' + n, ''); n"
        messages = list(threads.map(lambda i: executor.invoke(tool_call(code, i)), range(8)))
    assert sorted(message.artifact["value"] for message in messages) == list(range(1, 9))
    for message in messages:
        assert [file["name"] for file in message.artifact["files"]] == [str(message.artifact["value"])]


async def test_parallel_asynchronous_calls_take_turns_too(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        code = "var n = (globalThis.n || 0) + 1; n"
        outputs = await asyncio.gather(*(executor.ainvoke({"code": code}) for _ in range(8)))
    assert sorted(outputs) == [f"=> {n}" for n in range(1, 9)]


async def test_its_functions_work_for_whoever_calls_them_directly(executor: NodeSessionsCodeExecutor) -> None:
    assert executor._run("1 + 1")[0] == "=> 2"
    assert (await executor._arun(code="2 + 2"))[0] == "=> 4"
