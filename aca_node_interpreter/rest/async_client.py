"""The asynchronous client of a session pool, on asyncio or trio: `SessionPoolClient` with `await`."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
import httpx
from typing_extensions import Self

from aca_node_interpreter.errors import AcaNodeError, ClientClosedError, ServiceUnreachableError

from . import transport
from .auth import Credential, TokenProvider, TokenSource
from .client import SIDE_BY_SIDE, ClientBase
from .connections import AsyncConnections
from .flow import Await, Batch, Compute, Download, Flow, Send, Sleep, Step, until_finished
from .local_files import BoundedBuffer, FileSource, FileTarget, Sink, opened, opened_target
from .models import Execution, PoolMetadata, RemoteFile, SessionInfo
from .operations import (
    CURRENT_API,
    DEFAULT_OUTPUT_LIMIT,
    CodeInputType,
    ExecutionType,
    Operation,
    Reply,
    all_pages,
)
from .patience import IMPATIENT, Patience
from .transfer import Transfer
from .waiting import wait_for_async

T = TypeVar("T")

_LARGE = 1024 * 1024  # bytes of an answer that would hold up an event loop while they are read


class AsyncSessionPoolClient(ClientBase):
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
        self._http = http_transport or AsyncConnections(self._endpoint)
        self._is_closed = False
        self._under_way: dict[anyio.CancelScope, anyio.Event] = {}

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
        """Close the connections, also under calls. The session lives on until its cooldown or `delete_session`."""
        self._is_closed = True
        under_way = list(self._under_way.items())
        for scope, _ in under_way:
            scope.cancel()
        # A connection that a request comes to have after they were closed, nobody would close.
        for _, is_over in under_way:
            await is_over.wait()
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

    async def start_execution(
        self,
        code: str,
        *,
        code_input_type: CodeInputType = "Inline",
        timeout: float = 60,
        output_limit: int = DEFAULT_OUTPUT_LIMIT,
    ) -> Execution:
        """Start an asynchronous run and return at once; `get_execution` with its `id` tells how it goes on."""
        operation = self._calls.execute(
            code,
            code_input_type=code_input_type,
            execution_type="Asynchronous",
            timeout=timeout,
            output_limit=output_limit,
        )
        return await self._send(operation)

    async def get_execution(self, execution_id: str) -> Execution:
        """Return an execution by its id."""
        return await self._send(self._calls.get_execution(execution_id))

    async def list_files(self, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        """Return what lies in a directory of `/mnt/data`, with `recursive` also below it."""
        return await self.perform(all_pages(self._calls.list_files(path, recursive=recursive)))

    async def upload_file(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Send a file (at most 128 MB) to `/mnt/data`, as `SessionPoolClient.upload_file` does."""
        with opened(file, name) as upload:
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
        with opened_target(target, name) as sink:
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

    async def perform(self, flow: Flow[T], patience: Patience = IMPATIENT) -> T:
        """Run a flow (see `aca_node_interpreter.rest.flow`) to its end and return its result.

        Raises:
            DeadlineExceededError: the deadline was over before the flow was, and it had no other answer to that.
        """
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._take(step, patience)
                except AcaNodeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()  # now, not when it is collected: it may have to put something right

    async def _take(self, step: Step, patience: Patience) -> Any:
        if isinstance(step, Sleep):
            return await anyio.sleep(min(step.seconds, patience.deadline.left()))
        if isinstance(step, Await):
            return await wait_for_async(step.done, min(step.seconds, patience.deadline.left()))
        if isinstance(step, Compute):
            if not step.is_long:
                return step.work()
            # In a thread that goes on when nobody waits any more, so that a cancelled caller need not.
            return await anyio.to_thread.run_sync(step.work, abandon_on_cancel=True)
        if isinstance(step, Download):
            with step.to as sink:
                return await self._stream(step.operation, sink, patience)
        if isinstance(step, Send):
            with step.source as upload:
                return await self._send(step.operation(upload), patience)
        if isinstance(step, Batch):
            return await self._batch(step, patience)
        return await self._send(step, patience)

    async def _batch(self, batch: Batch, patience: Patience) -> list[Any]:
        gate = anyio.Semaphore(SIDE_BY_SIDE)
        outcomes: list[Any] = [None] * len(batch.steps)

        async def take(number: int, step: Step) -> None:
            async with gate:
                try:
                    outcomes[number] = await self._take(step, patience)
                except (AcaNodeError, OSError) as error:
                    outcomes[number] = error

        async with anyio.create_task_group() as group:
            for number, step in enumerate(batch.steps):
                group.start_soon(take, number, step)
        return outcomes

    async def _send(self, operation: Operation[T], patience: Patience = IMPATIENT) -> T:
        async def once() -> Reply:
            async with self._answering(operation, patience) as (response, chunks):
                return await self._whole(response, chunks, operation)

        reply = await self._answer(operation, once, patience)
        if len(reply.content) > _LARGE:
            return await anyio.to_thread.run_sync(operation.finish, reply, abandon_on_cancel=True)
        return operation.finish(reply)

    async def _stream(self, operation: Operation[bytes], sink: Sink, patience: Patience = IMPATIENT) -> int:
        transfer = Transfer(sink)

        async def once() -> Reply:
            async with self._answering(operation, patience, **transfer.headers) as (response, chunks):
                if not response.is_success:
                    return await self._whole(response, chunks, operation)
                transfer.begin(response.status_code, response.headers)
                async for chunk in chunks:
                    await anyio.to_thread.run_sync(transfer.write, chunk)
                transfer.end()
                return Reply(response.status_code, response.headers, b"")

        operation.finish(await self._answer(operation, once, patience, lambda: transfer.size))
        return transfer.size

    @asynccontextmanager
    async def _answering(
        self, operation: Operation[Any], patience: Patience, **headers: str
    ) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
        """Send, and give the answer and what its body comes in."""
        request = transport.request(self._endpoint, operation, patience.deadline, **headers)
        with transport.translated(operation, patience.deadline):
            response = await self._auth.asend(request, self._http)
            try:
                transport.check_encoding(response)
                # Left to the garbage collector, the iterator would outlive a loop that ends now.
                async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_bytes())) as chunks:
                    yield response, chunks
            finally:
                await response.aclose()

    async def _whole(self, response: httpx.Response, chunks: AsyncIterator[bytes], operation: Operation[Any]) -> Reply:
        body = BoundedBuffer(transport.most_bytes(response, operation))
        async for chunk in chunks:
            body.write(chunk)
        return Reply(response.status_code, response.headers, body.content)

    async def _answer(
        self,
        operation: Operation[Any],
        once: Callable[[], Awaitable[Reply]],
        patience: Patience,
        progress: Callable[[], int] = int,
    ) -> Reply:
        """Send, again where that is harmless, and return the answer; `progress` counts what arrived."""
        transport.check_deadline(operation, patience.deadline, was_sent=False)
        retries = transport.Retries(operation, patience)
        while True:
            if self._is_closed:
                raise ClientClosedError
            before = progress()
            outcome: transport.Outcome
            try:
                # The timeouts of httpx are for one piece each.
                with anyio.move_on_after(patience.deadline.sooner(math.inf)) as scope:
                    self._under_way[scope] = anyio.Event()
                    try:
                        outcome = await once()
                    finally:
                        self._under_way.pop(scope).set()
                if scope.cancelled_caught:
                    cut = transport.closed_under if self._is_closed else transport.deadline_exceeded
                    outcome = cut(operation, patience.deadline)
            except ServiceUnreachableError as error:
                outcome = error
            waiting = None if self._is_closed else retries.before_next(outcome, went_on=progress() > before)
            if waiting is None:
                break
            await self.perform(waiting, patience)
        return retries.settled(outcome)
