"""The connections to a session pool, shared by all clients that go the same way to it.

httpx has a pool of connections of its own, but what it does for a call grows with the connections that it holds: at 32
asynchronous calls at a time that costs five times as much as all the rest. So here each connection is a pool of one,
lent to one call at a time, and the last used is taken first.
"""

from __future__ import annotations

import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Generic, TypeVar, cast
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet, WeakValueDictionary

import anyio
import httpx
from anyio.lowlevel import RunVar

from .endpoint import Endpoint

# Seconds that an unused connection is kept: a model thinks between two runs, and a new connection costs two round
# trips. Gateways close theirs after some four minutes.
_KEPT_SECONDS = 120.0
_MOST_KEPT = 64

_LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEPT_SECONDS)

Connection = TypeVar("Connection", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


@dataclass(frozen=True)
class Way:
    """How to get to an endpoint."""

    is_tls: bool
    address: tuple[str, int | None]
    socket: str | None
    proxy: str | None = field(repr=False)

    @classmethod
    def to(cls, endpoint: Endpoint) -> Way:
        """Find the way: through a proxy of the environment, but not to loopback, where the token must not leave it."""
        scheme = endpoint.url.partition(":")[0]
        return cls(scheme == "https", endpoint.address, endpoint.socket, _proxy(scheme, endpoint))

    def connection(self, kind: type[Connection]) -> Connection:
        """Return a connection, which is opened when it is first used."""
        return kind(
            verify=_trusted() if self.is_tls else False,
            # The proxy is known, and the certificates are.
            trust_env=False,
            limits=_LIMITS,
            proxy=self.proxy,
            uds=self.socket,
        )


def _proxy(scheme: str, endpoint: Endpoint) -> str | None:
    host, port = endpoint.address
    if endpoint.is_loopback or proxy_bypass(f"{host}:{port}"):
        return None
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


@cache
def _trusted() -> ssl.SSLContext:
    """Load the certificates to trust, once: it takes 20 ms."""
    return httpx.create_ssl_context()


class _Kept(Generic[Connection]):
    """The connections of one way that no call uses, and who may use them; for any thread.

    Without a lock: the garbage collector may close a forgotten client in the midst of any of these.
    """

    def __init__(self, way: Way, kind: type[Connection]) -> None:
        self._way = way
        self._kind: type[Connection] = kind
        self._users: WeakSet[object] = WeakSet()
        self._unused: deque[tuple[float, Connection]] = deque()

    def join(self, user: object) -> None:
        """Note a user."""
        self._users.add(user)

    def leave(self, user: object) -> list[Connection]:
        """Note that one uses it no more, and return what is to be closed."""
        self._users.discard(user)
        return self._surplus()

    def lend(self) -> Connection:
        """Return a connection, for one call."""
        try:
            return self._unused.pop()[1]
        except IndexError:
            return self._way.connection(self._kind)

    def take_back(self, connection: Connection) -> list[Connection]:
        """Keep a connection for the next call, and return what is to be closed."""
        self._unused.append((time.monotonic(), connection))
        return self._surplus()

    def _surplus(self) -> list[Connection]:
        """Take out what is unused for too long, or too much."""
        surplus = []
        try:
            while len(self._unused) > (_MOST_KEPT if self._users else 0) or self._is_old():
                surplus.append(self._unused.popleft()[1])
        except IndexError:
            pass  # another thread took the last one
        return surplus

    def _is_old(self) -> bool:
        return bool(self._unused) and self._unused[0][0] < time.monotonic() - _KEPT_SECONDS


# While a client has them.
_blocking: WeakValueDictionary[Way, _Kept[httpx.HTTPTransport]] = WeakValueDictionary()
# Those of an event loop are its own.
_of_loop: RunVar[WeakValueDictionary[Way, _Kept[httpx.AsyncHTTPTransport]]] = RunVar("connections to session pools")

if hasattr(os, "register_at_fork"):
    # Two processes that write to one connection would garble each other's calls.
    os.register_at_fork(after_in_child=_blocking.clear)


class Connections(httpx.BaseTransport):
    """One blocking client's share of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        way = Way.to(endpoint)
        self._kept = _blocking.setdefault(way, _Kept(way, httpx.HTTPTransport))
        self._kept.join(self)
        self._lent: set[httpx.HTTPTransport] = set()
        self._is_closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that no other call uses."""
        connection = self._kept.lend()
        self._lent.add(connection)
        try:
            response = connection.handle_request(request)
        except BaseException:
            self._take_back(connection)
            raise
        response.stream = _Body(cast("httpx.SyncByteStream", response.stream), partial(self._take_back, connection))
        return response

    def close(self) -> None:
        """Close what this client's calls use, and the others when no client may use them any more."""
        if self._is_closed:
            return
        self._is_closed = True
        for connection in (*self._lent.copy(), *self._kept.leave(self)):
            connection.close()

    def _take_back(self, connection: httpx.HTTPTransport) -> None:
        self._lent.discard(connection)
        for each in self._kept.take_back(connection):
            each.close()


class AsyncConnections(httpx.AsyncBaseTransport):
    """One asynchronous client's share of those of the event loop on which it is first used."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._way = Way.to(endpoint)
        self._kept: _Kept[httpx.AsyncHTTPTransport] | None = None
        self._lent: set[httpx.AsyncHTTPTransport] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that no other call uses."""
        if self._kept is None:
            self._kept = self._kept_here()
            self._kept.join(self)
        connection = self._kept.lend()
        self._lent.add(connection)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._take_back(self._kept, connection)
            raise
        body = cast("httpx.AsyncByteStream", response.stream)
        response.stream = _AsyncBody(body, partial(self._take_back, self._kept, connection))
        return response

    async def aclose(self) -> None:
        """Close what this client's calls use, and the others when no client may use them any more."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await _close([*self._lent, *kept.leave(self)])

    def _kept_here(self) -> _Kept[httpx.AsyncHTTPTransport]:
        ways = _of_loop.get(None)
        if ways is None:
            ways = WeakValueDictionary()
            _of_loop.set(ways)
        return ways.setdefault(self._way, _Kept(self._way, httpx.AsyncHTTPTransport))

    async def _take_back(self, kept: _Kept[httpx.AsyncHTTPTransport], connection: httpx.AsyncHTTPTransport) -> None:
        self._lent.discard(connection)
        await _close(kept.take_back(connection))


async def _close(connections: list[httpx.AsyncHTTPTransport]) -> None:
    # Whoever is cancelled leaves no connection open either.
    with anyio.CancelScope(shield=True):
        for connection in connections:
            await connection.aclose()


class _Body(httpx.SyncByteStream):
    """The body of an answer, whose connection is given back at the end."""

    def __init__(self, body: httpx.SyncByteStream, give_back: Callable[[], None]) -> None:
        self._body = body
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            self._body.close()
        finally:
            self._give_back()


class _AsyncBody(httpx.AsyncByteStream):
    """The same, of an asynchronous call."""

    def __init__(self, body: httpx.AsyncByteStream, give_back: Callable[[], Awaitable[None]]) -> None:
        self._body = body
        self._give_back = give_back

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            await self._give_back()
