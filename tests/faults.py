"""The faults that a `FaultProxy` knows: what becomes of one request, its connection, its reply or its session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fault_proxy import Exchange, Fault, Message

# --- where the pool is not reached ---


@dataclass(frozen=True)
class ResetBeforeForward:
    """Reset the connection; the pool hears nothing."""

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.request()
        exchange.reset()


@dataclass(frozen=True)
class ResetDuringRequest:
    """Pass the request's first bytes on to the pool, then reset both connections."""

    after: int

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.forward_part(self.after)
        exchange.reset()


@dataclass(frozen=True)
class Answer:
    """Answer as a gateway that can't reach the pool."""

    status: Literal[502, 503, 504]

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.reply(_gateway_error(self.status))


@dataclass(frozen=True)
class AnswerWith:
    """Answer with something else than the pool, which does its part before if it is `reached`."""

    status: int
    body: bytes = b""
    reached: bool = False
    media_type: str = "application/json"

    async def __call__(self, exchange: Exchange) -> None:
        if self.reached:
            await exchange.forward()
        head = f"HTTP/1.1 {self.status} Some Reason\r\ncontent-type: {self.media_type}\r\n\r\n"
        await exchange.reply(Message(head.encode(), b"").with_body(self.body))


# --- where the pool has done its part ---


@dataclass(frozen=True)
class PassOn:
    """Do nothing wrong."""

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.reply(await exchange.forward())


@dataclass(frozen=True)
class ResetBeforeReply:
    """Have the pool do it, then reset the connection."""

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.forward()
        exchange.reset()


@dataclass(frozen=True)
class ForwardThenAnswer:
    """Have the pool do it, then answer as a gateway that lost it."""

    status: Literal[502, 503, 504]

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.reply(_gateway_error(self.status))


@dataclass(frozen=True)
class CutReply:
    """End the connection after so many bytes of the reply, counted from its end when negative.

    Without a length, or chunks, the reply looks whole wherever it is cut.
    """

    after: int
    framing: Literal["length", "chunks", "none"] = "length"

    async def __call__(self, exchange: Exchange) -> None:
        reply = await exchange.forward()
        if self.framing != "length":
            chunks = self.framing == "chunks"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(reply.body), reply.body) if chunks else reply.body
            encoding = "chunked" if chunks else None
            reply = Message(reply.head, body).with_headers(
                content_length=None, transfer_encoding=encoding, connection="close"
            )
        await exchange.reply_part(reply.raw[: self.after])


@dataclass(frozen=True)
class CutStreams:
    """Cut both streams of an execution after so many bytes, without a word."""

    after: int = 4096

    async def __call__(self, exchange: Exchange) -> None:
        def cut(streams: dict[str, Any]) -> None:
            for name in ("stdout", "stderr"):
                streams[name] = streams[name].encode()[: self.after].decode("utf-8", "replace")

        await exchange.reply(_rewrite(await exchange.forward(), cut))


@dataclass(frozen=True)
class LoseLastLine:
    """Drop the last line of an execution's stdout, without a word."""

    async def __call__(self, exchange: Exchange) -> None:
        def drop(streams: dict[str, Any]) -> None:
            text = streams["stdout"]
            streams["stdout"] = text[: text[:-1].rfind("\n") + 1]

        await exchange.reply(_rewrite(await exchange.forward(), drop))


@dataclass(frozen=True)
class Garble:
    """Change a byte in the middle of the reply's body, without a word."""

    async def __call__(self, exchange: Exchange) -> None:
        reply = await exchange.forward()
        body = bytearray(reply.body)
        body[len(body) // 2] ^= 255
        await exchange.reply(Message(reply.head, bytes(body)))


# --- where time passes ---


@dataclass(frozen=True)
class Hold:
    """Let time pass before the request, which then goes on, however long the client has gone."""

    seconds: float
    then: Fault = field(default_factory=PassOn)

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.request()
        await asyncio.sleep(self.seconds)
        await self.then(exchange)


@dataclass(frozen=True)
class HoldReply:
    """Have the pool do it, and let time pass before the reply."""

    seconds: float

    async def __call__(self, exchange: Exchange) -> None:
        reply = await exchange.forward()
        await asyncio.sleep(self.seconds)
        await exchange.reply(reply)


# --- where a request arrives more than once, or too late ---


@dataclass(frozen=True)
class Duplicate:
    """Send the request twice, as a gateway does that missed the first answer; the client gets the second."""

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.reply(await exchange.forward())


@dataclass(frozen=True)
class ForwardLate:
    """Reset the connection; the request arrives all the same, when `after` later ones have been answered."""

    after: int = 1

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.request()
        exchange.reset()
        if self.after == 0:
            await exchange.forward()
        else:
            exchange.proxy.forward_late(exchange, self.after)


# --- where more is lost than a message ---


@dataclass(frozen=True)
class Recycle:
    """End the session behind the client's back, before the request."""

    then: Fault = field(default_factory=PassOn)

    async def __call__(self, exchange: Exchange) -> None:
        await asyncio.to_thread(exchange.proxy.pool.delete_session, exchange.identifier)
        await self.then(exchange)


@dataclass(frozen=True)
class RestartKernel:
    """Restart the session's Node.js behind the client's back, before the request."""

    then: Fault = field(default_factory=PassOn)

    async def __call__(self, exchange: Exchange) -> None:
        await asyncio.to_thread(exchange.proxy.pool.restart_kernel, exchange.identifier)
        await self.then(exchange)


@dataclass(frozen=True)
class RefuseNext:
    """Do another fault, then refuse connections for a while."""

    seconds: float
    first: Fault = field(default_factory=PassOn)

    async def __call__(self, exchange: Exchange) -> None:
        # Closed first, so that the client finds it so, however fast it is.
        exchange.proxy.close_door()
        try:
            await self.first(exchange)
        finally:
            exchange.proxy.open_door_later(self.seconds)


def _gateway_error(status: int) -> Message:
    reason = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}[status]
    body = f"<html><head><title>{status} {reason}</title></head></html>".encode()
    return Message(f"HTTP/1.1 {status} {reason}\r\ncontent-type: text/html\r\n\r\n".encode(), b"").with_body(body)


def _rewrite(reply: Message, change: Callable[[dict[str, Any]], None]) -> Message:
    """Change the streams of an execution's reply, of either family; other replies stay."""
    try:
        content = json.loads(reply.body)
        streams = content["properties"] if "properties" in content else content["result"]
        change(streams)
    except (ValueError, KeyError):
        return reply
    return reply.with_body(json.dumps(content).encode())
