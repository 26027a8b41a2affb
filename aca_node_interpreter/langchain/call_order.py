"""Parallel tool calls of one message run in the message's order, also where a graph starts a thread for each.

A graph gives a tool its state, and the message is in there. On an event loop calls arrive in order, too, unless
callback handlers hold some of them up.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias

from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, Field, create_model

from aca_node_interpreter.rest.patience import NEVER, Deadline
from aca_node_interpreter.running.turns import too_late

# Seconds for calls before this one to arrive. Some never do, such as those that a person refused.
_SETTLE = 0.25
# Seconds between looks whether they have, on an event loop.
_LOOK = 0.005
# Calls that are kept track of.
_REMEMBERED = 500

Runtime: TypeAlias = Annotated[Any, InjectedToolArg]
"""LangGraph's `ToolRuntime`, which a graph passes to tools that have an argument `runtime`."""

CallKey: TypeAlias = tuple[str | None, str, str]
"""Conversation, message and call."""


@dataclass(frozen=True)
class Place:
    """Where a call stands among those of its message."""

    call: CallKey
    earlier: tuple[CallKey, ...]


class CallOrder:
    """The order of an executor's calls."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_over: OrderedDict[CallKey, bool] = OrderedDict()
        """For each call that arrived."""

    @contextmanager
    def in_order(self, place: Place | None, deadline: Deadline = NEVER) -> Iterator[None]:
        """Wait until those of the earlier calls that arrive are over; later ones wait for these still.

        Raises:
            DeadlineExceededError: they were not in time.
        """
        if place is None:
            yield
            return
        self._note(place.call, is_over=False)
        try:
            with self._changed:
                settle = deadline.sooner(_SETTLE)
                self._changed.wait_for(lambda: all(each in self._is_over for each in place.earlier), settle)
                arrived = [each for each in place.earlier if each in self._is_over]
                if not self._changed.wait_for(
                    lambda: all(self._is_over.get(each, True) for each in arrived), deadline.sooner(math.inf)
                ):
                    raise too_late(deadline)
            yield
        finally:
            self._note(place.call, is_over=True)

    @asynccontextmanager
    async def in_order_async(self, place: Place | None) -> AsyncIterator[None]:
        """Wait until the earlier calls have arrived: whoever then takes a turn at once comes after them."""
        if place is None:
            yield
            return
        for _ in range(int(_SETTLE / _LOOK)):
            if all(each in self._is_over for each in place.earlier):
                break
            await asyncio.sleep(_LOOK)
        self._note(place.call, is_over=False)
        try:
            yield
        finally:
            self._note(place.call, is_over=True)

    def _note(self, call: CallKey, *, is_over: bool) -> None:
        with self._changed:
            self._is_over[call] = is_over
            while len(self._is_over) > _REMEMBERED:
                self._is_over.popitem(last=False)
            self._changed.notify_all()


def place_of(runtime: Any, conversation: str | None, tool: str) -> Place | None:
    """Return where a call stands among those of the same executor; `None` where it is the only one, or none knows.

    Args:
        runtime: LangGraph's `ToolRuntime`, if a graph makes the call.
        conversation: the call's.
        tool: the executor's name, with which those of its toolkit begin.
    """
    call_id, messages = getattr(runtime, "tool_call_id", None), _messages(getattr(runtime, "state", None))
    answered = {getattr(message, "tool_call_id", None) for message in messages}
    for message in reversed(messages):
        calls = getattr(message, "tool_calls", None) or []
        ids = [call["id"] for call in calls if call["name"] == tool or call["name"].startswith(f"{tool}_")]
        if call_id in ids:
            if len(ids) == 1:
                return None
            keys = [(conversation, str(message.id), each) for each in ids if each not in answered or each == call_id]
            here = (conversation, str(message.id), str(call_id))
            return Place(here, tuple(keys[: keys.index(here)]))
    return None


@cache
def with_runtime(schema: type[BaseModel]) -> type[BaseModel]:
    """Return a tool's arguments with the one that a graph fills in, and of which the model knows nothing."""
    return create_model(
        f"{schema.__name__}InGraph", __base__=schema, runtime=(Runtime, Field(default=None, exclude=True))
    )


def _messages(state: Any) -> Sequence[Any]:
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", state)
    return found if isinstance(found, Sequence) else ()
