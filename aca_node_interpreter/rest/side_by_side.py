"""Several things at a time, in threads that hold nobody up who is interrupted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def side_by_side(work: Callable[[S], T], items: Iterable[S], most: int) -> list[T]:
    """Do something for each of several things, `most` at a time, and return what came of each.

    Each is done in the context (`contextvars`) of the caller.

    Whoever interrupts it (Ctrl-C) goes on at once: what has begun ends by itself, and nothing more is begun.

    Raises:
        Exception: what the first of them raised, after all are done.
    """
    waiting: deque[tuple[S, Future[T]]] = deque((item, Future()) for item in items)
    futures = [future for _, future in waiting]

    def work_on() -> None:
        while True:
            try:
                item, future = waiting.popleft()
            except IndexError:
                return
            try:
                result = work(item)
            except BaseException as error:  # whoever waits for it raises it
                future.set_exception(error)
            else:
                future.set_result(result)

    # Daemons: those of `ThreadPoolExecutor` would hold up the end of an interrupted program.
    for _ in range(min(most, len(futures))):
        Thread(target=copy_context().run, args=(work_on,), name="aca-node-transfer", daemon=True).start()
    try:
        for future in futures:
            future.exception()
    finally:
        waiting.clear()
    return [future.result() for future in futures]
