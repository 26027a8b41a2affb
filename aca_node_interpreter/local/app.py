"""The pool's HTTP side: who may ask, which call it is, and the answer. What a call means lives in the other files."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from aca_node_interpreter.local import file_names, inspector, shapes
from aca_node_interpreter.local.api_errors import (
    ApiError,
    PoolFullError,
    UnauthorizedError,
    invalid,
    no_session,
    too_large,
)
from aca_node_interpreter.local.behaviour import Behaviour
from aca_node_interpreter.local.execute_request import ExecuteRequest, read_execute_request
from aca_node_interpreter.local.executions import Execution
from aca_node_interpreter.local.files import FileEntry, chunks
from aca_node_interpreter.local.kernel import KernelStartError
from aca_node_interpreter.local.pool import SessionPool
from aca_node_interpreter.local.results import Result, word_outcome
from aca_node_interpreter.local.routing import Match, match
from aca_node_interpreter.local.session import Session

MAX_UPLOAD_BYTES = 128 * 1024 * 1024
MAX_JSON_BYTES = 64 * 1024 * 1024
# What a multipart body adds around the file.
_MULTIPART_BYTES = 64 * 1024
_DOWNLOAD_CHUNK_BYTES = 256 * 1024
_SESSIONS_PER_PAGE = 300

NEWEST = "2025-10-02-preview"
_LEGACY_VERSIONS = ("", "2023-08-01-preview", "2024-02-02-preview", "2024-08-02-preview")
_CURRENT_VERSIONS = ("2024-10-02-preview", "2025-02-02-preview", NEWEST)
# These answer in the shape of their path; the others in that of the api-version.
_CURRENT_ONLY = frozenset(
    {"execute", "get_execution", "upload", "get_session", "delete_session", "list_sessions", "get_metadata"}
)

_LOOPBACK = re.compile(r"(?:localhost|[\w.-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?", re.IGNORECASE)
# What a header can carry back.
_OPERATION_ID = re.compile(r"[\x20-\x7e\xa0-\xff]{1,256}")


class PoolApp:
    """The ASGI application of one session pool."""

    def __init__(
        self,
        pool: SessionPool,
        *,
        token: str,
        endpoint: str,
        node_version: str,
        behaviour: Behaviour,
    ) -> None:
        self._pool = pool
        self._token = token.encode()
        self._endpoint = endpoint
        self._node_version = node_version
        self.behaviour = behaviour

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = _error_response(error)
        except KernelStartError as error:
            response = _error_response(ApiError(500, "SessionStartFailed", str(error)))
        except OSError as error:
            # A full disk, or no more descriptors: nothing that the request could be blamed for.
            response = _error_response(ApiError(500, "InternalServerError", error.strerror or "I/O failed"))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        _check_origin(request.headers)
        raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
        path = raw_path.decode("latin-1")
        # The page is the same for everybody and holds nothing; whoever opens it has no way to send a header.
        if request.method == "GET" and (page := inspector.page(path)) is not None:
            return page
        self._check_token(request.headers)
        query = {key.lower(): value for key, value in parse_qsl(_query_string(request), keep_blank_values=True)}
        version = query.get("api-version", "")
        if version not in _LEGACY_VERSIONS and version not in _CURRENT_VERSIONS:
            if self.behaviour.unknown_version == 400:
                raise invalid("The `api-version` is not supported.", "api-version")
            raise UnauthorizedError
        found = match(request.method, path)
        if found is None:
            raise ApiError(404, "NotFound", "There is no such call.")
        if not found.call:
            response = _error_response(ApiError(405, "SessionRequestNotSupported", "The method is not supported."))
            response.headers["allow"] = ", ".join(found.allowed)
            return response
        if found.call in _CURRENT_ONLY and not version:
            raise invalid("The `api-version` query parameter is required.", "api-version")
        call = Call(self, self._pool, request, query, version, found)
        handler: Callable[[], Awaitable[Response]] = getattr(call, found.call)
        return await handler()

    def _check_token(self, headers: Headers) -> None:
        # Any number of spaces: the tutorial's own requests have two.
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            raise UnauthorizedError

    def location(self, call: Match, query: dict[str, str]) -> str:
        """Say where an execution can be asked for."""
        return f"{self._endpoint}{call.prefix}/executions/{quote(call.name, safe='')}?{urlencode(query)}"

    @property
    def node_version(self) -> str:
        """The version that the sessions run."""
        return self._node_version


class Call:
    """One admitted request; each public method is one call of the API."""

    def __init__(
        self, app: PoolApp, pool: SessionPool, request: Request, query: dict[str, str], version: str, found: Match
    ) -> None:
        self._app = app
        self._pool = pool
        self._request = request
        self._query = query
        self._version = version
        self._found = found
        self._behaviour = app.behaviour
        self._newest = version == NEWEST
        self._legacy = version in _LEGACY_VERSIONS

    # --- executions ---

    async def execute_legacy(self) -> Response:
        """Run code; the older family's call."""
        wish = await self._read_wish(wrapped=True)
        timing = _Timing()
        session = self._allocate_for_run(timing)
        result = await self._run(session, wish, self._record(session, wish))
        body = shapes.legacy_execution(result, failure_word=self._behaviour.failure_word)
        return _json(body, headers=timing.headers(session, result))

    async def execute(self) -> Response:
        """Run code, and wait for its end or not."""
        operation_id = self._request.headers.get("operation-id")
        if operation_id and _OPERATION_ID.fullmatch(operation_id) is None:
            raise invalid("The `operation-id` header is not a usable name.", "operation-id")
        wish = await self._read_wish(wrapped=False)
        timing = _Timing()
        session = self._allocate_for_run(timing)
        execution = self._record(session, wish, name=operation_id or str(uuid.uuid4()))
        headers = {}
        if wish.is_asynchronous:
            execution.task = asyncio.ensure_future(self._run_unattended(session, wish, execution))
        else:
            result = await self._run(session, wish, execution)
            headers = timing.headers(session, result)
        if wish.is_asynchronous or self._newest:
            query = {"api-version": self._version, "identifier": session.identifier}
            place = Match(name=execution.name, prefix=self._found.prefix)
            headers |= {"operation-id": execution.name, "operation-location": self._app.location(place, query)}
        status = 200 if self._newest else 202
        return _json(_shape(session, execution), status=status, headers=headers)

    async def _read_wish(self, *, wrapped: bool) -> ExecuteRequest:
        return read_execute_request(
            await _read_body(self._request, MAX_JSON_BYTES),
            wrapped=wrapped,
            has_output_limit=self._newest,
            refuses_long_limits=self._behaviour.long_limits == "refused",
        )

    def _allocate_for_run(self, timing: _Timing) -> Session:
        session = self._allocate(timing)
        if session.running and self._behaviour.runs_at_once == "refused":
            raise ApiError(409, "ExecutionInProgress", "Another execution of the session is under way.")
        return session

    def _record(self, session: Session, wish: ExecuteRequest, *, name: str = "") -> Execution:
        execution = Execution(wish.code, wish.execution_type, name)
        session.executions.add(execution)
        return execution

    async def _run(self, session: Session, wish: ExecuteRequest, execution: Execution) -> Result:
        try:
            outcome = await session.run(wish.code, timeout=wish.timeout)
            if outcome.ending == "exited" and self._behaviour.exit == "hangs":
                await asyncio.sleep(max(0.0, wish.timeout - outcome.seconds))
                outcome.seconds = wish.timeout
        except (KernelStartError, OSError) as error:
            words = (isinstance(error, OSError) and error.strerror) or str(error)
            session.executions.finish(execution, Result(False, stdout="", stderr=words, value="", milliseconds=0))
            raise
        result = word_outcome(outcome, encoding=self._behaviour.values, output_limit=wish.output_limit)
        session.executions.finish(execution, result)
        return result

    async def _run_unattended(self, session: Session, wish: ExecuteRequest, execution: Execution) -> None:
        # Whoever asks for the run later is told how it failed.
        with suppress(KernelStartError, OSError):
            await self._run(session, wish, execution)

    async def get_execution(self) -> Response:
        """Show an execution, finished or not."""
        session = self._existing()
        execution = session.executions.find(self._found.name)
        if execution is None:
            message = f"No execution available for operation Id: {self._found.name}"
            raise ApiError(404, "ExecutionNotFound", message)
        return _json(_shape(session, execution))

    # --- files ---

    async def list_files(self) -> Response:
        """List a folder; an unknown session is allocated, as on the service."""
        folder = self._folder()
        recursive = self._query.get("recursive", "false").lower() if self._newest else "false"
        if recursive not in ("true", "false"):
            raise invalid("The `recursive` query parameter is neither true nor false.", "recursive")
        session = self._allocate()

        def word() -> str:
            entries = session.files.list(folder, recursive=recursive == "true")
            listed = shapes.legacy_files(entries) if self._legacy else shapes.listed_files(entries, newest=self._newest)
            return _encode_list(listed)

        try:
            content = await asyncio.to_thread(word)
        except OSError:
            raise ApiError(404, "FileNotFound", "The directory does not exist.") from None
        return Response(content, media_type=_JSON)

    async def get_file(self) -> Response:
        """Describe one file."""
        name, folder = file_names.read_existing_name(self._found.name), self._folder()
        session = self._allocate()
        try:
            entry = await asyncio.to_thread(session.files.stat, folder, name)
        except (OSError, UnicodeError):
            raise _missing(name) from None
        return _json(shapes.legacy_file(entry) if self._legacy else shapes.single_file(entry, newest=self._newest))

    async def download(self) -> Response:
        """Send a file's content, never more of it in memory than a chunk."""
        name, folder = file_names.read_existing_name(self._found.name), self._folder()
        session = self._allocate()
        try:
            file, size = await asyncio.to_thread(session.files.open, folder, name)
        except (OSError, UnicodeError):
            raise _missing(name) from None
        return _Download(file, size)

    async def delete_file(self) -> Response:
        """Delete one file."""
        name, folder = file_names.read_existing_name(self._found.name), self._folder()
        session = self._allocate()
        try:
            await asyncio.to_thread(session.files.delete, folder, name)
        except (OSError, UnicodeError):
            raise ApiError(404, "DeleteFileError", f"File '{_printable(name)}' could not be deleted.") from None
        return Response(status_code=204)

    async def upload(self) -> Response:
        """Take a file."""
        return _json(shapes.uploaded_file(await self._upload(), newest=self._newest))

    async def upload_legacy(self) -> Response:
        """Take a file; the older family's call."""
        return _json(shapes.legacy_files([await self._upload()]))

    async def _upload(self) -> FileEntry:
        folder = self._folder()
        identifier = self._identifier()
        upload = await _read_upload(self._request)
        try:
            below, name = file_names.read_upload_name(upload.filename or "")
            session = self._pool.allocate(identifier)
            return await asyncio.to_thread(self._place, session, upload.file, (*folder, *below), name)
        finally:
            upload.file.close()

    def _place(self, session: Session, content: BinaryIO, folder: tuple[str, ...], name: str) -> FileEntry:
        staged = _stage(content, self._pool.uploads)
        try:
            if self._behaviour.uploads_again == "refused" and session.files.has(folder, name):
                raise ApiError(409, "FileAlreadyExists", f"File '{name}' already exists.")
            return session.files.place(staged, folder, name)
        except OSError as error:
            raise ApiError(400, "FileNameInvalid", f"File '{name}' could not be written: {error.strerror}.") from None
        finally:
            staged.unlink(missing_ok=True)

    # --- sessions ---

    async def get_session(self) -> Response:
        """Show a session's dates; asking allocates nothing and does not count as use."""
        return _json(self._describe(self._existing()))

    async def delete_session(self) -> Response:
        """End a session."""
        session = self._existing()
        await self._pool.delete(session.identifier)
        return Response(status_code=204)

    async def list_sessions(self) -> Response:
        """List the sessions, page by page."""
        text = self._query.get("skip", "0")
        if re.fullmatch(r"[0-9]{1,10}", text) is None or int(text) >= 2**31:
            raise invalid("The `skip` query parameter is not an offset.", "skip")
        skip = int(text)
        sessions = self._pool.list()
        page = sessions[skip : skip + _SESSIONS_PER_PAGE]
        body: dict[str, Any] = {"sessions": [self._describe(session) for session in page]}
        if skip + len(page) < len(sessions):
            query = urlencode({"api-version": self._version, "skip": skip + len(page)})
            body["nextLink"] = f"{self._request.url.replace(query=query)}"
        return _json(body)

    async def get_metadata(self) -> Response:
        """Say what the sessions run."""
        return _json(shapes.metadata(self._app.node_version, self._pool.created))

    # --- the inspector page, which only looks ---

    async def inspect_pool(self) -> Response:
        """Show the pool and its sessions."""
        return _json(inspector.describe_pool(self._pool, self._app.node_version))

    async def inspect_runs(self) -> Response:
        """List the runs of a session."""
        return _json(inspector.list_runs(self._existing()))

    async def inspect_run(self) -> Response:
        """Show one run, or the whole of one of its texts."""
        session, number = self._existing(), self._found.name
        execution = session.executions.numbered(int(number)) if re.fullmatch("[0-9]{1,10}", number) else None
        if execution is None:
            raise ApiError(404, "ExecutionNotFound", "The run is not remembered any more.")
        part = self._query.get("part")
        if part is None:
            return _json(inspector.describe_run(execution))
        text = inspector.texts(execution).get(part)
        if text is None:
            raise ApiError(404, "ExecutionNotFound", "The run has no such text.")
        return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")

    async def refuse_management(self) -> Response:
        """Refuse a call that only custom container pools have."""
        raise ApiError(400, "SessionRequestNotSupported", "The call is not supported for this kind of session pool.")

    def _describe(self, session: Session) -> dict[str, Any]:
        accessed = time.time() if session.running else session.accessed
        return shapes.session(session.identifier, session.guid, session.created, accessed, self._pool.cooldown)

    # --- what the query names ---

    def _identifier(self) -> str:
        identifier = file_names.read_identifier(self._query.get("identifier"))
        return identifier.lower() if self._behaviour.identifiers == "case-insensitive" else identifier

    def _allocate(self, timing: _Timing | None = None) -> Session:
        if self._found.is_looking:
            return self._existing()
        session = self._pool.allocate(self._identifier())
        if timing is not None:
            timing.allocated()
        return session

    def _existing(self) -> Session:
        identifier = self._identifier()
        session = self._pool.find(identifier)
        if session is None:
            raise no_session(identifier)
        return session

    def _folder(self) -> tuple[str, ...]:
        if self._found.is_looking:
            return file_names.read_existing_folder(self._query.get("path", ""))
        return file_names.read_folder(self._query.get("path"))


