"""The executor as a tool of the real `openai` clients; the model is scripted, the code runs in Node.js."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.openai_tools import aanswer, answer, chat_tool, responses_tool
from aca_node_interpreter.testing import Call, ModelRequest, Say, ScriptedModel, Turn
from tests.test_import import FRAMEWORKS, modules_after
from tests.testing.puzzle import Puzzle

TASK = "What is it?"
CHART = Path(__file__).parents[1] / "aca_node_interpreter" / "demo_chart.js"

services = pytest.mark.parametrize("service", ["openai", "azure"])


@pytest.fixture
def puzzles() -> list[Puzzle]:
    return [Puzzle(), Puzzle(), Puzzle()]


@pytest.fixture
async def aexecutor(pool: LocalPool) -> AsyncIterator[NodeSessionsCodeExecutor]:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as made:
        yield made


def script(puzzles: list[Puzzle]) -> list[Any]:
    """Two calls at once, arguments that break off, the same repaired, and an answer from what came of it."""
    first, second, third = puzzles
    broken = Call.raw("node_interpreter", third.call.arguments[:-5])

    def conclude(request: ModelRequest) -> Say:
        return Say(f"It is {request.output}.")

    return [
        Turn([Say("Let me see."), first.call, second.call], message=TASK),
        Turn(broken, output=lambda text: text == f"{first.output}\n{second.output}"),
        Turn(third.call, output="no valid JSON (Unterminated string"),
        Turn(conclude, output=lambda text: text == third.output),
    ]


def settings(model: ScriptedModel, service: str) -> dict[str, Any]:
    """With Azure, the key goes the way of an Entra token."""
    if service == "openai":
        return {"base_url": model.base_url, "api_key": model.api_key}
    return {
        "azure_endpoint": model.azure_endpoint,
        "api_version": "2024-10-21",
        "azure_ad_token_provider": lambda: model.api_key,
    }


@services
def test_chat_completions(service: str, puzzles: list[Puzzle], executor: NodeSessionsCodeExecutor) -> None:
    client_class: Any = {"openai": OpenAI, "azure": AzureOpenAI}[service]
    with ScriptedModel(script(puzzles)) as model, client_class(**settings(model, service)) as client:
        messages: list[Any] = [{"role": "user", "content": TASK}]
        tools = [chat_tool(executor)]
        while True:
            reply = client.chat.completions.create(model=model.name, messages=messages, tools=tools).choices[0].message
            messages.append(reply)
            if not reply.tool_calls:
                break
            messages += answer(executor, reply.tool_calls)
    assert reply.content == f"It is {puzzles[2].output}."
    assert answer(executor, reply.tool_calls) == []


@services
async def test_chat_completions_async(service: str, puzzles: list[Puzzle], aexecutor: NodeSessionsCodeExecutor) -> None:
    client_class: Any = {"openai": AsyncOpenAI, "azure": AsyncAzureOpenAI}[service]
    with ScriptedModel(script(puzzles)) as model:
        async with client_class(**settings(model, service)) as client:
            messages: list[Any] = [{"role": "user", "content": TASK}]
            asked: Any = {"model": model.name, "messages": messages, "tools": [chat_tool(aexecutor)]}
            reply = (await client.chat.completions.create(**asked)).choices[0].message
            while reply.tool_calls:
                messages += [reply, *await aanswer(aexecutor, reply.tool_calls)]
                reply = (await client.chat.completions.create(**asked)).choices[0].message
    assert reply.content == f"It is {puzzles[2].output}."


@services
@pytest.mark.parametrize("by_id", [True, False], ids=["previous_response_id", "whole conversation"])
def test_responses(service: str, by_id: bool, puzzles: list[Puzzle], executor: NodeSessionsCodeExecutor) -> None:
    client_class: Any = {"openai": OpenAI, "azure": AzureOpenAI}[service]
    with ScriptedModel(script(puzzles)) as model, client_class(**settings(model, service)) as client:
        items: list[Any] = [{"role": "user", "content": TASK}]
        asked: Any = {"model": model.name, "tools": [responses_tool(executor)]}
        response = client.responses.create(**asked, input=items)
        while answers := answer(executor, response.output):
            if by_id:
                response = client.responses.create(**asked, input=answers, previous_response_id=response.id)
            else:
                items += [*response.output, *answers]
                response = client.responses.create(**asked, input=items)
    assert response.output_text == f"It is {puzzles[2].output}."


@services
async def test_responses_async(service: str, puzzles: list[Puzzle], aexecutor: NodeSessionsCodeExecutor) -> None:
    client_class: Any = {"openai": AsyncOpenAI, "azure": AsyncAzureOpenAI}[service]
    with ScriptedModel(script(puzzles)) as model:
        async with client_class(**settings(model, service)) as client:
            items: list[Any] = [{"role": "user", "content": TASK}]
            asked: Any = {"model": model.name, "tools": [responses_tool(aexecutor)], "input": items}
            response = await client.responses.create(**asked)
            while answers := await aanswer(aexecutor, response.output):
                items += [*response.output, *answers]
                response = await client.responses.create(**asked)
    assert response.output_text == f"It is {puzzles[2].output}."


def test_a_picture_reaches_the_model_through_responses(executor: NodeSessionsCodeExecutor) -> None:
    code = CHART.read_text()
    with (
        ScriptedModel([Call("node_interpreter", code=code), Turn(Say("Bars."), output="Drew 8 bars")]) as model,
        OpenAI(**settings(model, "openai")) as client,
    ):
        asked: Any = {"model": model.name, "tools": [responses_tool(executor)]}
        response = client.responses.create(**asked, input="Draw.")
        answers: Any = answer(executor, response.output, return_images=True)
        response = client.responses.create(**asked, input=answers, previous_response_id=response.id)
        assert response.output_text == "Bars."
        (sent,) = model.requests[1].body["input"]
    text, picture = sent["output"]
    assert text["type"] == "input_text"
    assert "chart.png" in text["text"]
    assert picture["type"] == "input_image"
    assert picture["image_url"].startswith("data:image/png;base64,iVBORw0KGgo")


def chat_call(arguments: Any, id: str = "call_1", name: str = "node_interpreter") -> dict[str, Any]:  # noqa: A002
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def responses_call(arguments: Any, id: str = "call_1", name: str = "node_interpreter") -> dict[str, Any]:  # noqa: A002
    return {"id": "fc_1", "type": "function_call", "call_id": id, "name": name, "arguments": arguments}


CALLS = {"chat": chat_call, "responses": responses_call}
apis = pytest.mark.parametrize("api", CALLS)


def code(text: str) -> str:
    return json.dumps({"code": text})


def texts(answers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return each answer's call and text, and see that it is what its API takes."""
    read = []
    for each in answers:
        if "role" in each:
            assert each == {"role": "tool", "tool_call_id": each["tool_call_id"], "content": each["content"]}
            read.append((each["tool_call_id"], each["content"]))
        else:
            assert each == {"type": "function_call_output", "call_id": each["call_id"], "output": each["output"]}
            read.append((each["call_id"], each["output"]))
    return read


