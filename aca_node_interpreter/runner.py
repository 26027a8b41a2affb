"""What runs code for every face: one session, its pool, its connections and its directory of artifacts.

It knows no agent framework. Its sync and async methods may be mixed, from several threads and event loops.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

from .artifacts import ArtifactDirectory
from .auth import Credential, TokenProvider, TokenSource
from .client import AsyncSessionPoolClient, SessionPoolClient
from .endpoint import Endpoint, checked_identifier, new_identifier
from .errors import AcaNodeError, ConfigurationError, ServiceUnreachableError
from .local_files import FileSource, repeatable
from .models import RemoteFile
from .operations import CURRENT_API, Operation, SessionCalls, checked_timeout
from .runs import Limits, Run
from .session import Mode, Session

if TYPE_CHECKING:
    from .local import LocalPool

ENDPOINT_VARIABLE = "ACA_POOL_MANAGEMENT_ENDPOINT"

_log = logging.getLogger("aca_node_interpreter")


@dataclass(frozen=True)
class Settings:
    """Where code runs, and what comes back; `NodeSessionsCodeExecutor` says what each means."""

    endpoint: str | None = None
    credential: Credential | TokenProvider | TokenSource | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    api_version: str = CURRENT_API
    timeout: float = 60.0
    artifacts_dir: Path | None = None
    keep_artifacts: bool = False
    egress: bool | Literal["host"] = False
    isolation: Literal["auto", "bubblewrap", "landlock", "sandbox-exec", "none"] = "auto"
    max_artifact_bytes: int = 100 * 1024 * 1024
    limits: Limits = field(default_factory=Limits)
    mode: Mode = "managed"
    packages: tuple[str, ...] = ()
    rehydrate: bool = False


@dataclass
class _Open:
    """What exists between opening and closing."""

    session: Session
    client: SessionPoolClient
    connection: dict[str, Any] = field(repr=False)
    """The arguments that both clients are made with."""
    pool: LocalPool | None
    async_client: AsyncSessionPoolClient | None = None
    loop: asyncio.AbstractEventLoop | None = None
    until_loop_ends: AsyncGenerator[None] | None = None

    async def client_of_running_loop(self) -> AsyncSessionPoolClient:
        """Return the async client; a new event loop gets a new one, since connections belong to their loop."""
        loop = asyncio.get_running_loop()
        if self.async_client is None or self.loop is not loop:
            self.async_client, self.loop = AsyncSessionPoolClient(**self.connection), loop
            # A loop that ends closes its asynchronous generators, and with this one the connections.
            self.until_loop_ends = _closed_at_the_end(self.async_client)
            await anext(self.until_loop_ends)
        return self.async_client

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


class SessionRunner:
    """Runs code in one session; opens itself on first use and can be used again, with a new session, after closing.

    Args:
        settings: where and how.
        session_id: an existing session to go on with, which closing leaves alive. Without it the session is new, and
            closing ends it.
    """

    def __init__(self, settings: Settings, session_id: str | None = None) -> None:
        if session_id is not None:
            checked_identifier(session_id)
        if settings.endpoint is not None:
            Endpoint.parse(settings.endpoint)
        checked_timeout(settings.timeout)
        if settings.token is not None and settings.credential is not None:
            raise ConfigurationError("Pass either a credential or a token.")
        self._settings = settings
        self._resumed_id = session_id
        self._open: _Open | None = None
        self._artifacts: ArtifactDirectory | None = None
        # An object that nobody closed still leaves no process and no directory behind.
        self._release: weakref.finalize[..., Any] | None = None
        self._remove_directory: weakref.finalize[..., Any] | None = None
        self._state = threading.Lock()
        self._turn = threading.Lock()  # runs take turns: two at once could not tell whose files are whose
        self._turn_of_loop: asyncio.AbstractEventLoop | None = None
        self._closings = 0

    @property
    def artifacts_path(self) -> Path:
        """The directory that artifacts are saved in; it is made when first asked for."""
        return self._directory().path

    def run(
        self, code: str, *, timeout: float | None = None, output_chars: int | None = None, language: str = ""
    ) -> Run:
        """Run code and bring back its files. Code that fails is a `Run` too; raises only when the call failed.

        `timeout` (seconds) and `output_chars` (of text for a model) take the place of the settings; `language` is what
        the code was said to be written in.
        """
        with self._in_turn():
            opened = self._opened()
            flow = opened.session.run(code, language=language, **self._how(timeout, output_chars))
            return opened.client.perform(flow)

    async def arun(
        self, code: str, *, timeout: float | None = None, output_chars: int | None = None, language: str = ""
    ) -> Run:
        """Do what `run` does, without holding up the event loop."""
        async with self._in_turn_async():
            opened = await self._aopened()
            client = await opened.client_of_running_loop()
            flow = opened.session.run(code, language=language, **self._how(timeout, output_chars))
            return await client.perform(flow)

    def upload(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Send a file to the session's `/mnt/data`; it comes back as an artifact only when a run changes it."""
        with self._in_turn():
            opened = self._opened()
            file, again = self._kept(opened, file, name, path)
            return opened.session.remember(opened.client.upload_file(file, name=name, path=path), again)

    async def aupload(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Do what `upload` does, without holding up the event loop."""
        async with self._in_turn_async():
            opened = await self._aopened()
            client = await opened.client_of_running_loop()
            file, again = await asyncio.to_thread(self._kept, opened, file, name, path)
            return opened.session.remember(await client.upload_file(file, name=name, path=path), again)

    async def start(self) -> None:
        """Open now what the first run would open."""
        await self._aopened()

    def close(self) -> None:
        """End the session if it is this object's own, close connections, stop the pool, remove temporary files.

        A run that is under way ends with an error, and so do those that wait for their turn.
        """
        with self._state:
            self._closings += 1
            opened, self._open, self._artifacts = self._open, None, None
            clean_ups = [each for each in (self._release, self._remove_directory) if each is not None]
            self._release = self._remove_directory = None
        try:
            if opened is not None:
                self._end_session(opened)
        finally:
            for clean_up in clean_ups:
                clean_up()

    async def aclose(self) -> None:
        """Do what `close` does, without holding up the event loop."""
        opened = self._open
        if opened is not None and opened.until_loop_ends is not None and opened.loop is asyncio.get_running_loop():
            await opened.until_loop_ends.aclose()
        await asyncio.to_thread(self.close)

    def forget_session(self) -> None:
        """Go on with a new, empty session from the next run on, and end the current one if it is this object's own."""
        with self._in_turn(), self._state:
            former = self._open
            if former is not None:
                self._end_session(former)
                former.client.close()
            self._resumed_id = None
            if former is not None:
                self._connect(former.pool)

    def _opened(self) -> _Open:
        with self._state:
            return self._open or self._connect(None)

    async def _aopened(self) -> _Open:
        opened = self._open
        return opened if opened is not None else await asyncio.to_thread(self._opened)

    def _connect(self, pool: LocalPool | None) -> _Open:
        """Connect to the pool in the settings, else in the environment, else to the embedded one."""
        settings = self._settings
        endpoint = settings.endpoint or os.environ.get(ENDPOINT_VARIABLE)
        token, credential = settings.token, settings.credential
        if endpoint:
            if self._open is None:
                named = "passed to it" if settings.endpoint else f"named by {ENDPOINT_VARIABLE}"
                _log.info("JavaScript runs in the session pool %s", named)
        else:
            if pool is None:
                from .local import LocalPool

                pool = LocalPool(egress=settings.egress, isolation=settings.isolation)
                pool.start()
                _log.info("JavaScript runs in the embedded session pool; %s is not set", ENDPOINT_VARIABLE)
            endpoint, token, credential = pool.endpoint, pool.token, None
        calls = SessionCalls(self._resumed_id or new_identifier(), settings.api_version)
        connection: dict[str, Any] = {
            "endpoint": endpoint,
            "credential": credential,
            "token": token,
            "session_id": calls.session_id,
            "api_version": calls.api_version,
        }
        session = Session(
            calls,
            is_new=self._resumed_id is None,
            limits=settings.limits,
            mode=settings.mode,
            packages=settings.packages,
            keeps_uploads=settings.rehydrate,
        )
        opened = self._open = _Open(session, SessionPoolClient(**connection), connection, pool)
        if self._release is not None:
            self._release.detach()
        self._release = weakref.finalize(self, _in_this_process(opened.release))
        return opened

    def _end_session(self, opened: _Open) -> None:
        """Give the session back to the pool, unless it was somebody else's or never used."""
        if self._resumed_id is None and opened.session.was_used:
            with suppress(AcaNodeError):  # it ends by itself after its cooldown
                opened.client.delete_session()

    def _kept(
        self, opened: _Open, file: FileSource, name: str | None, path: str | None
    ) -> tuple[FileSource, Callable[[], Operation[RemoteFile]] | None]:
        """Return what to upload, and how to do so again if a lost session is to get it back."""
        if not self._settings.rehydrate:
            return file, None
        upload = repeatable(file, name)
        content = file if isinstance(file, (str, os.PathLike)) else upload().content
        return content, lambda: opened.session.calls.upload_file(upload(), path=path)

    def _how(self, timeout: float | None, output_chars: int | None) -> dict[str, Any]:
        return {
            "timeout": self._settings.timeout if timeout is None else timeout,
            "saved_in": self._directory(),
            "output_chars": output_chars,
        }

    def _directory(self) -> ArtifactDirectory:
        with self._state:
            if self._artifacts is None:
                settings = self._settings
                path = settings.artifacts_dir or Path(mkdtemp(prefix="aca-node-artifacts-"))
                if settings.artifacts_dir is None and not settings.keep_artifacts:
                    self._remove_directory = weakref.finalize(
                        self, _in_this_process(lambda: shutil.rmtree(path, ignore_errors=True))
                    )
                self._artifacts = ArtifactDirectory(path, max_bytes=settings.max_artifact_bytes)
            return self._artifacts

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn_of_loop is not None and self._turn_of_loop is _running_loop():
            raise ConfigurationError(
                "A run is under way on this event loop, and waiting for it here would stop the loop for ever: "
                "use the asynchronous method."
            )
        closings = self._closings
        with self._turn:
            self._check_still_open(closings)
            yield

    @asynccontextmanager
    async def _in_turn_async(self) -> AsyncIterator[None]:
        closings = self._closings
        # Threads and several event loops wait for the same turn, and a wait in a thread could not be cancelled.
        while not self._turn.acquire(blocking=False):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            self._turn_of_loop = asyncio.get_running_loop()
            self._check_still_open(closings)
            yield
        finally:
            self._turn_of_loop = None
            self._turn.release()

    def _check_still_open(self, closings: int) -> None:
        if self._closings != closings:
            raise ServiceUnreachableError("Nothing ran: the executor was closed while this waited.", ran=False)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _in_this_process(clean_up: Callable[[], object]) -> Callable[[], None]:
    """Return a function that does nothing in a forked child, which would clean up what its parent still uses."""
    process = os.getpid()

    def guarded() -> None:
        if os.getpid() == process:
            clean_up()

    return guarded
