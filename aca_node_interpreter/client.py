"""The two clients of a session pool: they send what `operations` describes and nothing more.

Both have the same methods; a test keeps them in step.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, TypeVar

import httpx
from typing_extensions import Self

from . import transport
from .auth import BearerAuth, Credential, TokenProvider, TokenSource
from .endpoint import Endpoint, new_identifier
from .errors import AcaNodeError, ConfigurationError, ServiceUnreachableError
from .flow import Batch, Download, Flow, Sleep, Step, until_finished
from .models import Execution, PoolMetadata, RemoteFile, SessionInfo
from .operations import (
    CURRENT_API,
    DEFAULT_OUTPUT_LIMIT,
    CodeInputType,
    ExecutionType,
    Operation,
    Reply,
    SessionCalls,
    Upload,
    all_pages,
)

T = TypeVar("T")

FileSource = str | os.PathLike[str] | bytes | IO[bytes]
"""A path, the bytes themselves, or an open binary file."""
FileTarget = str | os.PathLike[str] | IO[bytes]
"""A path, or an open binary file."""


class Sink(Protocol):
    """What takes a download's bytes."""

    def write(self, chunk: bytes, /) -> int:
        """Take bytes and return how many."""


_SIDE_BY_SIDE = 8  # downloads at once: enough to hide a network's distance, few enough for a small pool


class _SessionPoolClient:
    """What both clients are made of."""

    def __init__(
        self,
        endpoint: str,
        *,
        credential: Credential | TokenProvider | TokenSource | None = None,
        token: str | None = None,
        session_id: str | None = None,
        api_version: str = CURRENT_API,
    ) -> None:
        if credential is not None and token is not None:
            raise ConfigurationError("Pass either a credential or a token.")
        self._endpoint = Endpoint.parse(endpoint)
        self._calls = SessionCalls(new_identifier() if session_id is None else session_id, api_version)
        self._auth = BearerAuth(token if token is not None else TokenSource.of(credential))

    @property
    def session_id(self) -> str:
        """The session's identifier. Whoever knows it can reach the session: keep it from models and logs."""
        return self._calls.session_id

    @property
    def api_version(self) -> str:
        """The api-version that calls are made in."""
        return self._calls.api_version

    def __repr__(self) -> str:
        return f"{type(self).__name__}(api_version={self.api_version!r})"


