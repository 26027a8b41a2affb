"""What runs go through: a session pool, and the clients that call it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator
from concurrent import futures
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aca_node_interpreter.errors import ClientClosedError
from aca_node_interpreter.rest.async_client import AsyncSessionPoolClient
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.endpoint import Endpoint

from .endings import Endings
from .settings import Settings
from .turns import running_loop

if TYPE_CHECKING:
    from aca_node_interpreter.local import LocalPool

ENDPOINT_VARIABLE = "ACA_POOL_MANAGEMENT_ENDPOINT"

# Seconds to wait for event loops that others may be holding up.
_LEAVE_SECONDS = 5.0

_log = logging.getLogger("aca_node_interpreter")


@dataclass
class OfLoop:
    """What belongs to one event loop."""

    client: AsyncSessionPoolClient
    until_loop_ends: AsyncGenerator[None]
    """A loop that ends closes its asynchronous generators, and with this one the client's connections."""


@dataclass
class Connection:
    """A pool and its clients, for all sessions of one executor."""

    client: SessionPoolClient
    arguments: dict[str, Any] = field(repr=False)
    """What both clients are made with."""
    pool: LocalPool | None
    """The embedded pool, if that is what it is."""
    endings: Endings = field(init=False, repr=False)
    of_loops: dict[asyncio.AbstractEventLoop, OfLoop] = field(default_factory=dict, init=False, repr=False)
    _has_left_loops: bool = field(default=False, init=False, repr=False)
    _state: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.endings = Endings(self.client)

    @staticmethod
    def opens_at_once(settings: Settings) -> bool:
        """Whether opening neither starts a pool nor loads what signs in, so that it holds up no event loop."""
        has_own_token = settings.token is not None or settings.credential is not None
        return has_own_token and bool(settings.endpoint or os.environ.get(ENDPOINT_VARIABLE))

    @classmethod
    def open(cls, settings: Settings) -> Connection:
        """Connect to the pool in the settings, else in the environment, else to the embedded one."""
        endpoint = settings.endpoint or os.environ.get(ENDPOINT_VARIABLE)
        token, credential, pool = settings.token, settings.credential, None
        if endpoint:
            named = "passed to it" if settings.endpoint else f"named by {ENDPOINT_VARIABLE}"
            _log.info("JavaScript runs in the session pool %s", named)
        else:
            from aca_node_interpreter.local import LocalPool

            pool = LocalPool(egress=settings.egress, isolation=settings.isolation)
            pool.start()
            _log.info("JavaScript runs in the embedded session pool; %s is not set", ENDPOINT_VARIABLE)
            endpoint, token, credential = pool.endpoint, pool.token, None
        arguments: dict[str, Any] = {
            "endpoint": endpoint,
            "credential": credential,
            "token": token,
            "api_version": settings.api_version,
        }
        return cls(SessionPoolClient(**arguments), arguments, pool)

    @cached_property
    def address(self) -> tuple[str, int | None]:
        """The host and port of the pool."""
        return Endpoint.parse(self.arguments["endpoint"]).address

    async def client_of_running_loop(self) -> AsyncSessionPoolClient:
        """Return the async client of this event loop: connections belong to their loop.

        Raises:
            ClientClosedError: the event loops were left already.
        """
        loop = asyncio.get_running_loop()
        found = self.of_loops.get(loop)
        if found is None:
            with self._state:
                if self._has_left_loops:
                    raise ClientClosedError
                for ended in [each for each in self.of_loops if each.is_closed()]:
                    del self.of_loops[ended]
                client = AsyncSessionPoolClient(**self.arguments)
                found = self.of_loops[loop] = OfLoop(client, _closed_at_the_end(client))
            await anext(found.until_loop_ends)
        return found.client

    @property
    def client_here(self) -> AsyncSessionPoolClient | None:
        """The async client of the running event loop, if it has one."""
        found = self.of_loops.get(asyncio.get_running_loop())
        return None if found is None else found.client

    async def leave_this_loop(self) -> None:
        """Close what belongs to the running event loop, and let nothing more belong to any."""
        with self._state:
            self._has_left_loops = True
            found = self.of_loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            # Whoever is cancelled does not wait for it.
            await asyncio.shield(asyncio.ensure_future(_closed(found)))

    def leave_loops(self) -> None:
        """Close what belongs to event loops, each on its own, and wait for that, except for this thread's own loop."""
        with self._state:
            self._has_left_loops = True
            left, self.of_loops = self.of_loops, {}
        here, closings = running_loop(), []
        for loop, found in left.items():
            # One that does not run closes it when it goes on or ends.
            if not loop.is_running():
                continue
            leaving = _closed(found)
            try:
                closing = asyncio.run_coroutine_threadsafe(leaving, loop)
            except RuntimeError:  # it ended at this very moment
                leaving.close()
                continue
            if loop is not here:
                closings.append(closing)
        futures.wait(closings, _LEAVE_SECONDS)

    def release(self) -> None:
        """Close what is open, and stop the pool with its sessions if it is ours."""
        try:
            self.client.close()
        finally:
            if self.pool is not None:
                self.pool.stop()


async def _closed(found: OfLoop) -> None:
    # This first: the loop may end meanwhile, and a generator is not closed twice at a time.
    await found.client.close()
    await found.until_loop_ends.aclose()


async def _closed_at_the_end(client: AsyncSessionPoolClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.close()
