"""Plays a script: each request gets the next turn, and what the script did not expect is remembered.

Nothing here knows of HTTP, or how either API words an answer.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from aca_node_interpreter.errors import ConfigurationError, ScriptError

from .request import ModelRequest, RefusedError
from .script import Call, Fail, Playable, Say, Turn, as_turn, raised, shortened

_CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class PlacedCall:
    """A tool call in an answer, with the id that its result must name."""

    name: str
    arguments: str
    # Random: only who read the answer can know it.
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")


@dataclass(frozen=True)
class Answer:
    """What the model answers, before either API words it."""

    model: str
    text: str | None
    calls: tuple[PlacedCall, ...]
    tokens_in: int
    tokens_out: int
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    created: int = field(default_factory=lambda: int(time.time()))


class Player:
    """A script and how far it was played."""

    def __init__(self, script: Iterable[Playable], model: str) -> None:
        self._turns = [as_turn(playable) for playable in script]
        self._model = model
        self._played = 0
        self.requests: list[ModelRequest] = []
        self.problems: list[str] = []

    def play(self, request: ModelRequest) -> Answer | Fail:
        """Answer a request with the next turn.

        Raises:
            RefusedError: the script is over, or expects something else; the turn is still to be played then.
        """
        if self._played == len(self._turns):
            raise self.refused(f"the script is over after {self._played} turns; the last message is {_last(request)}")
        turn = self._turns[self._played]
        problems = turn.unmet(request)
        if problems:
            raise self.refused(*problems)
        try:
            parts = turn.answer(request)
        except (ConfigurationError, AssertionError) as error:
            raise self.refused(" ".join(str(error).split()) or "an assertion of the turn's function fails") from error
        except Exception as error:  # a test's function may raise anything, and its test must hear of it
            raise self.refused(f"the turn's function raised {raised(error)}") from error
        calls = tuple(PlacedCall(part.name, part.arguments) for part in parts if isinstance(part, Call))
        problems = _impossible(turn, calls, request)
        if problems:
            raise self.refused(*problems)
        self._played += 1
        if isinstance(parts[0], Fail):
            return parts[0]
        text = next((part.text for part in parts if isinstance(part, Say)), None)
        return Answer(self._model, text, calls, *(turn.usage or _guess(request, text, calls)))

    def refused(self, *problems: str) -> RefusedError:
        """Remember problems of the turn that is to be played, and return them as an error for the client."""
        told = [f"turn {self._played + 1}: {problem}" for problem in problems]
        self.problems += told
        return RefusedError("\n".join(told), code="scripted_model_expectation")

    def check(self) -> None:
        """Raise `ScriptError` with all that was not as the script says, if anything was."""
        left = [_described(turn, number) for number, turn in enumerate(self._turns, 1)][self._played :]
        problems = self.problems + left
        if problems:
            lines = "\n".join(f"- {problem}" for problem in problems)
            raise ScriptError(f"The scripted model was not used as its script says:\n{lines}")


def _impossible(turn: Turn, calls: tuple[PlacedCall, ...], request: ModelRequest) -> list[str]:
    """Say why no model could answer like that."""
    problems = []
    if turn.tools is None:
        names = dict.fromkeys(call.name for call in calls)
        problems = [f"the client offers no tool {name!r} to call" for name in names if name not in request.tools]
    if calls and request.body.get("tool_choice") == "none":
        problems.append("the client forbids tool calls, by `tool_choice`")
    if not calls and request.body.get("tool_choice") == "required":
        problems.append("the client wants a tool call, by `tool_choice`")
    if len(calls) > 1 and request.body.get("parallel_tool_calls") is False:
        problems.append("the client forbids several calls in one answer, by `parallel_tool_calls`")
    return problems


def _guess(request: ModelRequest, text: str | None, calls: tuple[PlacedCall, ...]) -> tuple[int, int]:
    sent = sum(len(message.text) for message in request.messages) + len(json.dumps(request.body.get("tools", [])))
    said = len(text or "") + sum(len(call.name) + len(call.arguments) for call in calls)
    return 1 + sent // _CHARS_PER_TOKEN, 1 + said // _CHARS_PER_TOKEN


def _last(request: ModelRequest) -> str:
    return shortened(request.text)


def _described(turn: Turn, number: int) -> str:
    return f"turn {number} was not played: {shortened(str(turn.replies))}"
