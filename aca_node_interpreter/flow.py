"""Work that takes several calls, written once and run by the sync and the async client alike.

A flow is a generator: it yields a step, gets that step's outcome back (or its error raised at the `yield`), and returns
its result. It does no I/O itself.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from .artifacts import IncomingArtifact
from .models import Execution
from .operations import Operation, SessionCalls

T = TypeVar("T")


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Download:
    """Stream a file's bytes to where they are kept, in constant memory; the outcome is the number of bytes."""

    operation: Operation[bytes]
    to: IncomingArtifact


@dataclass(frozen=True)
class Batch:
    """Download side by side; the outcome is a list of sizes in bytes, an error in place of a size where one failed."""

    steps: list[Download]


Step: TypeAlias = "Operation[Any] | Sleep | Download | Batch"
Flow: TypeAlias = Generator[Step, Any, T]

# Seconds between questions about an asynchronous run: quick at first, then gentle on the service.
_POLL_FIRST, _POLL_GROWTH, _POLL_MOST = 0.1, 1.5, 2.0


def until_finished(calls: SessionCalls, started: Operation[Execution]) -> Flow[Execution]:
    """Start an asynchronous execution and ask for it until it is over."""
    execution: Execution = yield started
    pause = _POLL_FIRST
    while not execution.status.is_final:
        yield Sleep(pause)
        pause = min(pause * _POLL_GROWTH, _POLL_MOST)
        execution = yield calls.get_execution(execution.id)
    return execution
