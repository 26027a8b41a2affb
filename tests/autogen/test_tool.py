"""The tool for an `AssistantAgent`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import StructuredMessage, ToolCallExecutionEvent
from autogen_core import CancellationToken
from autogen_core.tools import BaseTool
from pydantic import BaseModel

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import NodeTool, artifacts_of
from aca_node_interpreter.errors import AcaNodeError, ConfigurationError
from aca_node_interpreter.testing import Call, Playable, Say, ScriptedModel, Turn
from tests.autogen.agents import client_of, written_down
from tests.testing.puzzle import Puzzle


@pytest.fixture
def tool(executor: NodeSessionsCodeExecutor) -> NodeTool:
    return NodeTool(executor)


async def test_it_runs_code(tool: NodeTool) -> None:
    output = await tool.run_json({"code": "fs.writeFileSync('/mnt/data/a.txt', 'abc'); 6 * 7"}, CancellationToken())
    assert (output.exit_code, [artifact.name for artifact in output.artifacts]) == (0, ["a.txt"])
    assert tool.return_value_as_string(output).startswith("=> 42\nFiles saved:\n- a.txt (3 bytes")
    output = await tool.run_json({"code": "throw new TypeError('boom')"}, CancellationToken())
    assert output.exit_code == 1
    assert "TypeError: boom" in tool.return_value_as_string(output)
    output = await tool.run_json({"code": "undefined"}, CancellationToken())
    assert str(output) == "The code ran and printed nothing."


def test_a_model_sees_one_field(tool: NodeTool) -> None:
    assert tool.schema["name"] == "node_interpreter"
    assert tool.schema["description"] == NodeSessionsCodeExecutor().description
    parameters = tool.schema["parameters"]
    assert list(parameters["properties"]) == ["code"]
    assert parameters.get("required") == ["code"]
    assert parameters.get("additionalProperties") is False


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_assistant_calls_it_side_by_side_and_reflects(stream: bool, tool: NodeTool) -> None:
    first, second = Puzzle(), Puzzle()
    script: list[Playable] = [
        [first.call, second.call],
        Turn(lambda request: Say(f"They are {request.output}."), output=first.output),
    ]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            agent = AssistantAgent(
                "assistant", client, tools=[tool], reflect_on_tool_use=True, model_client_stream=stream
            )
            *_, result = [message async for message in agent.run_stream(task="What are they?")]
        assert {bool(request.body.get("stream")) for request in model.requests} == {stream}
    assert isinstance(result, TaskResult)
    assert result.messages[-1].to_text() == f"They are {first.output}\n{second.output}."


class Answer(BaseModel):
    number: int


# AutoGen writes a log entry that pydantic does not like.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_an_assistant_may_be_asked_for_structured_answers(tool: NodeTool) -> None:
    script: list[Playable] = [Call("node_interpreter", code="6 * 7"), Turn(Say('{"number": 42}'), output="=> 42")]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            agent = AssistantAgent("assistant", client, tools=[tool], output_content_type=Answer, max_tool_iterations=2)
            result = await agent.run(task="What is 6 times 7?")
    message = result.messages[-1]
    assert isinstance(message, StructuredMessage)
    assert message.content == Answer(number=42)


async def test_its_files_are_reached_from_the_tasks_result(tool: NodeTool) -> None:
    call = Call("node_interpreter", code="fs.writeFileSync('/mnt/data/a.csv', 'n\\n1')")
    with ScriptedModel([call]) as model:
        async with client_of(model) as client:
            result = await AssistantAgent("assistant", client, tools=[tool]).run(task="Write a file.")
    for each in (result, written_down(result)):
        assert [artifact.read_bytes() for artifact in artifacts_of(each, tool.executor)] == [b"n\n1"]


async def test_a_call_that_fails_is_an_error_that_the_model_reads() -> None:
    executor = NodeSessionsCodeExecutor("http://127.0.0.1:9/subscriptions/secret", token="hunter2")
    with pytest.raises(AcaNodeError):
        await NodeTool(executor).run_json({"code": "1"}, CancellationToken())
    script: list[Playable] = [Call("node_interpreter", code="1"), Turn(Say("I can't."), output="can't be reached")]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            agent = AssistantAgent("assistant", client, tools=[NodeTool(executor)], reflect_on_tool_use=True)
            result = await agent.run(task="Run it.")
    (event,) = (message for message in result.messages if isinstance(message, ToolCallExecutionEvent))
    assert event.content[0].is_error
    assert "secret" not in event.content[0].content
    assert "hunter2" not in event.content[0].content
    await executor.stop()


async def cancelled_mid_run(agent: AssistantAgent) -> Any:
    """Run the agent's task, cancel it once its code runs, and return what comes of it."""
    token = CancellationToken()
    task = asyncio.ensure_future(agent.run(task="Wait.", cancellation_token=token))
    await asyncio.sleep(1)
    token.cancel()
    return (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), timeout=5))[0]


@pytest.mark.parametrize("reflect", [False, True])
async def test_cancelling_does_not_leave_an_assistant_waiting(reflect: bool, tool: NodeTool) -> None:
    with ScriptedModel([Call("node_interpreter", code="await new Promise(done => setTimeout(done, 4000))")]) as model:
        async with client_of(model) as client:
            agent = AssistantAgent("assistant", client, tools=[tool], reflect_on_tool_use=reflect)
            outcome = await cancelled_mid_run(agent)
    if reflect:
        assert isinstance(outcome, asyncio.CancelledError)
    else:
        assert "The call was cancelled" in outcome.messages[-1].to_text()


async def test_nothing_runs_after_the_token_was_cancelled(tool: NodeTool) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(AcaNodeError, match="cancelled"):
        await tool.run_json({"code": "globalThis.ran = true"}, token)
    assert str(await tool.run_json({"code": "typeof ran"}, CancellationToken())) == "=> 'undefined'"


async def test_being_cancelled_otherwise_is_passed_on(tool: NodeTool) -> None:
    waiting = asyncio.ensure_future(tool.run_json({"code": "1"}, CancellationToken()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_it_is_a_component_with_its_executor_in_it(pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = NodeSessionsCodeExecutor(pool.endpoint, token="hunter2", session_id="my-session", timeout=7)
    dumped = NodeTool(executor, name="js", description="Runs it.").dump_component()
    assert "hunter2" not in dumped.model_dump_json()
    assert "my-session" not in dumped.model_dump_json()
    monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
    loaded: Any = BaseTool.load_component(dumped.model_dump())
    assert isinstance(loaded, NodeTool)
    assert (loaded.name, loaded.description, loaded.executor.timeout) == ("js", "Runs it.", 7)
    assert loaded.dump_component() == dumped
    async with loaded:
        assert str(await loaded.run_json({"code": "6*7"}, CancellationToken())) == "=> 42"
    assert loaded.executor._runner._connection is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # some versions say what running code on this machine means
def test_an_executor_of_another_kind_is_refused(tmp_path: Path) -> None:
    from autogen_core.code_executor import CodeExecutor
    from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

    dumped = NodeTool(NodeSessionsCodeExecutor()).dump_component()
    other: CodeExecutor = LocalCommandLineCodeExecutor(work_dir=tmp_path)
    dumped.config["executor"] = other.dump_component().model_dump()
    with pytest.raises(ConfigurationError, match="LocalCommandLineCodeExecutor"):
        NodeTool.load_component(dumped)
