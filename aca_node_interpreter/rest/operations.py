"""Every call of the session pool's data plane as a value: what is sent and how the answer is read.

Nothing is sent here. Both API families stand side by side: they describe the same calls, and the api-version decides
which description is used. `2025-10-02-preview` is the default because it is the newest with a public swagger and the
only one that lists directories below `/mnt/data` and lets a caller raise the 4,096-byte cut of the output streams.
What the older family never had (asynchronous runs, sessions, metadata) is asked for in the newer one: the service
answers both on every pool, and the path, not the version, picks the shape.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, Any, Generic, Literal, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from aca_node_interpreter.errors import (
    MAY_HAVE_RUN,
    AcaNodeError,
    ConfigurationError,
    InvalidFileNameError,
    MalformedResponseError,
    PayloadTooLargeError,
)
from aca_node_interpreter.secrecy import StaysHere

from . import untrusted_json
from .endpoint import checked_identifier
from .failures import error_for
from .models import (
    MAX_RUN_SECONDS,
    MAX_UPLOAD_BYTES,
    Execution,
    PoolMetadata,
    RemoteFile,
    SessionInfo,
    Status,
    timings_in,
)

T = TypeVar("T")
E = TypeVar("E", bound=AcaNodeError)

CodeInputType = Literal["Inline", "InlineText", "InlineBase64"]
ExecutionType = Literal["Synchronous", "Asynchronous"]

CURRENT_API = "2025-10-02-preview"
LEGACY_API = "2024-02-02-preview"
TUTORIAL_API = ""
"""The older family without any api-version, as Azure's NodeLTS tutorial calls it."""

DEFAULT_OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of each output stream to ask for; the service cuts at 4,096 when not asked. Its upper limit is not public."""

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""The largest answer that is read; both output streams of a run fit in, at the most that is asked for."""

# A call that neither runs code nor carries a file answers within this many seconds, allocation of a session included.
_PLAIN_WAIT = 60.0
_UPLOAD_WAIT = 300.0
# A file's bytes come one after the other; when none came for so long, the connection is dead.
_DOWNLOAD_WAIT = 60.0
# Azure's recordings show up to 2.5 s for an allocation; a run's answer may also wait behind another run.
_RUN_MARGIN = 30.0