class SessionPoolClient(_SessionPoolClient):
    """A session pool, called synchronously: one client is one session.

    Args:
        endpoint: the pool's management endpoint, or a loopback address.
        credential: anything with `get_token`, or a function that returns a token, sync or async. Without one (and
            without `token`) `azure.identity.DefaultAzureCredential` is used.
        token: a ready token, such as the embedded pool's.
        session_id: 4 to 128 characters; a random one if left out. The first call creates the session.
        api_version: decides the API family, see `aca_node_interpreter.operations`.
        http_transport: an httpx transport to send through instead of the network.

    Every method raises `ServiceError` when the pool refuses the call, `ServiceUnreachableError` when it can't be
    reached and `ConfigurationError`, before anything is sent, for what can't work. Several threads may use it.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        credential: Credential | TokenProvider | TokenSource | None = None,
        token: str | None = None,
        session_id: str | None = None,
        api_version: str = CURRENT_API,
        http_transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            credential=credential,
            token=token,
            session_id=session_id,
            api_version=api_version,
        )
        self._http = httpx.Client(auth=self._auth, transport=http_transport, **transport.settings(self._endpoint))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The session lives on until its cooldown or `delete_session`."""
        self._http.close()

    def execute(
        self,
        code: str,
        *,
        code_input_type: CodeInputType = "Inline",
        execution_type: ExecutionType = "Synchronous",
        timeout: float = 60,
        output_limit: int = DEFAULT_OUTPUT_LIMIT,
    ) -> Execution:
        """Run code in the session and return what came of it; an asynchronous run is asked for until it is over.

        Args:
            code: JavaScript, base64 of it with `code_input_type="InlineBase64"`.
            code_input_type: `Inline`, `InlineText` or `InlineBase64`.
            execution_type: `Asynchronous` for the service's start-and-poll.
            timeout: seconds that the run may take, at most 220.
            output_limit: bytes of stdout and of stderr to bring back, where the api-version knows that.
        """
        operation = self._calls.execute(
            code,
            code_input_type=code_input_type,
            execution_type=execution_type,
            timeout=timeout,
            output_limit=output_limit,
        )
        return self.perform(until_finished(self._calls, operation))

    def get_execution(self, execution_id: str) -> Execution:
        """Return an execution by its id."""
        return self._send(self._calls.get_execution(execution_id))

    def list_files(self, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        """Return what lies in a directory of `/mnt/data`, with `recursive` also below it."""
        return self.perform(all_pages(self._calls.list_files(path, recursive=recursive)))

    def upload_file(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Send a file (at most 128 MB) to `/mnt/data` and return what the service made of it.

        Args:
            file: a path, bytes, or an open binary file, which is read while it is sent.
            name: what to call it there; needed for bytes.
            path: the directory below `/mnt/data`.
        """
        with _opened(file, name) as upload:
            return self._send(self._calls.upload_file(upload, path=path))

    def get_file(self, name: str, *, path: str | None = None) -> RemoteFile:
        """Return a file's size and date."""
        return self._send(self._calls.get_file(name, path=path))

    def download_file(self, name: str, *, path: str | None = None) -> bytes:
        """Return a file's bytes."""
        return self._send(self._calls.download_file(name, path=path))

    def download_file_to(self, target: FileTarget, name: str, *, path: str | None = None) -> int:
        """Stream a file to a local path or an open file, in constant memory, and return its size in bytes.

        A path that is a directory gets the file under its own name. An existing file is replaced only by a whole one.
        """
        operation = self._calls.download_file(name, path=path)
        with _target(target, name) as sink:
            return self._stream(operation, sink)

    def delete_file(self, name: str, *, path: str | None = None) -> None:
        """Delete a file."""
        self._send(self._calls.delete_file(name, path=path))

    def get_session(self) -> SessionInfo:
        """Return when the session was made, last used and will expire; raises `NotFoundError` if there is none."""
        return self._send(self._calls.get_session())

    def delete_session(self) -> None:
        """End the session; the same identifier then means a new, empty one."""
        self._send(self._calls.delete_session())

    def list_sessions(self, *, skip: int = 0) -> list[SessionInfo]:
        """Return the pool's sessions."""
        return self.perform(all_pages(self._calls.list_sessions(skip=skip)))

    def get_metadata(self) -> PoolMetadata:
        """Return what runs in the pool."""
        return self._send(self._calls.get_metadata())

    def perform(self, flow: Flow[T]) -> T:
        """Run a flow (see `aca_node_interpreter.flow`) to its end and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._take(step)
                except AcaNodeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _take(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return time.sleep(step.seconds)
        if isinstance(step, Download):
            with step.to as sink:
                return self._stream(step.operation, sink)
        if isinstance(step, Batch):
            with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
                return list(threads.map(self._try, step.steps))
        return self._send(step)

    def _try(self, step: Download) -> int | AcaNodeError | OSError:
        try:
            size: int = self._take(step)
        except (AcaNodeError, OSError) as error:
            return error
        return size

    def _send(self, operation: Operation[T]) -> T:
        for attempt in range(3):
            try:
                with transport.translated(operation):
                    response = self._http.request(**transport.request(self._endpoint, operation))
                outcome: Reply | ServiceUnreachableError = transport.reply_of(response)
            except ServiceUnreachableError as error:
                outcome = error
            pause = transport.pause_before_retry(operation, attempt, outcome)
            if pause is None:
                break
            time.sleep(pause)
        if isinstance(outcome, ServiceUnreachableError):
            raise outcome
        return operation.finish(outcome)

    def _stream(self, operation: Operation[bytes], sink: Sink) -> int:
        size = 0
        with (
            transport.translated(operation),
            self._http.stream(**transport.request(self._endpoint, operation)) as response,
        ):
            if response.is_success:
                for chunk in response.iter_bytes():
                    size += sink.write(chunk)
                return size
            response.read()
        operation.finish(transport.reply_of(response))
        return size


class AsyncSessionPoolClient(_SessionPoolClient):
    """A session pool, called asynchronously; the same as `SessionPoolClient`, with `await`.

    It belongs to the event loop on which it is first used.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        credential: Credential | TokenProvider | TokenSource | None = None,
        token: str | None = None,
        session_id: str | None = None,
        api_version: str = CURRENT_API,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            credential=credential,
            token=token,
            session_id=session_id,
            api_version=api_version,
        )
        self._http = httpx.AsyncClient(auth=self._auth, transport=http_transport, **transport.settings(self._endpoint))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The session lives on until its cooldown or `delete_session`."""
        await self._http.aclose()

    async def execute(
        self,
        code: str,
        *,
        code_input_type: CodeInputType = "Inline",
        execution_type: ExecutionType = "Synchronous",
        timeout: float = 60,
        output_limit: int = DEFAULT_OUTPUT_LIMIT,
    ) -> Execution:
        """Run code in the session and return what came of it, as `SessionPoolClient.execute` does."""
        operation = self._calls.execute(
            code,
            code_input_type=code_input_type,
            execution_type=execution_type,
            timeout=timeout,
            output_limit=output_limit,
        )
        return await self.perform(until_finished(self._calls, operation))

    async def get_execution(self, execution_id: str) -> Execution:
        """Return an execution by its id."""
        return await self._send(self._calls.get_execution(execution_id))

    async def list_files(self, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        """Return what lies in a directory of `/mnt/data`, with `recursive` also below it."""
        return await self.perform(all_pages(self._calls.list_files(path, recursive=recursive)))

    async def upload_file(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Send a file (at most 128 MB) to `/mnt/data`, as `SessionPoolClient.upload_file` does."""
        with _opened(file, name) as upload:
            return await self._send(self._calls.upload_file(upload, path=path))

    async def get_file(self, name: str, *, path: str | None = None) -> RemoteFile:
        """Return a file's size and date."""
        return await self._send(self._calls.get_file(name, path=path))

    async def download_file(self, name: str, *, path: str | None = None) -> bytes:
        """Return a file's bytes."""
        return await self._send(self._calls.download_file(name, path=path))

    async def download_file_to(self, target: FileTarget, name: str, *, path: str | None = None) -> int:
        """Stream a file to a local path or an open file, as `SessionPoolClient.download_file_to` does."""
        operation = self._calls.download_file(name, path=path)
        with _target(target, name) as sink:
            return await self._stream(operation, sink)

    async def delete_file(self, name: str, *, path: str | None = None) -> None:
        """Delete a file."""
        await self._send(self._calls.delete_file(name, path=path))

    async def get_session(self) -> SessionInfo:
        """Return when the session was made, last used and will expire; raises `NotFoundError` if there is none."""
        return await self._send(self._calls.get_session())

    async def delete_session(self) -> None:
        """End the session; the same identifier then means a new, empty one."""
        await self._send(self._calls.delete_session())

    async def list_sessions(self, *, skip: int = 0) -> list[SessionInfo]:
        """Return the pool's sessions."""
        return await self.perform(all_pages(self._calls.list_sessions(skip=skip)))

    async def get_metadata(self) -> PoolMetadata:
        """Return what runs in the pool."""
        return await self._send(self._calls.get_metadata())

    async def perform(self, flow: Flow[T]) -> T:
        """Run a flow (see `aca_node_interpreter.flow`) to its end and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._take(step)
                except AcaNodeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _take(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Download):
            with step.to as sink:
                return await self._stream(step.operation, sink)
        if isinstance(step, Batch):
            gate = asyncio.Semaphore(_SIDE_BY_SIDE)
            return await asyncio.gather(*(self._try(each, gate) for each in step.steps))
        return await self._send(step)

    async def _try(self, step: Download, gate: asyncio.Semaphore) -> int | AcaNodeError | OSError:
        async with gate:
            try:
                size: int = await self._take(step)
            except (AcaNodeError, OSError) as error:
                return error
            return size

    async def _send(self, operation: Operation[T]) -> T:
        for attempt in range(3):
            try:
                with transport.translated(operation):
                    response = await self._http.request(**transport.request(self._endpoint, operation))
                outcome: Reply | ServiceUnreachableError = transport.reply_of(response)
            except ServiceUnreachableError as error:
                outcome = error
            pause = transport.pause_before_retry(operation, attempt, outcome)
            if pause is None:
                break
            await asyncio.sleep(pause)
        if isinstance(outcome, ServiceUnreachableError):
            raise outcome
        return operation.finish(outcome)

    async def _stream(self, operation: Operation[bytes], sink: Sink) -> int:
        size = 0
        with transport.translated(operation):
            async with self._http.stream(**transport.request(self._endpoint, operation)) as response:
                if response.is_success:
                    async for chunk in response.aiter_bytes():
                        size += await asyncio.to_thread(sink.write, chunk)
                    return size
                await response.aread()
        operation.finish(transport.reply_of(response))
        return size


@contextmanager
def _opened(file: FileSource, name: str | None) -> Iterator[Upload]:
    """Open what is to be uploaded and give it its name."""
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        with path.open("rb") as content:
            yield Upload(name or path.name, content)
    elif isinstance(file, bytes):
        if name is None:
            raise ConfigurationError("Bytes need a `name` to be uploaded under.")
        yield Upload(name, file)
    else:
        own = getattr(file, "name", None)
        if name is None and not isinstance(own, str):
            raise ConfigurationError("This file object has no name: pass `name`.")
        yield Upload(name or Path(str(own)).name, file)


@contextmanager
def _target(target: FileTarget, name: str) -> Iterator[IO[bytes]]:
    """Open where a download goes; under a path it appears when it is whole, and not at all when it fails."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(target)
    if path.is_dir():
        path /= name
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as sink:
            yield sink
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