def _shape(session: Session, execution: Execution) -> dict[str, Any]:
    return shapes.execution(execution.name, session.identifier, execution.execution_type, execution.result)


def _check_origin(headers: Headers) -> None:
    # A page in a browser must not reach the pool, by a name of its own that leads here or by a request across.
    if _LOOPBACK.fullmatch(headers.get("host", "")) is None:
        raise ApiError(403, "HostNotAllowed", "The pool answers to loopback names only.")
    origin = headers.get("origin")
    if origin is not None and _LOOPBACK.fullmatch(_network_location(origin)) is None:
        raise ApiError(403, "OriginNotAllowed", "The pool does not answer to other origins.")


class _Download(StreamingResponse):
    """The content of a file, which is closed however the transfer ends."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        headers = {"content-length": str(size)}
        super().__init__(chunks(file, size), media_type="application/octet-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


class _Timing:
    """The durations that the service tells in headers, decimal milliseconds."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._allocated = self._started

    def allocated(self) -> None:
        self._allocated = time.perf_counter()

    def headers(self, session: Session, result: Result) -> dict[str, str]:
        now = time.perf_counter()
        run = str(result.milliseconds)
        return {
            "x-ms-allocation-retries": "0",
            "x-ms-allocation-time": f"{(self._allocated - self._started) * 1000:.4f}",
            "x-ms-container-execution-duration": run,
            "x-ms-execution-read-response-time": "0",
            "x-ms-execution-request-time": run,
            "x-ms-overall-execution-time": f"{(now - self._allocated) * 1000:.4f}",
            "x-ms-preparation-time": "0",
            "x-ms-session-guid": session.guid,
            "x-ms-total-execution-service-time": f"{(now - self._started) * 1000:.4f}",
        }


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(body), status_code=status, headers=headers, media_type=_JSON)


