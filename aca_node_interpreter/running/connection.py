"""What runs go through: a session pool, and the clients that call it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aca_node_interpreter.rest.async_client import AsyncSessionPoolClient
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.endpoint import Endpoint

from .endings import Endings
from .settings import Settings

if TYPE_CHECKING:
    from aca_node_interpreter.local import LocalPool

ENDPOINT_VARIABLE = "ACA_POOL_MANAGEMENT_ENDPOINT"

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

    def __post_init__(self) -> None:
        self.endings = Endings(self.client)

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
        """Return the async client of this event loop: connections belong to their loop."""
        loop = asyncio.get_running_loop()
        found = self.of_loops.get(loop)
        if found is None:
            for ended in [each for each in list(self.of_loops) if each.is_closed()]:
                self.of_loops.pop(ended, None)
            client = AsyncSessionPoolClient(**self.arguments)
            found = self.of_loops[loop] = OfLoop(client, _closed_at_the_end(client))
            await anext(found.until_loop_ends)
        return found.client

    async def leave_loop(self) -> None:
        """Close what belongs to the running event loop."""
        found = self.of_loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.until_loop_ends.aclose()

    def release(self) -> None:
        """Close what is open, and stop the pool with its sessions if it is ours."""
        try:
            self.client.close()
        finally:
            if self.pool is not None:
                self.pool.stop()


async def _closed_at_the_end(client: AsyncSessionPoolClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.close()
