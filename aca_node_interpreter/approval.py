"""The question whether code may run, put to a person or a program.

Nothing of it is written down with an executor's settings: it is a function.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import ConfigurationError


@dataclass(frozen=True)
class Proposal:
    """Code that is about to run."""

    code: str
    """What the model sent, all of it."""
    conversation: str | None
    """The name of its conversation; `None` is the executor's own."""
    modules: tuple[str, ...]
    """Modules that the text names, each once; what it hides, nobody sees."""


Answer: TypeAlias = bool | str
"""`True` lets code run; `False` does not, nor do words for the model that say why."""
Approve: TypeAlias = Callable[[Proposal], Answer | Awaitable[Answer]]
"""What is asked before code runs."""

RULE = "- Code runs only after it was approved."
"""What a model is told of it."""

_DENIED = "The code was not run: it was not approved"
_NEEDS_AWAIT = (
    "`approve` is asynchronous, and this call is not: use the asynchronous method (`ainvoke`, `aexecute`), or pass a "
    "function that is not."
)


def ask(approve: Approve, proposal: Proposal) -> str:
    """Ask, and return for the model why the code may not run; empty when it may. What `approve` raises is raised.

    Raises:
        ConfigurationError: the answer has to be awaited, or is none.
    """
    answer = approve(proposal)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigurationError(_NEEDS_AWAIT)
    return _objection(answer)


async def ask_async(approve: Approve, proposal: Proposal) -> str:
    """Do what `ask` does, without holding up the event loop, and wait for an answer that has to be awaited."""
    if _is_asynchronous(approve):
        answer = approve(proposal)
    else:
        answer = await _in_thread_of_its_own(lambda: approve(proposal))
    return _objection(await answer if inspect.isawaitable(answer) else answer)


def _objection(answer: object) -> str:
    if answer is True:
        return ""
    if isinstance(answer, str) and answer.strip():
        return f"{_DENIED}: {answer}"
    if answer is False or isinstance(answer, str):
        return f"{_DENIED}."
    raise ConfigurationError(f"`approve` returned a {type(answer).__name__}: let it return True, False or a reason.")


def _is_asynchronous(approve: Approve) -> bool:
    return inspect.iscoroutinefunction(approve) or inspect.iscoroutinefunction(type(approve).__call__)


async def _in_thread_of_its_own(work: Callable[[], Any]) -> Any:
    """Do what takes a person's time; the threads of the event loop's own are few, and others need them.

    Whoever stops waiting leaves it to end by itself. It does not keep the program from ending.
    """
    done: Future[Any] = Future()
    context = copy_context()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = context.run(work)
        except BaseException as error:  # whatever it is, it belongs to whoever waits
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name="aca-node-approval", daemon=True).start()
    return await asyncio.wrap_future(done)
