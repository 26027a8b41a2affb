"""The blocking client of a session pool: it sends what `operations` describes and nothing more.

The asynchronous one has the same methods; a test keeps them in step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

import httpx
from typing_extensions import Self

from aca_node_interpreter.errors import (
    AcaNodeError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ServiceUnreachableError,
)
from aca_node_interpreter.secrecy import StaysHere

from . import transport
from .auth import BearerAuth, Credential, TokenProvider, TokenSource, checked_token
from .connections import Connections
from .endpoint import Endpoint, new_identifier
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
    SessionCalls,
    all_pages,
)
from .patience import IMPATIENT, Patience
from .side_by_side import side_by_side
from .transfer import Transfer
from .waiting import wait_for

T = TypeVar("T")

TOKEN_VARIABLE = "ACA_POOL_TOKEN"  # noqa: S105  # the variable's name, not a token
"""Environment variable with the token of an embedded pool that another process serves; for loopback endpoints only."""

SIDE_BY_SIDE = 16  # files at once: enough to hide a network's distance, few enough for a small pool


class ClientBase(StaysHere):
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
        if token is None and credential is None and self._endpoint.is_loopback:
            token = os.environ.get(TOKEN_VARIABLE)
            # Whoever listens on a port here is not Azure, and may be another user.
            if token is None:
                raise AuthenticationError(
                    "There is no token for the session pool on this machine: pass `token=`, or export ACA_POOL_TOKEN, "
                    "which `aca-node serve` prints. Azure's own token is not sent here unless `credential=` says so."
                )
        self._calls = SessionCalls(new_identifier() if session_id is None else session_id, api_version)
        self._auth = BearerAuth(checked_token(token) if token is not None else TokenSource.of(credential))

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


class SessionPoolClient(ClientBase):
    """A session pool, called synchronously: one client is one session.

    Args:
        endpoint: the pool's management endpoint, or a loopback address, or `unix:///PATH` for a Unix socket.
        credential: anything with `get_token`, or a function that returns a token, sync or async. Without one (and
            without `token`) `azure.identity.DefaultAzureCredential` is used.
        token: a ready token, such as the embedded pool's. For a loopback endpoint the environment variable
            `ACA_POOL_TOKEN` may hold it.
        session_id: 4 to 128 characters; a random one if left out. The first call creates the session.
        api_version: decides the API family, see `aca_node_interpreter.rest.operations`.
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
        self._http = http_transport or Connections(self._endpoint)
        self._is_closed = False

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
        self._is_closed = True
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

    def start_execution(
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
        return self._send(operation)

    def get_execution(self, execution_id: str) -> Execution:
        """Return an execution by its id."""
        return self._send(self._calls.get_execution(execution_id))

    def list_files(self, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        """Return what lies in a directory of `/mnt/data`, with `recursive` also below it."""
        return self.perform(all_pages(self._calls.list_files(path, recursive=recursive)))

    def upload_file(self, file: FileSource, *, name: str | None = None, path: str | None = None) -> RemoteFile:
        """Send a file (at most 128 MB) to `/mnt/data` and return what the service made of it.

        Args:
            file: a path, bytes, or an open binary file, which is read while it is sent, as far as it goes by then.
            name: what to call it there; needed for bytes.
            path: the directory below `/mnt/data`.

        Raises:
            UploadError: the file became shorter meanwhile.
        """
        with opened(file, name) as upload:
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
        with opened_target(target, name) as sink:
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

    def perform(self, flow: Flow[T], patience: Patience = IMPATIENT) -> T:
        """Run a flow (see `aca_node_interpreter.rest.flow`) to its end and return its result.

        Raises:
            DeadlineExceededError: the deadline was over before the flow was, and it had no other answer to that.
        """
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._take(step, patience)
                except AcaNodeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()  # now, not when it is collected: it may have to put something right

    def _take(self, step: Step, patience: Patience) -> Any:
        if isinstance(step, Sleep):
            return time.sleep(min(step.seconds, patience.deadline.left()))
        if isinstance(step, Await):
            return wait_for(step.done, min(step.seconds, patience.deadline.left()))
        if isinstance(step, Compute):
            return step.work()
        if isinstance(step, Download):
            with step.to as sink:
                return self._stream(step.operation, sink, patience)
        if isinstance(step, Send):
            with step.source as upload:
                return self._send(step.operation(upload), patience)
        if isinstance(step, Batch):
            # Those that have begun are to end when an interrupt ends this.
            part = replace(patience, deadline=patience.deadline.part())
            try:
                return side_by_side(lambda each: self._try(each, part), step.steps, SIDE_BY_SIDE)
            finally:
                part.deadline.end()
        return self._send(step, patience)

    def _try(self, step: Step, patience: Patience) -> Any:
        try:
            return self._take(step, patience)
        except (AcaNodeError, OSError) as error:
            return error

    def _send(self, operation: Operation[T], patience: Patience = IMPATIENT) -> T:
        def once() -> Reply:
            with self._answering(operation, patience) as response:
                return self._whole(response, operation, patience)

        return operation.finish(self._answer(operation, once, patience))

    def _stream(self, operation: Operation[bytes], sink: Sink, patience: Patience = IMPATIENT) -> int:
        transfer = Transfer(sink)

        def once() -> Reply:
            with self._answering(operation, patience, **transfer.headers) as response:
                if not response.is_success:
                    return self._whole(response, operation, patience)
                transfer.begin(response.status_code, response.headers)
                for chunk in response.iter_bytes():
                    transport.check_deadline(operation, patience.deadline)
                    transfer.write(chunk)
                transfer.end()
                return Reply(response.status_code, response.headers, b"")

        operation.finish(self._answer(operation, once, patience, lambda: transfer.size))
        return transfer.size

    @contextmanager
    def _answering(self, operation: Operation[Any], patience: Patience, **headers: str) -> Iterator[httpx.Response]:
        """Send, and give the answer, whose body is still to be read."""
        request = transport.request(self._endpoint, operation, patience.deadline, **headers)
        with transport.translated(operation, patience.deadline):
            response = self._auth.send(request, self._http)
            try:
                transport.check_encoding(response)
                yield response
            finally:
                response.close()

    def _whole(self, response: httpx.Response, operation: Operation[Any], patience: Patience) -> Reply:
        body = BoundedBuffer(transport.most_bytes(response, operation))
        for chunk in response.iter_bytes():
            transport.check_deadline(operation, patience.deadline)
            body.write(chunk)
        return Reply(response.status_code, response.headers, body.content)

    def _answer(
        self,
        operation: Operation[Any],
        once: Callable[[], Reply],
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
                outcome = once()
            except ServiceUnreachableError as error:
                outcome = error
            waiting = retries.before_next(outcome, went_on=progress() > before)
            if waiting is None:
                break
            self.perform(waiting, patience)
        return retries.settled(outcome)
