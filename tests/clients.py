"""One set of client tests for both clients: the async one is driven through a sync shell."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from aca_node_interpreter import AsyncSessionPoolClient, SessionPoolClient


class BlockingClient:
    """An `AsyncSessionPoolClient` on an event loop of its own, with blocking methods."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._client = AsyncSessionPoolClient(*args, **kwargs)
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        if not inspect.iscoroutinefunction(member):
            return member
        return lambda *args, **kwargs: self._loop.run_until_complete(member(*args, **kwargs))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


CLIENTS = {"sync": SessionPoolClient, "async": BlockingClient}
