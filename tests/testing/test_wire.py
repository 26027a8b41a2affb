"""The bodies and streams of the scripted model are what the service's own description says."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject

from aca_node_interpreter.testing import Call, Playable, Say, ScriptedModel, Turn
from tests.testing.wire import FLAT_TOOLS, TOOLS, chat, events, respond, strictly

TEXT = "Two calls,\nand a 🦊 in “quotes”."
ANSWERS = {
    "text": Say(TEXT),
    "empty text": Say(""),
    "call": Call("node_interpreter", code='"🦊\\n".length'),
    "text and calls": [Say(TEXT), Call("node_interpreter", code="1"), Call("node_interpreter", code="2\n" * 20)],
    "broken arguments": Call.raw("node_interpreter", '{"code": "1 +'),
}
USER = [{"role": "user", "content": "Go."}]

answers = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


def parts(answer: Any) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the text and the calls that an answer of the script holds."""
    said = answer if isinstance(answer, list) else [answer]
    text = [part.text for part in said if isinstance(part, Say)]
    return (text[0] if text else None), [(part.name, part.arguments) for part in said if isinstance(part, Call)]


@answers
def test_a_chat_completion(answer: Playable) -> None:
    with ScriptedModel([answer]) as model:
        completion = strictly(ChatCompletion, chat(model, USER, tools=TOOLS).json())
    text, calls = parts(answer)
    (choice,) = completion.choices
    assert choice.message.content == text
    assert [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or []] == calls
    assert choice.finish_reason == ("tool_calls" if calls else "stop")
    assert completion.model == model.name


@answers
@pytest.mark.parametrize("with_usage", [True, False])
def test_a_streamed_chat_completion(answer: Playable, with_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    with ScriptedModel([Turn(answer, usage=(11, 7))]) as model:  # type: ignore[arg-type]  # a reply, as in ANSWERS
        *sent, last = events(chat(model, USER, tools=TOOLS, stream=True, **options))
    assert last == ("", "[DONE]")
    chunks = [strictly(ChatCompletionChunk, json.loads(data)) for _, data in sent]
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    if with_usage:
        usage = chunks.pop()
        assert usage.choices == []
        assert (usage.usage.prompt_tokens, usage.usage.completion_tokens, usage.usage.total_tokens) == (11, 7, 18)
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert all(("usage" in json.loads(data)) == with_usage for _, data in sent)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.role for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    text, calls = parts(answer)
    assert "".join(delta.content or "" for delta in deltas) == (text or "")
    assert (deltas[0].content is None) == (text is None)
    names: dict[int, str] = {}
    arguments: dict[int, list[str]] = {}
    for call in (call for delta in deltas for call in delta.tool_calls or []):
        if call.id:
            assert (call.type, call.function.arguments) == ("function", "")
            names[call.index] = call.function.name
        else:
            assert call.function.name is None
            arguments.setdefault(call.index, []).append(call.function.arguments)
    assert [(names[index], "".join(arguments[index])) for index in range(len(names))] == calls
    assert all(len(pieces) > 1 for pieces in arguments.values())
    finish = [chunk.choices[0].finish_reason for chunk in chunks]
    assert finish == [None] * (len(finish) - 1) + ["tool_calls" if calls else "stop"]


@answers
def test_a_response(answer: Playable) -> None:
    with ScriptedModel([Turn(answer, usage=(11, 7))]) as model:  # type: ignore[arg-type]  # a reply, as in ANSWERS
        response = strictly(Response, respond(model, "Go.", tools=FLAT_TOOLS, instructions="Be brief.").json())
    text, calls = parts(answer)
    assert response.output_text == (text or "")
    assert [(i.name, i.arguments) for i in response.output if i.type == "function_call"] == calls
    assert (response.status, response.instructions, response.tools[0].name) == (
        "completed",
        "Be brief.",
        "node_interpreter",
    )
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 7, 18)


@answers
def test_a_streamed_response(answer: Playable) -> None:
    with ScriptedModel([answer]) as model:
        sent = events(respond(model, "Go.", tools=FLAT_TOOLS, stream=True))
    told = [strictly(ResponseStreamEvent, json.loads(data)) for _, data in sent]
    assert [event.type for event in told] == [name for name, _ in sent]
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert [event.type for event in told[:2]] == ["response.created", "response.in_progress"]
    assert (told[0].response.status, told[0].response.output) == ("in_progress", [])
    whole = told[-1].response
    assert (told[-1].type, whole.status) == ("response.completed", "completed")
    text, calls = parts(answer)
    assert whole.output_text == (text or "")
    for index, item in enumerate(whole.output):
        mine = [event for event in told if getattr(event, "output_index", None) == index]
        assert [mine[0].type, mine[-1].type] == ["response.output_item.added", "response.output_item.done"]
        assert (mine[0].item.status, mine[-1].item) == ("in_progress", item)
        assert {event.item_id for event in mine[1:-1]} == {item.id}
        joined = "".join(event.delta for event in mine if event.type.endswith(".delta"))
        assert joined == (item.arguments if item.type == "function_call" else text)
    assert [(i.name, i.arguments) for i in whole.output if i.type == "function_call"] == calls


def test_the_models() -> None:
    with ScriptedModel([], name="mine") as model:
        headers = {"api-key": model.api_key}
        for path in ("/v1/models", "/openai/v1/models", "/openai/models?api-version=2024-10-21"):
            listed = httpx.get(model.azure_endpoint + path, headers=headers, trust_env=False).json()
            assert listed.keys() == {"object", "data"}
            assert [strictly(Model, item).id for item in listed["data"]] == ["mine"]
        one = httpx.get(f"{model.base_url}/models/mine", headers=headers, trust_env=False)
        assert strictly(Model, one.json()).id == "mine"
        other = httpx.get(f"{model.base_url}/models/other", headers=headers, trust_env=False)
        assert (other.status_code, strictly(ErrorObject, other.json()["error"]).code) == (404, "model_not_found")


def test_the_ids_of_calls_can_not_be_known_beforehand() -> None:
    with ScriptedModel([Call("node_interpreter"), Call("node_interpreter")]) as model:
        ids = [chat(model, USER, tools=TOOLS).json()["choices"][0]["message"]["tool_calls"][0]["id"] for _ in range(2)]
    assert len(set(ids)) == 2
