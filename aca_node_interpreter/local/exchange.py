"""A call on its way through a pool with faults: what can be done to it, its session, its connection and its reply."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Literal, NoReturn, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from .answers import Download, error_response, json_response
from .api_errors import (
    ApiError,
    PoolFullError,
    UnauthorizedError,
    no_such_call,
    unknown_version,
)
from .calls import Call
from .faults import CallName, Perform, Spared
from .pool import SessionPool
from .routing import CURRENT_ONLY, CURRENT_VERSIONS, LEGACY_VERSIONS, Match
from .session import Session

_ALLOCATING = frozenset({"execute", "upload", "download", "list_files", "get_file", "delete_file"})

# Where a reply does not say its length, it is a long one.
_PART_BYTES = 4096


class Exchange:
    """One admitted call; the faults do what its methods say.

    Args:
        call: what was asked for.
        found: which call of the API it is.
        version: its api-version.
        request: as it came; its connection can be reset.
        pool: the pool that it came to.
        perform: performs it, and words what goes wrong as a reply, too.
        stopping: set when the pool ends and nobody is to wait any longer.
    """

    def __init__(
        self,
        call: Call,
        found: Match,
        version: str,
        request: Request,
        pool: SessionPool,
        perform: Perform,
        stopping: asyncio.Event,
    ) -> None:
        self.call_name = cast("CallName", found.call.removesuffix("_legacy"))
        self.identifier = request.query_params.get("identifier", "")
        self._call = call
        self._found = found
        self._version = version
        self._reset: Callable[[], Awaitable[None]] = request.state.reset
        self._pool = pool
        self._perform = perform
        self._stopping = stopping
        self._performed: Response | None = None

    @property
    def session(self) -> Session | None:
        """The session that the call names, if there is one."""
        return self._call.session

    @property
    def allocates(self) -> bool:
        """Whether the call needs a session that is still to be allocated."""
        return self.call_name in _ALLOCATING and self.session is None

    def is_of(self, family: Literal["legacy", "current"]) -> bool:
        """Tell whether the call's api-version and its path are of a family."""
        if family == "legacy":
            return self._version in LEGACY_VERSIONS and self._found.call not in CURRENT_ONLY
        return self._version in CURRENT_VERSIONS and not self._found.call.endswith("_legacy")

    # --- the call ---

    async def perform(self) -> Response:
        """Have the call performed."""
        self._performed = await self._perform()
        return self._performed

    async def receive(self) -> None:
        """Take the request; the call can then be performed however long its caller has gone."""
        await self._call.receive()

    async def pause(self, seconds: float) -> None:
        """Wait, at most until the pool ends: then there is no reply."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return
        await self.reset()

    # --- its session ---

    async def recycle(self) -> None:
        """End its session."""
        if (session := self.session) is not None:
            await self._pool.delete(session.identifier)

    def restart_node(self) -> None:
        """End its session's process."""
        if (session := self.session) is not None:
            session.abort("")

    # --- its connection ---

    async def reset(self) -> NoReturn:
        """Reset the connection: there is no reply."""
        self.close()
        await self._reset()
        raise ClientDisconnect

    def close(self) -> None:
        """Let go of a reply that is not sent."""
        if isinstance(self._performed, Download):
            self._performed.close()

    # --- its reply ---

    def refusal(self, status: int, retry_after: int | None) -> Response:
        """Give an error as the service words it, or its gateway."""
        self.close()
        if status in (502, 503, 504):
            refusal: Response = self.page(status, HTTPStatus(status).phrase)
        else:
            refusal = error_response(self._error(status))
        if retry_after is not None:
            refusal.headers["retry-after"] = str(retry_after)
        return refusal

    def _error(self, status: int) -> ApiError:
        if status == 401:
            return UnauthorizedError()
        if status == 403:
            return ApiError(403, "Forbidden", "The caller has no role on this session pool that allows the call.")
        if status == 429:
            return PoolFullError(self._pool.max_sessions, self._pool.max_sessions)
        return ApiError(status, "InternalServerError", "An internal error occurred.")

    def page(self, status: int, title: str) -> Response:
        """Give a page of HTML that is no answer of the API."""
        self.close()
        return HTMLResponse(f"<html><head><title>{html.escape(title)}</title></head></html>", status)

    def unknown_call(self, family: Literal["legacy", "current"]) -> Response:
        """Answer as a pool that has only this family: it does not know the api-version, or the path."""
        versions = LEGACY_VERSIONS if family == "legacy" else CURRENT_VERSIONS
        known = self._version in versions
        return error_response(no_such_call() if known else unknown_version(self._pool.behaviour.unknown_version))

    async def with_streams(self, reply: Response, change: Callable[[dict[str, Any]], None]) -> Response | Spared:
        """Change stdout and stderr of a run's reply, of either family."""
        reply = await _whole(reply)
        try:
            content = json.loads(bytes(reply.body))
            streams = content["properties"] if "properties" in content else content["result"]
            before = streams["stdout"], streams["stderr"]
            change(streams)
        except (ValueError, KeyError):
            return Spared(reply)
        if (streams["stdout"], streams["stderr"]) == before:
            return Spared(reply)
        headers = {name: value for name, value in reply.headers.items() if not name.startswith("content-")}
        return json_response(content, status=reply.status_code, headers=headers)

    def interrupted(self, reply: Response, then: Callable[[], Awaitable[None]]) -> Response:
        """Do something in the middle of a reply's body, or instead of a reply that has none."""
        return _Interrupted(reply, then)

    def half(self, reply: Response) -> Response | Spared:
        """Give the first half of a reply's body for the whole."""
        return _Half(reply) if _half_of(reply) else Spared(reply)


def _half_of(reply: Response) -> int:
    """Tell how many bytes are half of a reply's body."""
    return int(reply.headers.get("content-length", 2 * _PART_BYTES if isinstance(reply, StreamingResponse) else 0)) // 2


async def _whole(reply: Response) -> Response:
    """Give a reply that has all of its body at once."""
    if not isinstance(reply, StreamingResponse):
        return reply
    pieces = [piece.encode() if isinstance(piece, str) else bytes(piece) async for piece in reply.body_iterator]
    return Response(b"".join(pieces), reply.status_code, dict(reply.headers))


class _Interrupted(Response):
    """A reply with an interruption in the middle of its body."""

    def __init__(self, reply: Response, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._reply = reply
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half, do it, and send the rest, should there still be a connection."""
        left = _half_of(self._reply)
        if not left:
            await self._then()

        async def send_interrupted(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if message["type"] == "http.response.body" and 0 < left <= len(body):
                await send({**message, "body": body[:left], "more_body": True})
                message, left = {**message, "body": body[left:]}, 0
                await self._then()
            else:
                left -= min(left, len(body))
            await send(message)

        await self._reply(scope, receive, send_interrupted)


class _Half(Response):
    """The first half of a reply's body, with the head of a whole reply."""

    def __init__(self, reply: Response) -> None:
        super().__init__()
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        left = _half_of(self._reply)
        if "content-length" in self._reply.headers:
            self._reply.headers["content-length"] = str(left)

        async def send_half(message: Message) -> None:
            nonlocal left
            if message["type"] != "http.response.body":
                await send(message)
            elif left:
                body = message.get("body", b"")[:left]
                left -= len(body)
                await send({**message, "body": body, "more_body": left > 0})

        await self._reply(scope, receive, send_half)