# From Azure's documentation of the file calls; letters and signs beyond ASCII are allowed too.
_FILE_NAME = re.compile(r"[A-Za-z0-9\-_ .@$&=;,#%^()\u0080-\ud7ff\ue000-\U0010ffff]+")


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Parse the body.

        Raises:
            MalformedResponseError: it is not JSON, or has no end of values.
        """
        try:
            return untrusted_json.loads(self.content)
        except ValueError:
            pass  # the error holds the answer, and would go with ours
        raise MalformedResponseError(
            "The answer is not JSON, or more than a session pool answers: the endpoint, or a network that asks you to "
            "sign in, leads to something else. Check both."
        )


@dataclass(frozen=True)
class Upload:
    """A file to send, whole or as an open binary file that is read while it is sent."""

    name: str
    content: bytes | IO[bytes]


@dataclass(frozen=True)
class Operation(StaysHere, Generic[T]):
    """One call: what to send and how to read the answer."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """Below the pool's endpoint, percent-encoded."""
    read: Callable[[Reply], T]
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """It has the session's identifier in it, which is a key."""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    upload: Upload | None = field(default=None, repr=False)
    wait: float = _PLAIN_WAIT
    """Seconds that the service may take before it answers, and then between two pieces of the answer."""
    max_bytes: float = MAX_ANSWER_BYTES
    """How large the answer may be when it is read into memory."""
    replayable: bool = True
    """Whether sending it twice does what sending it once does."""
    runs_code: bool = False
    takes: float = 0.0
    """Seconds that must be left when it is sent: a run's limit."""

    @property
    def target(self) -> str:
        """The path and query to call, percent-encoded."""
        # A path that is no valid Unicode (a session may list one) is simply not found.
        pairs = "&".join(f"{quote(k, safe='')}={quote(v, safe='', errors='replace')}" for k, v in self.query)
        return f"{self.path}?{pairs}" if pairs else self.path

    @property
    def content(self) -> bytes | None:
        """The JSON body; ASCII only, so that text which is no valid Unicode (lone surrogates) arrives as it is."""
        return None if self.body is None else json.dumps(self.body).encode("ascii")

    def finish(self, reply: Reply) -> T:
        """Read the answer; any 2xx is success (the service has used 200, 202 and 204 for the same call).

        Raises:
            ServiceError: the status is no success; the subclass says which kind.
            MalformedResponseError: the body is not what this call answers.
        """
        if not 200 <= reply.status < 300:
            error = error_for(reply.status, reply.headers, reply.content, hide=dict(self.query))
            raise self.doubted(error) if reply.status >= 500 else error
        try:
            return self.read(reply)
        except MalformedResponseError as malformed:
            raise self.doubted(malformed)  # noqa: B904  # it is the same one

    def doubted(self, error: E) -> E:
        """Return an error that came after the call was sent, having noted whether it leaves code in doubt."""
        error.ran = None if self.runs_code else False
        if self.runs_code:
            error.args = (f"{error} {MAY_HAVE_RUN}",)
        return error


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list."""

    items: list[T]
    next_query: tuple[tuple[str, str], ...] = ()
    """What to add to the query for the next part; empty on the last one."""

    @classmethod
    def of(cls, items: list[T], body: object) -> Page[T]:
        """Build a page from its body; only the query of `nextLink` counts, so that no token follows a foreign link."""
        links = [body[key] for key in body if key.lower() == "nextlink"] if isinstance(body, Mapping) else []
        pairs = parse_qsl(_split(links[0]).query) if links and isinstance(links[0], str) else []
        return cls(items, tuple((k, v) for k, v in pairs if k.lower() not in ("identifier", "api-version")))


@dataclass(frozen=True)
class SessionCalls(StaysHere):
    """The calls on one session, in the API family that `api_version` belongs to.

    Raises:
        ConfigurationError: the service takes no such session identifier.
    """

    session_id: str = field(repr=False)
    api_version: str = CURRENT_API
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    def __post_init__(self) -> None:
        checked_identifier(self.session_id)

    @property
    def is_legacy(self) -> bool:
        """Tell whether the api-version belongs to the older family (`/code/execute`, wrapped bodies)."""
        return self.api_version < "2024-10"

    def execute(
        self,
        code: str,
        *,
        code_input_type: CodeInputType = "Inline",
        execution_type: ExecutionType = "Synchronous",
        timeout: float = 60,
        output_limit: int = DEFAULT_OUTPUT_LIMIT,
    ) -> Operation[Execution]:
        """Run code. `timeout` is in seconds, `output_limit` in bytes for each of stdout and stderr.

        Raises:
            ConfigurationError: there is no code, or the timeout is not between 1 and 220 seconds.
        """
        if not code.strip():
            raise ConfigurationError("There is no code to run.")
        request: dict[str, Any] = {
            "codeInputType": code_input_type,
            "executionType": execution_type,
            "code": code,
            "timeoutInSeconds": math.ceil(checked_timeout(timeout)),
        }
        legacy = self.is_legacy and execution_type == "Synchronous"
        if legacy:
            request = {"properties": {"identifier": self.session_id, **request}}
        elif self._current_version >= "2025-10":
            request["outputStreamsMaxLength"] = output_limit
        return Operation(
            "POST",
            "/code/execute" if legacy else "/executions",
            _started if execution_type == "Asynchronous" else _execution,
            query=self._query(legacy=legacy),
            body=request,
            wait=math.ceil(timeout) + _RUN_MARGIN,
            takes=math.ceil(timeout),
            replayable=False,
            runs_code=True,
        )

    def get_execution(self, execution_id: str) -> Operation[Execution]:
        """Ask for an execution by its id."""
        return Operation(
            "GET",
            f"/executions/{quote(execution_id, safe='', errors='replace')}",
            _execution,
            query=self._query(legacy=False),
        )

    def list_files(self, path: str = "", *, recursive: bool = False) -> Operation[Page[RemoteFile]]:
        """List a directory below `/mnt/data`, with `recursive` (newer family only) also what lies below it."""
        if recursive and self.api_version < "2025-10":
            raise ConfigurationError(f"Listing below a directory needs api_version={CURRENT_API!r}.")
        directory = "" if recursive else _below_data(path)

        def read(reply: Reply) -> Page[RemoteFile]:
            body = reply.json()
            return Page.of(RemoteFile.list_from_json(body, directory=directory), body)

        query = self._query(path=path, recursive="true" if recursive else None)
        return Operation("GET", "/files", read, query=query)

    def upload_file(self, upload: Upload, *, path: str | None = None) -> Operation[RemoteFile]:
        """Send a file into a directory below `/mnt/data`; one of the same name is replaced.

        Raises:
            InvalidFileNameError: the service has no such names.
            PayloadTooLargeError: it is over 128 MB, the service's limit, or over `max_upload_bytes`; nothing was sent.
        """
        _check_file_name(upload.name)
        size = size_of(upload.content)
        most = min(self.max_upload_bytes, MAX_UPLOAD_BYTES)
        if size is not None and size > most:
            who = "a session pool takes" if most == MAX_UPLOAD_BYTES else "the policy allows"
            raise PayloadTooLargeError(
                f"{upload.name!r} has {size:,} bytes; {who} at most {most:,}. "
                "Split or compress it, or let the code fetch it from where it lies.",
                status=413,
            )
        directory = _below_data(path or "")
        return Operation(
            "POST",
            "/files/upload" if self.is_legacy else "/files",
            lambda reply: RemoteFile.from_json(reply.json(), directory=directory),
            query=self._query(path=path),
            upload=upload,
            wait=_UPLOAD_WAIT,
            # What was read from a stream that can't be rewound is gone.
            replayable=size is not None,
        )

    def get_file(self, name: str, *, path: str | None = None) -> Operation[RemoteFile]:
        """Ask for a file's size and date."""
        directory = _below_data(path or "")
        return Operation(
            "GET",
            f"/files/{_quoted_name(name)}",
            lambda reply: RemoteFile.from_json(reply.json(), directory=directory),
            query=self._query(path=path),
        )

    def download_file(self, name: str, *, path: str | None = None) -> Operation[bytes]:
        """Fetch a file's bytes."""
        quoted = _quoted_name(name)
        return Operation(
            "GET",
            f"/files/content/{quoted}" if self.is_legacy else f"/files/{quoted}/content",
            partial(_file_content, name),
            query=self._query(path=path),
            wait=_DOWNLOAD_WAIT,
            max_bytes=math.inf,
        )

    def delete_file(self, name: str, *, path: str | None = None) -> Operation[None]:
        """Delete a file."""
        return Operation("DELETE", f"/files/{_quoted_name(name)}", _nothing, query=self._query(path=path))

    def get_session(self) -> Operation[SessionInfo]:
        """Ask when the session was made, last used and will expire."""
        return Operation(
            "GET",
            "/session",
            lambda reply: SessionInfo.from_json(reply.json()),
            query=self._query(legacy=False),
        )

    def delete_session(self) -> Operation[None]:
        """End the session: its variables and files are gone, the identifier then means a new one."""
        return Operation("DELETE", "/session", _nothing, query=self._query(legacy=False))

    def list_sessions(self, *, skip: int = 0) -> Operation[Page[SessionInfo]]:
        """List the pool's sessions."""

        def read(reply: Reply) -> Page[SessionInfo]:
            body = reply.json()
            return Page.of(SessionInfo.list_from_json(body), body)

        query = (("api-version", self._current_version), ("skip", str(skip)))
        return Operation("GET", "/listSessions", read, query=query)

    def get_metadata(self) -> Operation[PoolMetadata]:
        """Ask what runs in the pool."""
        return Operation(
            "GET",
            "/metadata",
            lambda reply: PoolMetadata.from_json(reply.json()),
            query=(("api-version", self._current_version),),
        )

    @property
    def _current_version(self) -> str:
        return CURRENT_API if self.is_legacy else self.api_version

    def _query(self, *, legacy: bool | None = None, **extra: str | None) -> tuple[tuple[str, str], ...]:
        """Build a query; `legacy=False` for what only the newer family has."""
        version = self._current_version if legacy is False else self.api_version
        pairs = {"identifier": self.session_id, "api-version": version or None, **extra}
        return tuple((key, value) for key, value in pairs.items() if value is not None)


