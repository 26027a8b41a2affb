"""Carry a session's connections to where they may go.

A session's network leads every connection to sockets that this process listens on (`isolation.network`). Each accepted
connection tells which address and port it wanted; if the policy permits, it is connected from the host to exactly that
address, and bytes are copied both ways. A refused destination, and one that can't be reached, resets the connection:
the session sees it connected first, and then reset by its peer.

What does not pass: UDP except names, ICMP, and TCP to ports that nobody listens on, which the session's own kernel
refuses at once. Bounded for each session: connections, bytes in flight (a chunk for each direction), queries for names.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence

from .egress_names import Resolver, answer, usable
from .egress_policy import Address, Policy, read_address

MAX_CONNECTIONS = 128
"""At once, for a session; more wait until one ends."""

CONNECT_SECONDS = 20.0

_MAX_QUERIES = 32
# Between two queries of a session, so that a flood of them costs little.
_QUERY_SECONDS = 0.001
_CHUNK_BYTES = 64 * 1024
_MAX_QUERY_BYTES = 4096
_RETRY_SECONDS = 0.1


class Relay:
    """Serves the sockets of one session from when it is made, in a running event loop, until it is closed.

    `sockets` are those of `make_network`: the name server's, then the listeners. The relay owns them.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], policy: Policy, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._sockets = sockets
        self._policy = policy
        self._resolver = Resolver()
        self._connections = asyncio.Semaphore(max_connections)
        self._queries = asyncio.Semaphore(_MAX_QUERIES)
        self._tasks: set[asyncio.Task[None]] = set()
        for each in sockets:
            each.setblocking(False)
        names, *listeners = sockets
        self._start(self._serve_names(names))
        for listener in listeners:
            self._start(self._accept(listener))

    async def close(self) -> None:
        """End all connections, and stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._resolver.close()
        for each in self._sockets:
            each.close()

    def _start(self, work: Coroutine[None, None, None], done: Callable[[], None] = lambda: None) -> None:
        """Run a task; `done` is called at its end, also when it is cancelled before its first step."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: done())

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:
                # This process has no descriptor left; the connection waits.
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            with contextlib.ExitStack() as undo:
                undo.enter_context(connection)
                await self._connections.acquire()
                undo.callback(self._connections.release)
                self._start(self._carry(connection), undo.pop_all().close)

    async def _carry(self, connection: socket.socket) -> None:
        # Whatever ends this early resets both ends, the end of this process too: nobody takes a part for the whole.
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            _reset_on_close(connection, True)
            address, port = connection.getsockname()[:2]
            with await self._connect(read_address(address), port) as outside:
                _reset_on_close(outside, True)
                for end in (connection, outside):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await _copy_both_ways(connection, outside)
                for end in (connection, outside):
                    _reset_on_close(end, False)

    async def _connect(self, wanted: Address, port: int) -> socket.socket:
        failure: Exception = ConnectionRefusedError(f"no session may reach {wanted}")
        for address in await self._destinations(wanted, port):
            with contextlib.ExitStack() as undo:
                outside = undo.enter_context(socket.socket(_family(address), socket.SOCK_STREAM))
                outside.setblocking(False)
                connecting = asyncio.get_running_loop().sock_connect(outside, (str(address), port))
                try:
                    await asyncio.wait_for(connecting, CONNECT_SECONDS)
                except (OSError, asyncio.TimeoutError) as error:
                    failure = error
                    continue
                undo.pop_all()
                return outside
        raise failure

    async def _destinations(self, wanted: Address, port: int) -> list[Address]:
        """Give the wanted address if it is permitted; a service's with its others, because no client tries them."""
        if self._policy.permits(wanted, port):
            return [wanted]
        for service in self._policy.services:
            if service.port == port:
                with contextlib.suppress(socket.gaierror):
                    addresses = await self._resolver.look_up(service.host)
                    if wanted in addresses:
                        return sorted(addresses, key=lambda address: address != wanted)
        return []

    async def _serve_names(self, names: socket.socket) -> None:
        while True:
            await self._queries.acquire()
            await _wait_readable(names)
            try:
                query, client = names.recvfrom(_MAX_QUERY_BYTES)
            except OSError:
                self._queries.release()
                continue
            self._start(self._answer(names, query, client), self._queries.release)
            await asyncio.sleep(_QUERY_SECONDS)

    async def _answer(self, names: socket.socket, query: bytes, client: tuple[str, int]) -> None:
        response = await answer(query, self._look_up)
        if response is not None:
            # A client whose buffer is full, or who is gone, asks again if it wants to know.
            with contextlib.suppress(OSError):
                names.sendto(response, client)

    async def _look_up(self, host: str) -> list[Address]:
        """Look up a name, and leave out addresses that sessions must not know or can't reach."""
        addresses = await self._resolver.look_up(host)
        if not self._policy.is_service(host):
            addresses = [address for address in addresses if self._policy.permits(address, None)]
        return usable(addresses)


async def _copy_both_ways(one: socket.socket, other: socket.socket) -> None:
    """Copy until both have said that they end; each may do so while the other still speaks."""
    directions = [asyncio.ensure_future(_copy(one, other)), asyncio.ensure_future(_copy(other, one))]
    try:
        await asyncio.gather(*directions)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _copy(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(source, _CHUNK_BYTES):
        await loop.sock_sendall(target, chunk)
        # Between two fast ends neither call ever waits, and nothing else would get its turn.
        await asyncio.sleep(0)
    target.shutdown(socket.SHUT_WR)


async def _wait_readable(source: socket.socket) -> None:
    # The loop's own sock_recvfrom is newer than Python 3.10.
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(source, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(source)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _reset_on_close(connection: socket.socket, reset: bool) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
