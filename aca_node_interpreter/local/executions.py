"""The runs that a session remembers: every one is recorded once, and the oldest are forgotten when it gets too much."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .results import Result

MAX_EXECUTIONS = 100
MAX_CHARACTERS = 64 * 1024 * 1024


@dataclass(eq=False)
class Execution:
    """One run, by either family of the API."""

    code: str
    execution_type: str = "Synchronous"
    """In the caller's spelling."""
    name: str = ""
    """What GET `/executions/{name}` asks for; empty for the older family, whose runs can't be asked for."""
    number: int = 0
    """Counts the session's runs from 1."""
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    result: Result | None = None
    """How it ended; `None` while it runs or waits for the run before it."""
    task: asyncio.Task[Any] | None = None
    """Keeps an asynchronous run from being garbage-collected."""

    @property
    def size(self) -> int:
        """Characters that are kept for it."""
        return len(self.code) + (0 if self.result is None else self.result.size)


class Executions:
    """The newest runs of one session; those that have not ended are never forgotten."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._all: dict[int, Execution] = {}
        self._named: dict[str, Execution] = {}
        self._size = 0

    def __iter__(self) -> Iterator[Execution]:
        """Give the remembered runs, oldest first."""
        return iter(self._all.values())

    def add(self, execution: Execution) -> None:
        """Record a run that is asked for; its name stands for this one from now on."""
        execution.number = next(self._numbers)
        self._all[execution.number] = execution
        if execution.name:
            self._named[execution.name] = execution
        self._size += execution.size
        self._forget()

    def finish(self, execution: Execution, result: Result) -> None:
        """Record how a run ended."""
        execution.result = result
        self._size += result.size
        self._forget()

    def find(self, name: str) -> Execution | None:
        """Give the newest run of a name."""
        return self._named.get(name)

    def numbered(self, number: int) -> Execution | None:
        """Give one run by its number."""
        return self._all.get(number)

    def _forget(self) -> None:
        if len(self._all) <= MAX_EXECUTIONS and self._size <= MAX_CHARACTERS:
            return
        for old in list(self._all.values())[:-1]:
            if old.result is None:
                continue
            del self._all[old.number]
            self._size -= old.size
            if self._named.get(old.name) is old:
                del self._named[old.name]
            if len(self._all) <= MAX_EXECUTIONS and self._size <= MAX_CHARACTERS:
                return