def checked_timeout(seconds: float) -> float:
    """Return a run's time limit if the service takes it.

    Raises:
        ConfigurationError: it is not above 0 and at most 220 seconds.
    """
    if not 0 < seconds <= MAX_RUN_SECONDS:
        raise ConfigurationError(
            f"The timeout must be above 0 and at most {MAX_RUN_SECONDS} seconds, the service's limit for a run."
        )
    return seconds


def all_pages(first: Operation[Page[T]], *, most: int = 1000) -> Generator[Operation[Page[T]], Page[T], list[T]]:
    """Follow a list to its end: yields each call, takes its page, returns all items.

    Raises:
        MalformedResponseError: it has none, or none within `most` pages.
    """
    items: list[T] = []
    operation = first
    seen: set[tuple[tuple[str, str], ...]] = set()
    for _ in range(most):
        page = yield operation
        items += page.items
        if not page.next_query:
            return items
        if page.next_query in seen:
            break
        seen.add(page.next_query)
        query = dict(first.query) | dict(page.next_query)
        operation = replace(first, query=tuple(query.items()))
    raise MalformedResponseError("The session pool's list does not come to an end.")


def _execution(reply: Reply) -> Execution:
    return replace(Execution.from_json(reply.json()), timings=timings_in(reply.headers))


