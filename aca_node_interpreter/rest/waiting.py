"""Wait for what somebody else does, from a thread or an event loop."""

from __future__ import annotations

import asyncio
import math
from concurrent import futures
from concurrent.futures import Future


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
