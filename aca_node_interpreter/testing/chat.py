"""The Chat Completions API: how a request is read, and an answer worded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .player import Answer
from .request import Message, RefusedError, objects, role_of, text_of
from .streaming import pieces

_ROLES = ("system", "developer", "user", "assistant", "tool")


class ChatApi:
    """`POST …/chat/completions`."""

    def read(self, body: dict[str, Any]) -> tuple[Message, ...]:
        """Return the conversation, or refuse one that the service refuses."""
        messages = tuple(_message(*numbered) for numbered in enumerate(objects(body.get("messages"), "messages")))
        if not messages:
            raise RefusedError("Invalid 'messages': empty array. Expected at least one message.", param="messages")
        if body.get("n") not in (None, 1):
            raise RefusedError("The scripted model gives one choice only.", param="n")
        options = body.get("stream_options")
        if options is not None and not (body.get("stream") and isinstance(options, dict)):
            raise RefusedError("'stream_options' is an object, and only allowed with 'stream'.", param="stream_options")
        return messages

    def check_order(self, messages: tuple[Message, ...]) -> None:
        """Refuse a tool call without its result right after it, and a result without its call."""
        waiting: list[str] = []
        for number, message in enumerate(messages):
            if message.role == "tool":
                if message.call_id not in waiting:
                    raise RefusedError(
                        "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                        f"'tool_calls'; tool_call_id {message.call_id!r} is none of its open calls.",
                        param=f"messages.[{number}].role",
                    )
                waiting.remove(message.call_id)
            else:
                _check_none(waiting, number)
                waiting = list(message.calls)
        _check_none(waiting, len(messages))

    def whole(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        """Word an answer that comes at once."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        if answer.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
        return {**_frame(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def stream(self, answer: Answer, body: dict[str, Any]) -> Iterator[str]:
        """Word an answer that comes in pieces, as server-sent events."""
        with_usage = (body.get("stream_options") or {}).get("include_usage") is True
        frame = _frame(answer, "chat.completion.chunk") | ({"usage": None} if with_usage else {})
        for delta in _deltas(answer):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            yield _event({**frame, "choices": [choice]})
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish_reason(answer)}
        yield _event({**frame, "choices": [choice]})
        if with_usage:
            yield _event({**frame, "choices": [], "usage": _usage(answer)})
        yield "data: [DONE]\n\n"


def _message(number: int, message: dict[str, Any]) -> Message:
    where = f"messages[{number}]"
    role = role_of(message, _ROLES, where)
    calls = message.get("tool_calls")
    if calls is not None and (role != "assistant" or calls == []):
        raise RefusedError("Only an assistant's message has 'tool_calls', and then at least one.", param=where)
    if message.get("content") is None and not calls and role != "assistant":
        raise RefusedError(f"Invalid value for 'content': the {role}'s message has none.", param=f"{where}.content")
    ids = tuple(str(call.get("id")) for call in objects(calls or [], f"{where}.tool_calls"))
    answered = str(message.get("tool_call_id", "")) if role == "tool" else ""
    return Message(role, text_of(message.get("content"), f"{where}.content"), ids, answered)


def _check_none(waiting: list[str], number: int) -> None:
    if waiting:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param=f"messages.[{number}].role",
        )


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if answer.text is None else "", "refusal": None}
    for piece in pieces(answer.text or ""):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for piece in pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _frame(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.tokens_in,
        "completion_tokens": answer.tokens_out,
        "total_tokens": answer.tokens_in + answer.tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
