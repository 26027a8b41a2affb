"""Agents of AutoGen and LangChain with their real model clients: the model is scripted, the code runs in Node.js."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, AssistantAgent, CodeExecutorAgent
from autogen_core.models import ChatCompletionClient
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient, OpenAIChatCompletionClient
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import SecretStr

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Fail, Say, ScriptedModel, Turn
from tests.testing.puzzle import Puzzle
from tests.testing.wire import unfollowed

TASK = "What is it?"

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def puzzles() -> tuple[Puzzle, Puzzle]:
    return Puzzle(), Puzzle()


def with_tools(puzzles: tuple[Puzzle, Puzzle]) -> list[Any]:
    """A turn with two calls, one with a single call, and an answer from what came of it."""
    first, second = puzzles
    return [
        Turn([first.call, second.call], message=TASK),
        Turn(second.call, output=lambda text: text == f"{first.output}\n{second.output}"),
        Turn(lambda request: Say(f"It is {request.output}."), output=second.output, usage=(100, 50)),
    ]


# AutoGen


@asynccontextmanager
async def autogen_client(model: ScriptedModel, service: str) -> AsyncIterator[ChatCompletionClient]:
    client: ChatCompletionClient
    if service == "azure":
        client = AzureOpenAIChatCompletionClient(
            model=model.name,
            azure_deployment=model.name,
            azure_endpoint=model.azure_endpoint,
            api_version="2024-10-21",
            api_key=model.api_key,
        )
    else:
        client = OpenAIChatCompletionClient(model=model.name, base_url=model.base_url, api_key=model.api_key)
    try:
        yield client
    finally:
        await client.close()


def approve(request: ApprovalRequest) -> ApprovalResponse:
    return ApprovalResponse(approved=True, reason="It runs in an isolated session.")


@pytest.mark.parametrize("service", ["openai", "azure"])
@streamed
async def test_an_autogen_assistant_calls_the_tool(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], pool: LocalPool
) -> None:
    with ScriptedModel(with_tools(puzzles)) as model:
        async with (
            autogen_client(model, service) as client,
            NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor,
        ):

            async def node_interpreter(code: str) -> str:
                """Run JavaScript."""
                return (await executor.aexecute(code)).text

            agent = AssistantAgent(
                "coder", client, tools=[node_interpreter], max_tool_iterations=5, model_client_stream=stream
            )
            result = await agent.run(task=TASK)
        assert {bool(request.body.get("stream")) for request in model.requests} == {stream}
    last: Any = result.messages[-1]
    assert last.content == f"It is {puzzles[1].output}."
    assert last.models_usage is None or stream or last.models_usage.prompt_tokens == 100


@pytest.mark.parametrize("service", ["openai", "azure"])
@streamed
async def test_an_autogen_code_executor_agent_runs_what_the_model_writes(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], pool: LocalPool
) -> None:
    puzzle, _ = puzzles
    script = [
        Turn(Say(f"Let me see.\n\n```javascript\n{puzzle.code}\n```"), message=TASK),
        Turn(Say("That is it."), message=puzzle.output),
    ]
    with ScriptedModel(script) as model:
        async with (
            autogen_client(model, service) as client,
            NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor,
        ):
            agent = CodeExecutorAgent(
                "coder",
                executor,
                model_client=client,
                supported_languages=list(executor.SUPPORTED_LANGUAGES),
                system_message=executor.SYSTEM_MESSAGE,
                approval_func=approve,
                model_client_stream=stream,
            )
            result = await agent.run(task=TASK)
        system, user = model.requests[0].messages
        assert (system.role, system.text) == ("system", NodeSessionsCodeExecutor.SYSTEM_MESSAGE)
        assert (user.role, user.text) == ("user", TASK)
    last: Any = result.messages[-1]
    assert last.content == "That is it."


# LangChain


def langchain_model(model: ScriptedModel, service: str, **settings: Any) -> BaseChatModel:
    key = SecretStr(model.api_key)
    if service == "azure":
        return AzureChatOpenAI(
            azure_endpoint=model.azure_endpoint,
            azure_deployment=model.name,
            api_version="2024-10-21",
            api_key=key,
            **settings,
        )
    return ChatOpenAI(
        model=model.name,
        base_url=model.base_url,
        api_key=key,
        use_responses_api=service == "responses",
        **settings,
    )


@pytest.mark.parametrize("service", ["openai", "responses", "azure"])
@streamed
def test_a_langchain_agent_calls_the_tool(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], executor: NodeSessionsCodeExecutor
) -> None:
    with ScriptedModel(with_tools(puzzles)) as model:
        # Of other servers than OpenAI's own, LangChain asks for no usage unless told to.
        agent = create_agent(langchain_model(model, service, streaming=stream, stream_usage=True), tools=[executor])
        messages = agent.invoke({"messages": [HumanMessage(TASK)]})["messages"]
        assert {request.api for request in model.requests} == {"responses" if service == "responses" else "chat"}
        assert {bool(request.body.get("stream")) for request in model.requests} == {stream}
    assert messages[-1].text == f"It is {puzzles[1].output}."
    assert messages[-1].usage_metadata["total_tokens"] == 150
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [result.content for result in results] == [puzzles[0].output, puzzles[1].output, puzzles[1].output]
    assert {result.artifact["exit_code"] for result in results} == {0}


@pytest.mark.parametrize("service", ["openai", "responses"])
async def test_a_langchain_agent_streams(service: str, puzzles: tuple[Puzzle, Puzzle], pool: LocalPool) -> None:
    with ScriptedModel(with_tools(puzzles)) as model:
        async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
            agent = create_agent(langchain_model(model, service, stream_usage=True), tools=[executor])
            text = ""
            async for chunk, _ in agent.astream({"messages": [HumanMessage(TASK)]}, stream_mode="messages"):
                text += chunk.text if isinstance(chunk, AIMessageChunk) else ""
    assert text == f"It is {puzzles[1].output}."


def test_a_langchain_model_with_previous_responses(puzzles: tuple[Puzzle, Puzzle]) -> None:
    with ScriptedModel([Say("One."), Turn(Say("Two."), message="And?")]) as model:
        chat = langchain_model(model, "responses", use_previous_response_id=True)
        first = chat.invoke([HumanMessage(TASK)])
        assert chat.invoke([HumanMessage(TASK), first, HumanMessage("And?")]).text == "Two."
        assert len(model.requests[1].body["input"]) == 1
        assert [message.text for message in model.requests[1].messages] == [TASK, "One.", "And?"]


@pytest.mark.parametrize("service", ["openai", "responses"])
def test_a_langchain_agent_tries_again_after_a_failure(service: str) -> None:
    with ScriptedModel([Fail(429, retry_after=0.01), Fail(500, retry_after=0.01), Say("Hello.")]) as model:
        answer = langchain_model(model, service).invoke([HumanMessage(TASK)])
    assert isinstance(answer, AIMessage)
    assert answer.text == "Hello."


def test_an_agent_that_sends_another_result_is_told(puzzles: tuple[Puzzle, Puzzle], pool: LocalPool) -> None:
    script = [puzzles[0].call, Turn(Say("Never said."), output=puzzles[1].output)]
    told: list[str] = []
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor, unfollowed(script, told) as model:
        agent = create_agent(langchain_model(model, "openai"), tools=[executor])
        with pytest.raises(openai.BadRequestError, match="turn 2: the tool result holds no"):
            agent.invoke({"messages": [HumanMessage(TASK)]})
    assert told[1].startswith("- turn 2: the tool result holds no ")
    assert puzzles[0].output.splitlines()[1].strip("=> '") in told[1]
