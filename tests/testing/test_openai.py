"""The real `openai` clients, with our executor as their function tool: sync and async, both APIs, streamed and not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Fail, ModelRequest, Say, ScriptedModel, Turn
from tests.testing.puzzle import Puzzle
from tests.testing.wire import unfollowed

TASK = "What is it?"
SERVICES = ["openai", "azure", "azure v1"]

services = pytest.mark.parametrize("service", SERVICES)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@contextmanager
def connected(model: ScriptedModel, service: str = "openai", **settings: Any) -> Iterator[OpenAI]:
    with _client(model, service, OpenAI, AzureOpenAI, settings) as client:
        yield client


@asynccontextmanager
async def aconnected(model: ScriptedModel, service: str, **settings: Any) -> AsyncIterator[AsyncOpenAI]:
    async with _client(model, service, AsyncOpenAI, AsyncAzureOpenAI, settings) as client:
        yield client


def _client(model: ScriptedModel, service: str, plain: Any, azure: Any, settings: dict[str, Any]) -> Any:
    settings = {"api_key": model.api_key, **settings}
    if service == "azure":
        return azure(azure_endpoint=model.azure_endpoint, api_version="2024-10-21", **settings)
    return plain(base_url=model.base_url if service == "openai" else f"{model.azure_endpoint}/openai/v1", **settings)


def script(first: Puzzle, second: Puzzle) -> list[Any]:
    """Two calls at once, then one, then an answer from what came of it."""

    def answer(request: ModelRequest) -> Say:
        assert request.output == first.output
        return Say(f"It is {request.output}.")

    return [
        Turn([Say("Let me see."), first.call, second.call], tools=["node_interpreter"], message=TASK),
        Turn(first.call, output=lambda text: text == f"{first.output}\n{second.output}"),
        Turn(answer, usage=(100, 50)),
    ]


@pytest.fixture
def puzzles() -> tuple[Puzzle, Puzzle]:
    return Puzzle(), Puzzle()


@services
@streamed
def test_chat_completions(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], executor: NodeSessionsCodeExecutor
) -> None:
    with ScriptedModel(script(*puzzles)) as model, connected(model, service) as client:
        messages: list[Any] = [{"role": "user", "content": TASK}]
        while True:
            tools: Any = [convert_to_openai_tool(executor)]
            if stream:
                with client.chat.completions.stream(
                    model=model.name, messages=messages, tools=tools, stream_options={"include_usage": True}
                ) as events:
                    completion: Any = events.get_final_completion()
            else:
                completion = client.chat.completions.create(model=model.name, messages=messages, tools=tools)
            message = completion.choices[0].message
            if not message.tool_calls:
                break
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in message.tool_calls:
                output = executor.invoke(json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
    assert message.content == f"It is {puzzles[0].output}."
    assert completion.usage.total_tokens == 150


@services
@streamed
async def test_chat_completions_async(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], executor: NodeSessionsCodeExecutor
) -> None:
    with ScriptedModel([puzzles[0].call, Turn(Say("Done."), output=puzzles[0].output)]) as model:
        async with aconnected(model, service) as client:
            messages: list[Any] = [{"role": "user", "content": TASK}]
            tools: Any = [convert_to_openai_tool(executor)]
            asked: Any = {"model": model.name, "messages": messages, "tools": tools}
            call_id, arguments = "", ""
            if stream:
                async for chunk in await client.chat.completions.create(**asked, stream=True):
                    for delta in chunk.choices[0].delta.tool_calls or []:
                        call_id += delta.id or ""
                        arguments += delta.function.arguments
            else:
                completion = await client.chat.completions.create(**asked)
                (call,) = completion.choices[0].message.tool_calls
                call_id, arguments = call.id, call.function.arguments
            function = {"name": "node_interpreter", "arguments": arguments}
            output = (await executor.aexecute(json.loads(arguments)["code"])).text
            messages += [
                {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": call_id, "content": output},
            ]
            completion = await client.chat.completions.create(**asked)
            assert completion.choices[0].message.content == "Done."


def flat_tool(executor: NodeSessionsCodeExecutor) -> Any:
    function = convert_to_openai_tool(executor)["function"]
    return {"type": "function", "strict": False, **function}


@services
@streamed
def test_responses(
    service: str, stream: bool, puzzles: tuple[Puzzle, Puzzle], executor: NodeSessionsCodeExecutor
) -> None:
    with ScriptedModel(script(*puzzles)) as model, connected(model, service) as client:
        items: Any = [{"role": "user", "content": TASK}]
        previous: Any = openai.omit
        while True:
            # Half of the time the client sends all again, and half of the time it names the response before.
            asked: Any = {"model": model.name, "input": items, "tools": [flat_tool(executor)]}
            if stream:
                with client.responses.stream(**asked) as events:
                    response: Any = events.get_final_response()
                items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
            else:
                response = client.responses.create(**asked, previous_response_id=previous)
                previous, items = response.id, []
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                break
            for call in calls:
                output = executor.invoke(json.loads(call.arguments))
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    assert response.output_text == f"It is {puzzles[0].output}."
    assert response.usage.total_tokens == 150


@services
@streamed
async def test_responses_async(service: str, stream: bool) -> None:
    with ScriptedModel([Say("The fox says 🦊.")]) as model:
        async with aconnected(model, service) as client:
            if stream:
                text = ""
                async for event in await client.responses.create(model=model.name, input=TASK, stream=True):
                    text += event.delta if event.type == "response.output_text.delta" else ""
            else:
                text = (await client.responses.create(model=model.name, input=TASK)).output_text
            assert text == "The fox says 🦊."


@services
def test_models_are_listed(service: str) -> None:
    with ScriptedModel([]) as model, connected(model, service) as client:
        assert [listed.id for listed in client.models.list()] == [model.name]


@services
def test_a_wrong_key_is_refused(service: str) -> None:
    with ScriptedModel([]) as model, connected(model, service, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.chat.completions.create(model=model.name, messages=[{"role": "user", "content": TASK}])
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.responses.create(model=model.name, input=TASK)


def test_a_token_of_entra_stands_for_the_key() -> None:
    with (
        ScriptedModel([Say("Hello.")]) as model,
        AzureOpenAI(
            azure_endpoint=model.azure_endpoint, api_version="2024-10-21", azure_ad_token_provider=lambda: model.api_key
        ) as client,
    ):
        assert client.responses.create(model=model.name, input=TASK).output_text == "Hello."


@pytest.mark.parametrize("fail", [Fail(429, retry_after=0.01), Fail(500, retry_after=0.01)], ids=["429", "500"])
@streamed
def test_the_client_tries_again(fail: Fail, stream: bool) -> None:
    with ScriptedModel([fail, fail, Say("Hello.")]) as model, connected(model, max_retries=2) as client:
        if stream:
            with client.responses.create(model=model.name, input=TASK, stream=True) as events:
                assert [event.type for event in events][-1] == "response.completed"
        else:
            client.chat.completions.create(model=model.name, messages=[{"role": "user", "content": TASK}])
        retries = [request.headers["x-stainless-retry-count"] for request in model.requests]
        assert retries == ["0", "1", "2"]


def test_the_client_gives_up() -> None:
    with ScriptedModel([Fail(429, "Slow down.", code="rate_limit_exceeded")]) as model:
        with connected(model, max_retries=0) as client, pytest.raises(openai.RateLimitError, match="Slow down") as told:
            client.responses.create(model=model.name, input=TASK)
    assert told.value.code == "rate_limit_exceeded"


def test_an_unmet_expectation_ends_the_client_at_once() -> None:
    with unfollowed([Turn(Say("Hello."), message="please")]) as model, connected(model) as client:
        with pytest.raises(openai.BadRequestError, match="turn 1: the last message holds no 'please'"):
            client.responses.create(model=model.name, input=TASK)
        assert len(model.requests) == 1