@apis
def test_several_calls_are_answered_in_order_in_one_session(api: str, executor: NodeSessionsCodeExecutor) -> None:
    make = CALLS[api]
    calls = [
        make(arguments=code("var n = 20"), id="a"),
        make(arguments=code("n += 1; undefined"), id="b"),
        make(arguments=code("n * 2"), id="c"),
    ]
    assert texts(answer(executor, calls)) == [
        ("a", "The code ran and printed nothing."),
        ("b", "The code ran and printed nothing."),
        ("c", "=> 42"),
    ]


@apis
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "no valid JSON"),
        ('{"code": "1 +', "no valid JSON"),
        ("6 * 7", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        (None, "no valid JSON"),
        ("42", 'no text as "code"'),
        ("{}", 'no text as "code"'),
        ('{"code": ["1"]}', 'no text as "code"'),
        ('{"javascript": "1"}', 'no text as "code"'),
    ],
)
def test_malformed_arguments_are_told_to_the_model(
    api: str, arguments: Any, told: str, executor: NodeSessionsCodeExecutor
) -> None:
    ((_, text),) = texts(answer(executor, [CALLS[api](arguments=arguments)]))
    assert told in text
    assert text.endswith('Call node_interpreter again with a JSON object whose field "code" is the JavaScript to run.')
    assert len(text) < 300


