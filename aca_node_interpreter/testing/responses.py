"""The Responses API: how a request is read, and an answer worded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .player import Answer
from .request import Message, RefusedError, objects, role_of, text_of
from .streaming import pieces

_ROLES = ("system", "developer", "user", "assistant")


class ResponsesApi:
    """`POST …/responses`; it remembers what it answered, for `previous_response_id`."""

    def __init__(self) -> None:
        self._conversations: dict[str, list[dict[str, Any]]] = {}

    def read(self, body: dict[str, Any]) -> tuple[Message, ...]:
        """Return the conversation, or refuse one that the service refuses."""
        items = self._items(body)
        if not items:
            raise RefusedError("Missing required parameter: 'input'.", param="input")
        messages = tuple(_message(*numbered) for numbered in enumerate(items))
        instructions = body.get("instructions")
        if instructions:
            messages = (Message("system", text_of(instructions, "instructions")), *messages)
        return messages

    def check_order(self, messages: tuple[Message, ...]) -> None:
        """Refuse a tool call without a result somewhere after it, and a result without its call."""
        waiting: list[str] = []
        for message in messages:
            if message.role == "tool":
                if message.call_id not in waiting:
                    raise RefusedError(
                        f"No tool call found for function call output with call_id {message.call_id}.", param="input"
                    )
                waiting.remove(message.call_id)
            waiting += message.calls
        if waiting:
            raise RefusedError(f"No tool output found for function call {waiting[0]}.", param="input")

    def whole(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        """Word an answer that comes at once."""
        output = _output(answer)
        response = _response(answer, body) | {
            "status": "completed",
            "completed_at": answer.created,
            "output": output,
            "usage": _usage(answer),
        }
        if body.get("store") is not False:
            self._conversations[response["id"]] = self._items(body) + output
        return response

    def stream(self, answer: Answer, body: dict[str, Any]) -> Iterator[str]:
        """Word an answer that comes in pieces, as server-sent events."""
        whole = self.whole(answer, body)
        begun = _response(answer, body)
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(whole["output"]):
            events += _item_events(item, index)
        events.append({"type": "response.completed", "response": whole})
        for number, event in enumerate(events):
            yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"

    def _items(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        sent = body.get("input")
        items = [{"role": "user", "content": sent}] if isinstance(sent, str) else objects(sent, "input")
        previous = body.get("previous_response_id")
        if previous is None:
            return items
        if not isinstance(previous, str) or previous not in self._conversations:
            raise RefusedError(
                f"Previous response with id '{previous}' not found.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return self._conversations[previous] + items


def _message(number: int, item: dict[str, Any]) -> Message:
    where = f"input[{number}]"
    kind = item.get("type", "message")
    if kind == "function_call":
        return Message("assistant", calls=(str(item.get("call_id")),))
    if kind == "function_call_output":
        output = text_of(item.get("output"), f"{where}.output")
        return Message("tool", output, call_id=str(item.get("call_id")))
    if kind != "message":
        return Message("")  # reasoning, and what other tools of the service's leave: nothing that a script looks at
    return Message(role_of(item, _ROLES, where), text_of(item.get("content"), f"{where}.content"))


def _output(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.text is not None:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        items.append({"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "content": [part]})
    for call in answer.calls:
        item = {"id": f"fc_{call.id}", "type": "function_call", "call_id": call.id, "name": call.name}
        items.append(item | {"arguments": call.arguments})
    return [item | {"status": "completed"} for item in items]


def _item_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    """Tell of one item as it grows."""
    place = {"item_id": item["id"], "output_index": index}
    is_text = item["type"] == "message"
    empty: dict[str, Any] = {"content": []} if is_text else {"arguments": ""}
    yield {
        "type": "response.output_item.added",
        "output_index": index,
        "item": {**item, "status": "in_progress", **empty},
    }
    yield from _text_events(item["content"][0], place) if is_text else _arguments_events(item["arguments"], place)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text_events(part: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {**place, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}


def _arguments_events(arguments: str, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(arguments):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}


def _response(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """Word the response as it is when it begins; the service repeats the request's settings in it."""
    defaults: dict[str, Any] = {
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    settings = {name: default if body.get(name) is None else body[name] for name, default in defaults.items()}
    return settings | {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "service_tier": "default",
        "error": None,
        "incomplete_details": None,
        "model": answer.model,
        "output": [],
        "usage": None,
    }


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.tokens_in + answer.tokens_out,
    }
