"""The HTTP protocol with bounds that uvicorn does not have: whoever has no token yet may cost little.

A request's head may have so many bytes and take so many seconds; what else is no body, chunks' extensions and trailers,
may have as many bytes. Only so many connections may be open, and on one only so many requests wait for their turn. And
an answer's head goes out together with its body, which saves both sides a system call and the client a wake-up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
MAX_CONNECTIONS = 1024
MAX_WAITING = 16
HEAD_SECONDS = 10.0

# With it, closing a socket resets its connection.
_NO_LINGER = struct.pack("ii", 1, 0)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that goes over a bound, without an answer."""

    repeats_head = False
    """What the parser reads was read before."""
    _bytes_without_body = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock for the first request's head."""
        self._reader = _Parser(self)
        self.parser = self._reader  # type: ignore[assignment]  # it is all that is used
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]  # it is all that is used
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes as long as few of them are no body."""
        self._bytes_without_body += len(data)
        super().data_received(data)
        if self._bytes_without_body > MAX_HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Count from here."""
        if self.repeats_head:
            return
        super().on_message_begin()
        self.scope["state"]["reset"] = self.reset
        self._bytes_without_body = 0
        self._start_clock()
        if len(self.pipeline) >= MAX_WAITING:
            self.transport.abort()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        if not self.repeats_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        if not self.repeats_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request; the application bounds its body."""
        self._stop_clock()
        # The parser goes on to the end of what was received, also when the connection is closed.
        if not self.repeats_head and not self.transport.is_closing():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's body, unless it is still to come."""
        if not self._reader.stops_before_body():
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Count from here."""
        self._bytes_without_body = 0
        super().on_body(body)

    async def reset(self) -> None:
        """Reset the connection, after what was written as far as the client takes it; for what answers the request."""
        await asyncio.sleep(0)  # what was written in this turn of the event loop goes out
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()
        await asyncio.sleep(0)  # `connection_lost` is called, and nothing more is written

    def _start_clock(self) -> None:
        self._stop_clock()
        loop: Any = self.loop
        self._deadline = loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Parser:
    """A parser that reads on when a request asks for another protocol, which a server may ignore (RFC 9110, 7.8).

    For httptools such a head ends HTTP on the connection, and what follows is no body. But Java's own client asks for
    HTTP/2 with every request to an `http` address, and sends the body of HTTP/1.1 behind it.
    """

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self._parser = self._start()

    def _start(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self._protocol)
        # As uvicorn has it: a client may send more although it said that it would not.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def feed_data(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as end:
                data = data[end.args[0] :]
                self._start_again()

    def _start_again(self) -> None:
        """Take what follows for the body that the head has announced, if it has, and then for the next request."""
        framing = self._framing()
        self._parser = self._start()
        if framing:
            self._protocol.repeats_head = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
            self._protocol.repeats_head = False

    def _framing(self) -> bytes:
        names = (b"content-length", b"transfer-encoding")
        return b"".join(b"%b: %b\r\n" % header for header in self._protocol.headers if header[0] in names)

    def stops_before_body(self) -> bool:
        return self._parser.should_upgrade() and self._framing() != b""

    def should_upgrade(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class _Joining:
    """A transport whose writes within one turn of the event loop go out together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = b""

    def write(self, data: bytes) -> None:
        if self._waiting:
            self._waiting += data
            self._flush()
        else:
            self._waiting = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, b""
        if waiting:
            self._transport.write(waiting)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
