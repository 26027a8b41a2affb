"""Wait for what somebody else does, or a thread of its own, from a thread or an event loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread


def wait_for(done: Future[None], seconds: float) -> bool:
    """Wait until it is done, or for so many seconds, and tell whether it is."""
    futures.wait([done], None if seconds == math.inf else seconds)
    return done.done()


async def wait_for_async(done: Future[None], seconds: float) -> bool:
    """Do what `wait_for` does, without holding up the event loop."""
    if not done.done():
        # It goes on when this is cancelled: others may wait for it, too.
        await asyncio.wait([asyncio.wrap_future(done)], timeout=None if seconds == math.inf else seconds)
    return done.done()


def begun(work: Callable[[], object]) -> Future[None]:
    """Begin something in a thread of its own, whoever cancels what, and return what is done when that is over.

    The threads of an event loop are few: what waits for one of them may be cancelled before it began.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        finally:
            done.set_result(None)

    Thread(target=copy_context().run, args=(run,), name="aca-node-end").start()
    return done
