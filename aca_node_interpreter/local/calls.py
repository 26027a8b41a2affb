"""The calls of the API: what each one does, once it is known who asks for what."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from contextlib import suppress
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from . import file_names, inspector, shapes
from .answers import JSON, Download, Timing, encode_list, json_response
from .api_errors import ApiError, invalid, no_session
from .bodies import read_body, read_upload, received, stage
from .execute_request import ExecuteRequest, read_execute_request
from .executions import Execution
from .files import FileEntry
from .kernel import KernelStartError
from .pool import SessionPool
from .results import Result, word_outcome
from .routing import LEGACY_VERSIONS, NEWEST, Match
from .session import Session

_SESSIONS_PER_PAGE = 300
# What a header can carry back.
_OPERATION_ID = re.compile(r"[\x20-\x7e\xa0-\xff]{1,256}")


class Call:
    """One admitted request; each public method is one call of the API."""

    def __init__(
        self, pool: SessionPool, endpoint: str, request: Request, query: dict[str, str], version: str, found: Match
    ) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._request = request
        self._query = query
        self._version = version
        self._found = found
        self._behaviour = pool.behaviour
        self._newest = version == NEWEST
        self._legacy = version in LEGACY_VERSIONS

    @property
    def session(self) -> Session | None:
        """The session that the query names, if there is one."""
        try:
            return self._existing()
        except ApiError:
            return None

    async def receive(self) -> None:
        """Read the request to its end; the call then needs its caller no more."""
        self._request = await received(self._request)

    # --- executions ---

    async def execute_legacy(self) -> Response:
        """Run code; the older family's call."""
        wish = await self._read_wish(wrapped=True)
        timing = Timing()
        session = self._allocate_for_run(timing)
        result = await self._run(session, wish, self._record(session, wish))
        body = shapes.legacy_execution(result, failure_word=self._behaviour.failure_word)
        return json_response(body, headers=timing.headers(session.guid, result))

    async def execute(self) -> Response:
        """Run code, and wait for its end or not."""
        operation_id = self._request.headers.get("operation-id")
        if operation_id and _OPERATION_ID.fullmatch(operation_id) is None:
            raise invalid("The `operation-id` header is not a usable name.", "operation-id")
        wish = await self._read_wish(wrapped=False)
        timing = Timing()
        session = self._allocate_for_run(timing)
        execution = self._record(session, wish, name=operation_id or str(uuid.uuid4()))
        headers = {}
        if wish.is_asynchronous:
            execution.task = asyncio.ensure_future(self._run_unattended(session, wish, execution))
        else:
            result = await self._run(session, wish, execution)
            headers = timing.headers(session.guid, result)
        if wish.is_asynchronous or self._newest:
            path = f"{self._found.prefix}/executions/{quote(execution.name, safe='')}"
            query = f"api-version={self._version}&identifier={quote(session.identifier, safe='')}"
            location = f"{self._endpoint}{path}?{query}"
            headers |= {"operation-id": execution.name, "operation-location": location}
        status = 200 if self._newest else 202
        return json_response(_shape(session, execution), status=status, headers=headers)

    async def _read_wish(self, *, wrapped: bool) -> ExecuteRequest:
        return read_execute_request(
            await read_body(self._request),
            wrapped=wrapped,
            has_output_limit=self._newest,
            refuses_long_limits=self._behaviour.long_limits == "refused",
        )

    def _allocate_for_run(self, timing: Timing) -> Session:
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
        return json_response(_shape(session, execution))

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
            return encode_list(listed)

        try:
            content = await asyncio.to_thread(word)
        except OSError:
            raise ApiError(404, "FileNotFound", "The directory does not exist.") from None
        return Response(content, media_type=JSON)

    async def get_file(self) -> Response:
        """Describe one file."""
        name, folder = file_names.read_existing_name(self._found.name), self._folder()
        session = self._allocate()
        try:
            entry = await asyncio.to_thread(session.files.stat, folder, name)
        except (OSError, UnicodeError):
            raise _missing(name) from None
        return json_response(
            shapes.legacy_file(entry) if self._legacy else shapes.single_file(entry, newest=self._newest)
        )

    async def download(self) -> Response:
        """Send a file's content, never more of it in memory than a chunk."""
        name, folder = file_names.read_existing_name(self._found.name), self._folder()
        session = self._allocate()
        try:
            file, size = await asyncio.to_thread(session.files.open, folder, name)
        except (OSError, UnicodeError):
            raise _missing(name) from None
        return Download(file, size)

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
        return json_response(shapes.uploaded_file(await self._upload(), newest=self._newest))

    async def upload_legacy(self) -> Response:
        """Take a file; the older family's call."""
        return json_response(shapes.legacy_files([await self._upload()]))

    async def _upload(self) -> FileEntry:
        folder = self._folder()
        identifier = self._identifier()
        upload = await read_upload(self._request)
        try:
            below, name = file_names.read_upload_name(upload.filename or "")
            session = self._pool.allocate(identifier)
            return await asyncio.to_thread(self._place, session, upload.file, (*folder, *below), name)
        finally:
            upload.file.close()

    def _place(self, session: Session, content: BinaryIO, folder: tuple[str, ...], name: str) -> FileEntry:
        staged = stage(content, self._pool.uploads)
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
        return json_response(self._describe(self._existing()))

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
        return json_response(body)

    async def get_metadata(self) -> Response:
        """Say what the sessions run."""
        return json_response(shapes.metadata(self._pool.node_version, self._pool.created))

    # --- the inspector page, which only looks ---

    async def inspect_pool(self) -> Response:
        """Show the pool and its sessions."""
        return json_response(inspector.describe_pool(self._pool))

    async def inspect_runs(self) -> Response:
        """List the runs of a session."""
        return json_response(inspector.list_runs(self._existing()))

    async def inspect_run(self) -> Response:
        """Show one run, or the whole of one of its texts."""
        session, number = self._existing(), self._found.name
        execution = session.executions.numbered(int(number)) if re.fullmatch("[0-9]{1,10}", number) else None
        if execution is None:
            raise ApiError(404, "ExecutionNotFound", "The run is not remembered any more.")
        part = self._query.get("part")
        if part is None:
            return json_response(inspector.describe_run(execution))
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

    def _allocate(self, timing: Timing | None = None) -> Session:
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


def _missing(name: str) -> ApiError:
    return ApiError(404, "FileNotFound", f"File '{_printable(name)}' does not exist.")


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
