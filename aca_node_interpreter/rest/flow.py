"""Work that takes several calls, written once and run by the sync and the async client alike.

A flow is a generator: it yields a step, gets that step's outcome back (or its error raised at the `yield`), and returns
its result. It does no I/O itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from aca_node_interpreter.errors import AcaNodeError, ResponseTimeoutError

from .local_files import Sink
from .models import Execution, RemoteFile
from .operations import Operation, SessionCalls, Upload

T = TypeVar("T")


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Await:
    """Wait until somebody else has done something, or for so many seconds; the outcome is whether it was done."""

    done: Future[None]
    seconds: float


@dataclass(frozen=True)
class Download:
    """Stream a file's bytes to where they are kept, in constant memory; the outcome is the number of bytes."""

    operation: Operation[bytes]
    to: AbstractContextManager[Sink]
    """Entered before the first byte, and left with the error if there is one."""


@dataclass(frozen=True)
class Send:
    """Upload what is opened when its turn comes; the outcome is the file as it is there."""

    source: AbstractContextManager[Upload]
    operation: Callable[[Upload], Operation[RemoteFile]]


@dataclass(frozen=True)
class Batch:
    """Transfer files side by side; the outcome is a list of outcomes, an error in place of one where it failed."""

    steps: Sequence[Download | Send]


@dataclass(frozen=True)
class Compute:
    """Do what takes long without waiting for anybody; the async client does it off the event loop."""

    work: Callable[[], Any]
    is_long: bool = True
    """Whether it may take milliseconds: else it is done at once, since changing threads would cost more."""


Step: TypeAlias = "Operation[Any] | Sleep | Await | Download | Send | Batch | Compute"
Flow: TypeAlias = Generator[Step, Any, T]

# Seconds between questions about an asynchronous run: quick at first, then gentle on the service.
_POLL_FIRST, _POLL_GROWTH, _POLL_MOST = 0.1, 1.5, 2.0


def until_finished(calls: SessionCalls, started: Operation[Execution]) -> Flow[Execution]:
    """Start an execution and, if it is not over with the answer, ask for it until it is.

    Raises:
        ResponseTimeoutError: it is not over when the service would have ended it.
    """
    execution: Execution = yield started
    pause, waited = _POLL_FIRST, 0.0
    while not execution.status.is_final:
        if waited > started.wait:
            raise ResponseTimeoutError(
                "The session pool still says that the code runs, long after its limit.", ran=True
            )
        yield Sleep(pause)
        waited += pause
        pause = min(pause * _POLL_GROWTH, _POLL_MOST)
        try:
            execution = yield calls.get_execution(execution.id)
        except AcaNodeError as error:
            # What came of the question is not what came of the code.
            raise started.doubted(error)  # noqa: B904  # it is the same one
    return execution
