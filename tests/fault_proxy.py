"""A proxy between a client and a pool that breaks chosen requests, each in one exact way (`faults`).

    with FaultProxy(pool) as proxy:
        proxy.plan(CutReply(100), kind="execution", skip=2)   # the third execution from now

It passes the bytes of requests and replies on as they are, in one thread, and remembers every request and how often it
went to the pool.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from tests.engine import Engine

if TYPE_CHECKING:
    from typing_extensions import Self

_SECONDS = 30.0
# With it, closing a socket resets its connection.
_NO_LINGER = struct.pack("ii", 1, 0)

Kind = Literal["execution", "download", "upload", "list", "session", "other"]
_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"POST .*/(?:executions|execute)", "execution"),
    (r"GET .*/files/(?:content/[^/]+|[^/]+/content)", "download"),
    (r"POST .*/(?:files|files/upload|uploadFile)", "upload"),
    (r"GET .*/files", "list"),
    (r"(?:GET|DELETE) .*/session", "session"),
)


def kind_of(method: str, target: str) -> Kind:
    """Tell which kind of call a request is."""
    call = f"{method} {urlsplit(target).path.rstrip('/')}"
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, call)), "other")


class Fault(Protocol):
    """What becomes of one exchange."""

    async def __call__(self, exchange: Exchange) -> None:
        """Do it, with the exchange's own verbs."""


@dataclass
class Seen:
    """A request that arrived at the proxy."""

    method: str
    target: str
    fault: Fault | None
    body: bytes = b""
    """As on the wire; empty when it was not read."""
    forwarded: int = 0
    """How often all of it went to the pool."""

    @property
    def kind(self) -> Kind:
        return kind_of(self.method, self.target)