def _started(reply: Reply) -> Execution:
    """Read the answer to an asynchronous start, which may be in headers only."""
    named = reply.headers.get("operation-id") or _split(reply.headers.get("operation-location", "")).path.split("/")[-1]
    execution = _execution(reply) if reply.content.strip() else Execution(Status.NOT_STARTED)
    execution = execution if execution.id else replace(execution, id=named)
    if not execution.id and not execution.status.is_final:
        raise MalformedResponseError("The session pool started the code but did not say how to ask for its result.")
    return execution


def _split(url: str) -> SplitResult:
    """Take a URL apart that the service sent.

    Raises:
        MalformedResponseError: it is none.
    """
    try:
        return urlsplit(url)
    except ValueError:
        raise MalformedResponseError("The session pool sent a link that is none: check the endpoint.") from None


def _file_content(name: str, reply: Reply) -> bytes:
    """Return a file's bytes; the service sends all files as octets, and what stands in between sends pages."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not name.lower().endswith((".html", ".htm")):
        raise MalformedResponseError(
            "A web page came instead of the file: the endpoint, or a network that asks you to sign in, leads to "
            "something other than a session pool. Check both."
        )
    return reply.content


def _nothing(reply: Reply) -> None:
    """Ignore the body: the service has answered deletions with nothing and with a message."""


def size_of(content: bytes | IO[bytes]) -> int | None:
    """Tell how many bytes are still to be read, or `None` if only reading tells."""
    if isinstance(content, bytes):
        return len(content)
    try:
        here = content.tell()
        end = content.seek(0, os.SEEK_END)
        content.seek(here)
    except (OSError, ValueError, AttributeError):
        return None
    return end - here


def _check_file_name(name: str) -> None:
    if name in (".", "..") or not _FILE_NAME.fullmatch(name):
        raise InvalidFileNameError(
            f"The session pool takes no file named {name!r}: use letters, digits, spaces and "
            "- _ . @ $ & = ; , # % ^ ( ); `path` is for a directory, and `name` sends a file under another name."
        )


def _quoted_name(name: str) -> str:
    """Encode a name for the path. What code wrote may have names that an upload could not have."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise InvalidFileNameError(f"{name!r} is not the name of a file; name its directory with `path`.")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise InvalidFileNameError("The file's name is no valid Unicode.") from None


def _below_data(path: str) -> str:
    """Return a directory relative to `/mnt/data`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(parts[2:] if parts[:2] == ["mnt", "data"] and path.startswith("/") else parts)