@apis
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"code": "var a = 1;\na + 1"}', "=> 2"),
        ('{"code": "1", "language": "javascript"}', "=> 1"),
        (code("'\ud800'.length"), "=> 1"),
        (code("nowhere"), "ReferenceError: nowhere is not defined"),
        (code(""), ""),
    ],
)
def test_what_can_be_read_is_run(api: str, arguments: str, told: str, executor: NodeSessionsCodeExecutor) -> None:
    ((_, text),) = texts(answer(executor, [CALLS[api](arguments=arguments)]))
    assert told in text
    assert text


@apis
def test_what_is_not_ours_is_left_to_the_caller(api: str, executor: NodeSessionsCodeExecutor) -> None:
    others: list[Any] = [
        CALLS[api](arguments="{}", name="get_weather"),
        {"type": "message", "role": "assistant", "content": []},
        {"type": "reasoning", "summary": []},
        {"type": "custom", "id": "call_2", "custom": {"name": "node_interpreter", "input": "1"}},
    ]
    assert answer(executor, others) == []
    assert texts(answer(executor, [*others, CALLS[api](arguments=code("7"), id="d")])) == [("d", "=> 7")]


@apis
async def test_a_failed_call_is_told_to_the_model(api: str, pool: LocalPool) -> None:
    call = CALLS[api](arguments=code("1"))
    with NodeSessionsCodeExecutor(pool.endpoint, token="wrong") as executor:
        ((_, text),) = texts(answer(executor, [call]))
        assert await aanswer(executor, [call]) == answer(executor, [call])
    assert "token" in text
    assert "wrong" not in text
    assert "127.0.0.1" not in text


def test_conversations_have_sessions_of_their_own(executor: NodeSessionsCodeExecutor) -> None:
    answer(executor, [chat_call(code("var mine = 1"))], thread_id="ada")
    for thread_id, seen in {"ada": "=> 'number'", "grace": "=> 'undefined'"}.items():
        assert texts(answer(executor, [chat_call(code("typeof mine"))], thread_id=thread_id)) == [("call_1", seen)]


async def test_chat_completions_take_no_images_from_a_tool(executor: NodeSessionsCodeExecutor) -> None:
    with pytest.raises(ConfigurationError, match="use Responses"):
        answer(executor, [chat_call(code("var ran = 1"))], return_images=True)
    with pytest.raises(ConfigurationError, match="use Responses"):
        await aanswer(executor, [chat_call(code("var ran = 1"))], return_images=True)
    assert texts(answer(executor, [responses_call(code("typeof ran"))], return_images=True)) == [
        ("call_1", "=> 'undefined'")
    ]


def test_a_whole_message_or_response_is_refused(executor: NodeSessionsCodeExecutor) -> None:
    with (
        ScriptedModel([Call("node_interpreter", code="1")] * 2) as model,
        OpenAI(**settings(model, "openai")) as client,
    ):
        response = client.responses.create(model=model.name, tools=[responses_tool(executor)], input=TASK)
        messages: Any = [{"role": "user", "content": TASK}]
        completion = client.chat.completions.create(model=model.name, tools=[chat_tool(executor)], messages=messages)
    wholes: list[Any] = [response, completion, completion.choices[0].message]
    for whole in [*wholes, *(each.model_dump() for each in wholes)]:
        with pytest.raises(ConfigurationError, match="`tool_calls` or a response's `output`"):
            answer(executor, whole)


def test_the_schemas_are_fit_for_strict_mode_and_follow_the_executor(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, name="js", description="Runs it.") as executor:
        chat: Any = chat_tool(executor)
        flat: Any = responses_tool(executor)
        assert texts(answer(executor, [chat_call(code("1"), name="js")])) == [("call_1", "=> 1")]
    assert flat == {"type": "function", **chat["function"]}
    assert (flat["name"], flat["description"], flat["strict"]) == ("js", "Runs it.", True)
    parameters = flat["parameters"]
    assert parameters["type"] == "object"
    assert parameters["additionalProperties"] is False
    assert parameters["required"] == list(parameters["properties"]) == ["code"]


def test_the_module_imports_no_framework() -> None:
    assert not modules_after("import aca_node_interpreter.openai_tools") & set(FRAMEWORKS)