_JSON = "application/json; charset=utf-8"


def _encode(body: Any) -> str:
    # Only ASCII leaves: so a lone surrogate in a run's output is harmless.
    return json.dumps(body, ensure_ascii=True, separators=(",", ":"))


def _encode_list(body: dict[str, Any]) -> str:
    """Encode a body with a `value` of perhaps hundreds of thousands of entries, one by one.

    The encoder lets no other thread run before it is done, and with it nobody else's call would be answered.
    """
    values = [_encode(value) for value in body["value"]]
    before, _, after = _encode({**body, "value": []}).partition('"value":[')
    return f'{before}"value":[{",".join(values)}{after}'


def _error_response(error: ApiError) -> Response:
    body = error.body()
    if body is None:
        return Response(status_code=error.status)
    response = _json(body, status=error.status)
    if isinstance(error, PoolFullError) and error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    if error.code:
        response.headers["x-ms-error-code"] = error.code
    else:
        response.headers["content-type"] = "application/problem+json; charset=utf-8"
    return response


def _missing(name: str) -> ApiError:
    return ApiError(404, "FileNotFound", f"File '{_printable(name)}' does not exist.")


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _query_string(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _network_location(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


class _BodyTooLargeError(MultiPartException):
    """The body is over its limit. The multipart parser closes its files for errors of this kind only."""


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _BodyTooLargeError("announced")
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _BodyTooLargeError("received")
        yield chunk


async def _read_body(request: Request, limit: int) -> bytes:
    try:
        return b"".join([chunk async for chunk in _bounded(request, limit)])
    except _BodyTooLargeError:
        raise too_large(limit) from None


async def _read_upload(request: Request) -> UploadFile:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise invalid("The request is not a multipart form.", "file")
    body = _bounded(request, MAX_UPLOAD_BYTES + _MULTIPART_BYTES)
    try:
        form = await MultiPartParser(request.headers, body, max_files=1, max_fields=10).parse()
    except _BodyTooLargeError:
        raise too_large(MAX_UPLOAD_BYTES) from None
    except (MultiPartException, KeyError, ValueError) as error:
        raise invalid(f"The multipart form can't be read: {error}.", "file") from None
    for value in form.values():
        if isinstance(value, UploadFile):
            if (value.size or 0) > MAX_UPLOAD_BYTES:
                value.file.close()
                raise too_large(MAX_UPLOAD_BYTES)
            return value
    raise invalid("The multipart form has no file.", "file")


def _stage(content: BinaryIO, directory: Path) -> Path:
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as staged:
        while chunk := content.read(_DOWNLOAD_CHUNK_BYTES):
            staged.write(chunk)
    path = Path(staged.name)
    path.chmod(0o644)
    return path
