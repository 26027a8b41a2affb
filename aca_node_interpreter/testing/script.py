"""What a scripted model says, turn by turn, and what it expects to be sent before it says it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aca_node_interpreter.errors import ConfigurationError

from .request import ModelRequest

_SHOWN_CHARS = 1000


@dataclass(frozen=True)
class Say:
    """The model answers with a text."""

    text: str


@dataclass(frozen=True, init=False)
class Call:
    """The model calls a tool: `Call("node_interpreter", code="6 * 7")`.

    Args:
        name: the tool's.
        **arguments: what the model fills in.
    """

    name: str
    arguments: str
    """JSON, as a model writes it."""

    def __init__(self, name: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", json.dumps(arguments, ensure_ascii=False))

    @classmethod
    def raw(cls, name: str, arguments: str) -> Call:
        """Make a call with arguments exactly as given, such as JSON that breaks off."""
        call = cls(name)
        object.__setattr__(call, "arguments", arguments)
        return call


@dataclass(frozen=True)
class Fail:
    """The service answers with an error; most clients repeat the request after 408, 409, 429 and 500 or more.

    Each repetition is a request of its own and takes the next turn.
    """

    status: int = 500
    message: str = "The scripted model was told to fail."
    code: str | None = None
    retry_after: float | None = None
    """Seconds, for the header `Retry-After`."""


Reply = Say | Call | Fail
Replies = Reply | Sequence[Reply]
"""Several are one text, calls, or both, in one answer; a failure stands alone."""
Answering = Callable[[ModelRequest], Replies]
Expected = str | re.Pattern[str] | Callable[[str], object]
"""A part of a text, a pattern found in it, or a function that says yes to it; what the function raises means no."""


@dataclass(frozen=True)
class Turn:
    """One answer of the model and what must have been sent to get it.

    Args:
        replies: the answer, or a function that makes it from the request; what the function raises is an expectation
            that was not met.
        tools: names of functions that the client must offer; by default those that the answer calls.
        message: expected of the last message's text.
        output: expected of the tool results that the conversation ends with, as one text.
        usage: tokens in and tokens out to report; by default a guess from the length of the texts.
    """

    replies: Replies | Answering
    tools: Sequence[str] | None = None
    message: Expected | None = None
    output: Expected | None = None
    usage: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not callable(self.replies):
            as_answer(self.replies)

    def unmet(self, request: ModelRequest) -> list[str]:
        """Say which expectations a request does not meet; what the answer itself needs comes later."""
        problems = [f"the client offers no tool {name!r}" for name in self.tools or () if name not in request.tools]
        if self.message is not None:
            problems += _unlike(self.message, request.text, "the last message")
        if self.output is not None and not request.outputs:
            problems.append("the conversation does not end with a tool result")
        elif self.output is not None:
            problems += _unlike(self.output, request.output, "the tool result")
        return problems

    def answer(self, request: ModelRequest) -> tuple[Reply, ...]:
        """Return the answer to a request."""
        return as_answer(self.replies(request) if callable(self.replies) else self.replies)


Playable = Turn | Replies | Answering
"""What a script is made of; all but a `Turn` is a turn that expects nothing in particular."""


def as_turn(playable: Playable) -> Turn:
    """Return what stands in a script as a turn."""
    return playable if isinstance(playable, Turn) else Turn(playable)


def as_answer(replies: Replies) -> tuple[Reply, ...]:
    """Return replies as the parts of one answer.

    Raises:
        ConfigurationError: no model answers like that.
    """
    parts = tuple(replies) if isinstance(replies, Sequence) else (replies,)
    if not parts or not all(isinstance(part, Say | Call | Fail) for part in parts):
        raise ConfigurationError(f"A model answers with Say, Call or Fail, or with several of them, not {replies!r}.")
    if len(parts) > 1 and any(isinstance(part, Fail) for part in parts):
        raise ConfigurationError("Fail is an answer of its own: nothing else can be in the same turn.")
    if sum(isinstance(part, Say) for part in parts) > 1:
        raise ConfigurationError("An answer has one text: join what it says into one Say.")
    return parts


def _unlike(expected: Expected, text: str, what: str) -> list[str]:
    if isinstance(expected, str):
        problem = "" if expected in text else f"{what} holds no {expected!r}"
    elif isinstance(expected, re.Pattern):
        problem = "" if expected.search(text) else f"nothing in {what} matches {expected.pattern!r}"
    else:
        problem = _denied(expected, text, what)
    return [f"{problem}; it is {shortened(text)}"] if problem else []


def _denied(says_yes: Callable[[str], object], text: str, what: str) -> str:
    name = getattr(says_yes, "__name__", repr(says_yes))
    try:
        return "" if says_yes(text) else f"{name} says no to {what}"
    except Exception as error:  # whatever a test's function raises is its way to say no
        return f"{name} says no to {what}: {raised(error)}"


def raised(error: Exception) -> str:
    """Describe what a function of the script raised, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def shortened(text: str) -> str:
    """Show a text in a message."""
    return repr(text) if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]!r} and {len(text) - _SHOWN_CHARS} more"
