"""Tokens for the session pool: from where they come, when they are renewed, and where they never go."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Protocol, TypeVar, cast

import anyio
import anyio.to_thread
import httpx
from anyio.lowlevel import RunVar

from aca_node_interpreter.errors import AcaNodeError, AuthenticationError
from aca_node_interpreter.secrecy import StaysHere

SCOPE = "https://dynamicsessions.io/.default"
"""The scope that the service's swagger and documentation name."""

_RENEW_BEFORE = 300.0  # seconds; Azure's own SDKs renew five minutes early
_PROVIDED_LIFETIME = 600.0  # seconds; a bare string does not say when it expires, so its provider is asked again

T = TypeVar("T")


class AccessToken(Protocol):
    """What a credential hands out: `azure.core.credentials.AccessToken` or anything like it."""

    @property
    def token(self) -> str:
        """The token itself."""

    @property
    def expires_on(self) -> int:
        """When it expires, in seconds since the epoch."""


class Credential(Protocol):
    """Anything with `get_token`, sync or async: no base class is needed."""

    def get_token(self, *scopes: str) -> Any:
        """Return an `AccessToken`, or an awaitable of one."""


TokenProvider = Callable[[], "str | Awaitable[str]"]


@dataclass
class TokenSource(StaysHere):
    """One token, shared by the sync and the async client and renewed before it expires.

    A synchronous credential runs in a thread while an event loop waits for it. An asynchronous one is awaited on the
    loop that needs the token; for the sync client on a loop of its own.
    """

    credential: Credential | TokenProvider = field(repr=False)
    _token: str = field(default="", repr=False)
    _expires_on: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _asking: RunVar[anyio.Lock] = field(default_factory=lambda: RunVar("asking for a token"), repr=False)

    @classmethod
    def of(cls, credential: Credential | TokenProvider | TokenSource | None) -> TokenSource:
        """Return the source of a credential: the same for the same credential, so that clients share a token.

        `None` means `azure.identity.DefaultAzureCredential`.
        """
        if isinstance(credential, TokenSource):
            return credential
        credential = credential or _default_credential()
        # A source keeps its credential alive, so an id that is found here still means the same object.
        return _sources.setdefault(id(credential), cls(credential))

    def get(self, *, instead_of: str | None = None) -> str:
        """Return a token that is good for some minutes.

        Args:
            instead_of: a token that was refused: ask for another one.

        Raises:
            AuthenticationError: there is none to be had.
        """
        with self._lock, _worded():
            if self._is_stale(instead_of):
                answer = self._ask()
                self._keep(_own_loop.wait_for(answer) if inspect.isawaitable(answer) else answer)
            return self._token

    async def aget(self, *, instead_of: str | None = None) -> str:
        """Do what `get` does, without holding up the event loop."""
        if not self._is_stale(instead_of):
            return self._token
        if not self._is_async:
            return await anyio.to_thread.run_sync(partial(self.get, instead_of=instead_of), abandon_on_cancel=True)
        async with self._asking_here():
            with _worded():
                if self._is_stale(instead_of):
                    self._keep(await self._ask())
                return self._token

    def _asking_here(self) -> anyio.Lock:
        """Return the lock of this event loop: one belongs to the loop that it was first waited for on."""
        asking = self._asking.get(None)
        if asking is None:
            asking = anyio.Lock()
            self._asking.set(asking)
        return asking

    @property
    def _is_async(self) -> bool:
        return inspect.iscoroutinefunction(getattr(self.credential, "get_token", self.credential))

    def _is_stale(self, instead_of: str | None) -> bool:
        return self._expires_on - time.time() < _RENEW_BEFORE or self._token == instead_of

    def _ask(self) -> Any:
        get_token = getattr(self.credential, "get_token", None)
        return get_token(SCOPE) if get_token else cast("TokenProvider", self.credential)()

    def _keep(self, answer: AccessToken | str) -> None:
        if isinstance(answer, str):
            token, expires_on = answer, time.time() + _PROVIDED_LIFETIME
        else:
            token, expires_on = answer.token, float(answer.expires_on)
        self._token, self._expires_on = checked_token(token), expires_on


def checked_token(token: str) -> str:
    """Return a token that can stand in a header, without the line end that files and shells add.

    Raises:
        AuthenticationError: it can't be a token. The message does not repeat it.
    """
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise AuthenticationError("What was given as a token is empty or holds characters that no token has.")
    return token


class BearerAuth:
    """Put a token on each request, and send it once more with a new one when the service answers 401."""

    def __init__(self, source: TokenSource | str) -> None:
        self._source = source

    def send(self, request: httpx.Request, transport: httpx.BaseTransport) -> httpx.Response:
        """Send a request with its token, and return the answer, whose body is still to be read."""
        source = self._source
        token = source if isinstance(source, str) else source.get()
        response = transport.handle_request(_with_token(request, token))
        if response.status_code == 401 and isinstance(source, TokenSource):
            response.close()
            response = transport.handle_request(_with_token(request, source.get(instead_of=token)))
        return response

    async def asend(self, request: httpx.Request, transport: httpx.AsyncBaseTransport) -> httpx.Response:
        """Do what `send` does, without holding up the event loop."""
        source = self._source
        token = source if isinstance(source, str) else await source.aget()
        response = await transport.handle_async_request(_with_token(request, token))
        if response.status_code == 401 and isinstance(source, TokenSource):
            await response.aclose()
            response = await transport.handle_async_request(_with_token(request, await source.aget(instead_of=token)))
        return response


class _OwnLoop:
    """An event loop in a thread, started when a sync caller first uses an asynchronous credential.

    It stays: such a credential binds its connections to the loop that it was first used on.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Return what the awaitable comes to."""

        async def outcome() -> T:
            return await awaitable

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="aca-node-credential", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(outcome(), self._loop).result()


_own_loop = _OwnLoop()
_sources: weakref.WeakValueDictionary[int, TokenSource] = weakref.WeakValueDictionary()


@cache
def _default_credential() -> Credential:
    """Return the process's one `DefaultAzureCredential`; its import is slow, so it comes when it is needed."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _with_token(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request


@contextmanager
def _worded() -> Iterator[None]:
    """Say what to do when a credential fails, whatever it raises."""
    try:
        yield
    except AcaNodeError:
        raise
    except Exception as error:
        raise AuthenticationError(
            f"No token for the session pool: {type(error).__name__} from the credential. Sign in with `az login`, "
            "or pass `credential=`; the cause is in the chained exception."
        ) from error
