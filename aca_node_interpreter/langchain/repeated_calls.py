"""Tool calls that a graph makes again: it gets what came of the first time, and no code runs twice.

LangGraph repeats a step after an error, an interrupt or a resumption, and with it each tool call in it, also those that
were done. What they have in common is the step's name, which no other step has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aca_node_interpreter.errors import AcaNodeError, ServiceUnreachableError
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.sessions.runs import Run
from aca_node_interpreter.sessions.session import Session

# Calls that are remembered; each with what the model read.
_REMEMBERED = 500
_INTERRUPTED = (
    "This call was interrupted before it was known what came of its code, which may have run. It was not run again: "
    "look at what it did before you send it again."
)

_call_id: ContextVar[str | None] = ContextVar("aca_node_interpreter_tool_call_id", default=None)


@dataclass(frozen=True)
class _Failure:
    """A call of which no more is known than that its code may have run."""

    message: str
    ran: bool | None

    def error(self) -> ServiceUnreachableError:
        return ServiceUnreachableError(self.message, ran=self.ran)


@contextmanager
def made_by(call_id: str | None) -> Iterator[None]:
    """Note the id of the tool call that what runs meanwhile belongs to."""
    token = _call_id.set(call_id)
    try:
        yield
    finally:
        _call_id.reset(token)


def call_id() -> str | None:
    """Return the id of the model's tool call that this belongs to."""
    return _call_id.get()


def key_of(configurable: dict[str, Any], conversation: str | None, code: str) -> str | None:
    """Name a tool call for good; `None` where no graph makes it.

    The ids that models give are not enough: some begin again with each answer.
    """
    step, call_id = configurable.get("checkpoint_ns"), _call_id.get()
    if not step or call_id is None:
        return None
    return sha256(repr((conversation, step, call_id, code)).encode()).hexdigest()


class RepeatedCalls:
    """What came of the tool calls of an executor."""

    def __init__(self) -> None:
        self._known: OrderedDict[str | None, Run | _Failure] = OrderedDict()

    def knows(self, key: str | None) -> bool:
        """Tell whether a call was made before, so that it will not be made again."""
        return key in self._known

    def once(self, key: str | None, flow_of: Callable[[Session], Flow[Run]]) -> Callable[[Session], Flow[Run]]:
        """Return what does the same the first time, and later only tells what came of it.

        That is looked up in the conversation's turn, when an earlier attempt is over.
        """
        return flow_of if key is None else lambda session: self._once(key, flow_of(session))

    def _once(self, key: str, flow: Flow[Run]) -> Flow[Run]:
        known = self._known.get(key)
        if isinstance(known, _Failure):
            raise known.error()
        if known is not None:
            return known
        # Until more is known: whoever waits may go away at any step.
        self._remember(key, _Failure(_INTERRUPTED, None))
        try:
            run = yield from flow
        except AcaNodeError as error:
            if error.ran is False:
                self._known.pop(key, None)
            else:
                self._remember(key, _Failure(str(error), error.ran))
            raise
        self._remember(key, run)
        return run

    def _remember(self, key: str, outcome: Run | _Failure) -> None:
        self._known[key] = outcome
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
