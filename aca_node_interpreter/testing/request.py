"""What a client sent to the scripted model, read alike from both of OpenAI's APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


class RefusedError(Exception):
    """The request gets an error for an answer, in OpenAI's words where the real service refuses it, too."""

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


@dataclass(frozen=True)
class Message:
    """One message of a conversation; of the Responses API, one item."""

    role: str
    """`system`, `developer`, `user`, `assistant` or `tool`; empty for an item that is none of these."""
    text: str = ""
    calls: tuple[str, ...] = ()
    """The ids of the tool calls that the model made in it."""
    call_id: str = ""
    """The id of the call whose result it is, if its role is `tool`."""


@dataclass(frozen=True)
class ModelRequest:
    """One request, as scripts and tests look at it."""

    api: Literal["chat", "responses"]
    body: Mapping[str, Any]
    """The whole of it, as the client sent it."""
    headers: Mapping[str, str]
    """By names in lower case, with all but the key."""
    messages: tuple[Message, ...]
    """The conversation so far; of the Responses API, with what `previous_response_id` stands for."""
    tools: tuple[str, ...]
    """The names of the functions that the model may call."""

    @property
    def text(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text

    @property
    def outputs(self) -> tuple[str, ...]:
        """The tool results that the conversation ends with, in their order; empty when it ends with something else."""
        count = 0
        while count < len(self.messages) and self.messages[-1 - count].role == "tool":
            count += 1
        return tuple(message.text for message in self.messages[len(self.messages) - count :])

    @property
    def output(self) -> str:
        """Those results as one text."""
        return "\n".join(self.outputs)


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """Return a list of JSON objects, or refuse what is something else."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RefusedError(f"Invalid type for '{where}': expected an array of objects.", param=where)
    return value


def role_of(message: Mapping[str, Any], roles: tuple[str, ...], where: str) -> str:
    """Return a message's role, or refuse one that there is not."""
    role = message.get("role")
    if role not in roles:
        raise RefusedError(f"Invalid value: {role!r}. Supported values are: {', '.join(roles)}.", param=f"{where}.role")
    return str(role)


def text_of(content: Any, where: str) -> str:
    """Return the text of a message's content, which is a string, nothing, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(part.get("text") or "") for part in objects(content, where))