@dataclass(frozen=True)
class Message:
    """A request or reply as it is on the wire; the head ends with the empty line."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    def with_headers(self, **headers: str | None) -> Message:
        """Replace headers, or remove those without a value."""
        start, *lines = self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        new = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = [line for line in lines if line.split(b":")[0].decode().lower() not in new]
        added = [f"{name}: {value}".encode() for name, value in new.items() if value is not None]
        return Message(b"\r\n".join([start, *kept, *added, b"", b""]), self.body)

    def with_body(self, body: bytes) -> Message:
        """Replace the body, and say how long it is."""
        return Message(self.head, body).with_headers(content_length=str(len(body)), transfer_encoding=None)


class Exchange:
    """One request on its way through the proxy, of which only the head is read so far."""

    def __init__(
        self, proxy: FaultProxy, head: bytes, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.seen = seen
        self.over = False
        """Whether the connection to the client is."""
        self._head = head
        self._body: bytes | None = None
        self._reader = reader
        self._writer = writer

    @property
    def identifier(self) -> str:
        """The session that is asked for."""
        return parse_qs(urlsplit(self.seen.target).query)["identifier"][0]

    async def request(self) -> Message:
        """Read the rest of the request."""
        if self._body is None:
            self.seen.body = self._body = await _read_body(self._reader, self._head)
        return Message(self._head, self._body)

    async def forward(self) -> Message:
        """Send the request to the pool and give its reply.

        Raises:
            OSError: there is none.
        """
        reader, writer = await self._send((await self.request()).raw)
        self.seen.forwarded += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            reply = Message(head, await _read_body(reader, head))
        finally:
            writer.close()
        await self.proxy.after_forwarding()
        return reply

    async def forward_part(self, most: int) -> None:
        """Send the request's first bytes to the pool, then reset that connection."""
        raw = (await self.request()).raw
        assert len(raw[:most]) < len(raw), f"{most} bytes are all of the request"
        _, writer = await self._send(raw[:most])
        _reset(writer)

    async def _send(self, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        pool = urlsplit(self.proxy.pool.endpoint)
        reader, writer = await asyncio.open_connection(pool.hostname, pool.port)
        writer.write(raw)
        await writer.drain()
        return reader, writer

    async def reply(self, reply: Message) -> None:
        """Send a reply to the client."""
        await self.request()
        if self.proxy.refuses:
            # The client's next request must need a new connection.
            reply = reply.with_headers(connection="close")
            self.over = True
        self._writer.write(reply.raw)
        await self._writer.drain()

    async def reply_part(self, part: bytes) -> None:
        """Send a reply, or what is left of it, and close the connection as after a whole one."""
        await self.request()
        self._writer.write(part)
        self.over = True

    def reset(self) -> None:
        """Reset the connection to the client."""
        _reset(self._writer)
        self.over = True


@dataclass
class _Plan:
    """A fault that waits for its request."""

    fault: Fault
    kind: Kind | None
    skip: int


@dataclass
class FaultProxy:
    """A proxy in front of `pool`: used with `with`, it has an endpoint and a token like the pool."""

    pool: Engine
    seen: list[Seen] = field(default_factory=list)
    """Every request, in the order of arrival."""

    def __post_init__(self) -> None:
        self._plans: list[_Plan] = []
        self._late: list[tuple[Exchange, int]] = []
        self._errors: list[BaseException] = []
        self._idle: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        return self.pool.token

    def plan(self, *faults: Fault, kind: Kind | None = None, skip: int = 0) -> None:
        """Break one request with each fault, in turn: of this kind only, and not before `skip` of them went well."""
        self._plans += (_Plan(fault, kind, skip) for fault in faults)

    @property
    def planned(self) -> list[Fault]:
        """The faults that no request has met yet."""
        return [plan.fault for plan in self._plans]

    def forget(self) -> None:
        """Break nothing more, and forget what was seen."""
        self._plans.clear()
        self.seen.clear()

    def forwarded(self, kind: Kind | None = None) -> int:
        """Tell how many requests of a kind the pool was sent, copies included."""
        return sum(seen.forwarded for seen in self.seen if kind in (None, seen.kind))

    def refuse(self, seconds: float) -> None:
        """Refuse connections from now on for a while."""

        async def refuse() -> None:
            self.close_door()
            self.open_door_later(seconds)

        self._do(refuse())

    # --- for faults ---

    @property
    def refuses(self) -> bool:
        """Whether connections are refused now."""
        return self._server is None

    def close_door(self) -> None:
        """Refuse connections, and close those that wait for a next request."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._idle:
            writer.close()

    def open_door_later(self, seconds: float) -> None:
        """Accept connections again in a while."""

        async def open_later() -> None:
            await asyncio.sleep(seconds)
            await self._open_door()

        task = self._loop.create_task(open_later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forward_late(self, exchange: Exchange, after: int) -> None:
        """Send a request to the pool when it has answered `after` others, before the client has the last answer."""
        self._late.append((exchange, after))

    async def after_forwarding(self) -> None:
        """Take note that the pool has answered a request."""
        self._late = [(exchange, after - 1) for exchange, after in self._late]
        while due := next((entry for entry in self._late if entry[1] <= 0), None):
            self._late.remove(due)
            await due[0].forward()

    # --- the thread ---

    def __enter__(self) -> Self:
        # It holds the port while the door is closed.
        self._place = _bind(0)
        self._port = self._place.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._do(self._open_door())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()
        self._place.close()
        if error is None and self._errors:
            raise self._errors[0]

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _stop(self) -> None:
        self.close_door()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open_door(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bind(self._port))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nobody else keeps it when the client has gone and the pool is still to answer.
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                self._idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self._idle.discard(writer)
                method, target, _ = head.decode("latin-1").split(" ", 2)
                seen = Seen(method, target, self._choose(kind_of(method, target)))
                self.seen.append(seen)
                exchange = Exchange(self, head, seen, reader, writer)
                if seen.fault is None:
                    await exchange.reply(await exchange.forward())
                else:
                    await seen.fault(exchange)
                if exchange.over:
                    return
        except (OSError, asyncio.IncompleteReadError):
            # The client, or the pool, is gone.
            pass
        except asyncio.CancelledError:
            # The proxy stops. Python 3.11 would log the error of a cancelled connection, so it ends here.
            writer.transport.abort()
        except Exception as error:
            self._errors.append(error)
        finally:
            self._tasks.discard(task)
            self._idle.discard(writer)
            writer.close()

    def _choose(self, kind: Kind) -> Fault | None:
        chosen: _Plan | None = None
        for plan in list(self._plans):
            if plan.kind not in (None, kind):
                continue
            if plan.skip == 0:
                chosen = chosen or plan
            else:
                plan.skip -= 1
        if chosen is None:
            return None
        self._plans.remove(chosen)
        return chosen.fault


def _bind(port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's algorithm off.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    start, *lines = head.decode("latin-1").lower().split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = bytearray()
        while True:
            size = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(size, 16) + 2)
            body += size + chunk
            if len(chunk) == 2:
                return bytes(body)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    # A reply without a length lasts as long as its connection; a request, or one of these replies, has no body.
    return await reader.read() if re.match(r"http/1\.1 (?!1|204|304)", start) else b""
