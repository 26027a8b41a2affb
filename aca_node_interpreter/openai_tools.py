"""The executor as a function tool of the plain `openai` client: its schema, and the answers to a model's calls.

For Chat Completions and Responses, sync and async. Nothing here imports `openai`: calls may be the client's objects or
the JSON that they stand for.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import prompts
from .errors import AcaNodeError, ConfigurationError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionToolParam
    from openai.types.responses import FunctionToolParam

    from .executor import NodeSessionsCodeExecutor
    from .sessions.runs import Run

_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": prompts.CODE_DESCRIPTION}},
    "required": ["code"],
    # Strict mode wants this, and every property required.
    "additionalProperties": False,
}


def chat_tool(executor: NodeSessionsCodeExecutor) -> ChatCompletionToolParam:
    """Return the tool for `client.chat.completions.create(tools=[...])`."""
    return {
        "type": "function",
        "function": {
            "name": executor.name,
            "description": executor.description,
            "parameters": _PARAMETERS,
            "strict": True,
        },
    }


def responses_tool(executor: NodeSessionsCodeExecutor) -> FunctionToolParam:
    """Return the tool for `client.responses.create(tools=[...])`."""
    return {
        "type": "function",
        "name": executor.name,
        "description": executor.description,
        "parameters": _PARAMETERS,
        "strict": True,
    }


def answer(
    executor: NodeSessionsCodeExecutor,
    calls: Iterable[Any] | None,
    *,
    return_images: bool = False,
    thread_id: str | None = None,
) -> list[dict[str, Any]]:
    """Run what the model's calls ask for, in their order, and return what to append to the conversation.

    Whatever goes wrong with a call becomes text that the model can act on: arguments that can't be read, code that
    fails, a session pool that does not answer.

    Args:
        executor: what runs the code.
        calls: `message.tool_calls` of a chat completion, or `response.output`. Calls of other tools, and items that are
            no calls, are passed over: they are the caller's.
        return_images: let the model see the pictures that the code made. Only Responses can do that; the result of a
            tool in Chat Completions is text.
        thread_id: the conversation, which has a session of its own.

    Raises:
        ConfigurationError: `calls` is something else, or images were asked for in Chat Completions; no code ran.
    """
    answers = []
    for call in _read(executor, calls, return_images):
        try:
            answers.append(call.answered(executor.execute(call.code(), thread_id=thread_id), return_images))
        except AcaNodeError as error:
            answers.append(call.with_output(str(error)))
    return answers


async def aanswer(
    executor: NodeSessionsCodeExecutor,
    calls: Iterable[Any] | None,
    *,
    return_images: bool = False,
    thread_id: str | None = None,
) -> list[dict[str, Any]]:
    """Do what `answer` does, without holding up the event loop."""
    answers = []
    for call in _read(executor, calls, return_images):
        try:
            answers.append(call.answered(await executor.aexecute(call.code(), thread_id=thread_id), return_images))
        except AcaNodeError as error:
            answers.append(call.with_output(str(error)))
    return answers


class _MalformedCallError(AcaNodeError):
    """The model's arguments can't be read; the message tells it what to send."""


@dataclass(frozen=True)
class _Call:
    """One call of the executor's tool, from either API."""

    is_chat: bool
    id: str
    name: str
    arguments: Any

    def code(self) -> str:
        """Return the code that the model wants run, or raise what it should read instead."""
        wanted = f'Call {self.name} again with a JSON object whose field "code" is the JavaScript to run.'
        try:
            # Models put line breaks into strings as they are; what that means is beyond doubt.
            arguments = json.loads(self.arguments, strict=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise _MalformedCallError(f"The arguments are no valid JSON ({error}). {wanted}") from error
        if not isinstance(arguments, dict) or not isinstance(arguments.get("code"), str):
            raise _MalformedCallError(f'The arguments hold no text as "code". {wanted}')
        return str(arguments["code"])

    def answered(self, run: Run, return_images: bool) -> dict[str, Any]:
        """Return a run as the answer to the call."""
        text = run.text or prompts.NO_OUTPUT
        pictures = run.pictures() if return_images else []
        if not pictures:
            return self.with_output(text)
        images = [
            {"type": "input_image", "detail": "auto", "image_url": f"data:{kind};base64,{b64encode(content).decode()}"}
            for kind, content in pictures
        ]
        return self.with_output([{"type": "input_text", "text": text}, *images])

    def with_output(self, output: str | list[dict[str, str]]) -> dict[str, Any]:
        """Word the answer as the call's API has it."""
        if self.is_chat:
            return {"role": "tool", "tool_call_id": self.id, "content": output}
        return {"type": "function_call_output", "call_id": self.id, "output": output}


def _read(executor: NodeSessionsCodeExecutor, items: Iterable[Any] | None, return_images: bool) -> list[_Call]:
    calls = [call for call in _calls(items or ()) if call.name == executor.name]
    if return_images and any(call.is_chat for call in calls):
        raise ConfigurationError(
            "In Chat Completions the result of a tool is text: leave return_images out, or use Responses."
        )
    return calls


def _calls(items: Iterable[Any]) -> Iterator[_Call]:
    for item in items:
        if not isinstance(item, Mapping) and not hasattr(item, "type"):
            # A whole message or response would otherwise look like one without calls.
            raise ConfigurationError("Pass a message's `tool_calls` or a response's `output`.")
        kind, function = _field(item, "type"), _field(item, "function")
        if kind == "function_call":
            yield _Call(False, _field(item, "call_id"), _field(item, "name"), _field(item, "arguments"))
        elif kind == "function" and function is not None:
            yield _Call(True, _field(item, "id"), _field(function, "name"), _field(function, "arguments"))


def _field(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
