"""What the session pool's answers mean, as frozen values.

Reading is forgiving on purpose: the two API families, the recordings and the docs disagree about casing, wrappers and
missing keys, so every `from_json` takes what any of them sends. No I/O happens here.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from aca_node_interpreter.errors import MalformedResponseError

MAX_UPLOAD_BYTES = 128 * 1024 * 1024
"""The service answers 413 above this (Azure's documentation)."""

MAX_RUN_SECONDS = 220
"""The service ends every run after this many seconds (Azure's documentation)."""

SHOWN_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""Media types that a notebook is given to show; SVG and HTML are not among them: they can run a script."""


class Status(str, Enum):
    """How far an execution got. The older API family says `Success` and `Failure`."""

    NOT_STARTED = "NotStarted"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    def __str__(self) -> str:
        return self.value

    @property
    def is_final(self) -> bool:
        """Tell whether the execution is over."""
        return self not in (Status.NOT_STARTED, Status.RUNNING)


_STATUS_WORDS = {status.value.lower(): status for status in Status} | {
    "success": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "cancelled": Status.CANCELED,
    # Shell pools answer with the exit code as a string.
    "0": Status.SUCCEEDED,
}


# As in the recordings, which have them on runs only.
_TIMINGS = {
    f"x-ms-{name}": name.replace("-", "_")
    for name in (
        "allocation-time",
        "preparation-time",
        "execution-request-time",
        "execution-read-response-time",
        "container-execution-duration",
        "overall-execution-time",
        "total-execution-service-time",
    )
}


@dataclass(frozen=True)
class Image:
    """A picture that a run returned as its value, as `$$.png(...)` does."""

    format: str
    """Such as `png` or `jpeg`."""
    base64_data: str = field(repr=False)

    @property
    def media_type(self) -> str:
        """The MIME type, such as `image/png`."""
        return f"image/{self.format}"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Show it inline in a notebook, if it is a picture at all: format and data are what the session says."""
        try:
            content = b64decode("".join(self.base64_data.split()), validate=True)
        except (Base64Error, ValueError):
            content = b""
        if not content or self.media_type not in SHOWN_PICTURES:
            return {"text/plain": repr(self)}
        # Encoded again, since front ends put it into a page as it is.
        return {self.media_type: b64encode(content).decode("ascii")}


@dataclass(frozen=True)
class Execution:
    """One run of code and what came of it.

    A run whose code failed is still a result: `status` says so and `stderr` holds the error.
    """

    status: Status
    stdout: str = ""
    stderr: str = ""
    result: Any = ""
    """Value of the last expression: text as Node's `util.inspect` shows it, `""` for `undefined`, an `Image`, or
    whatever JSON the service sends; the hosted service's encoding is not public."""
    duration: float = 0.0
    """Seconds that the service measured for the code alone."""
    id: str = ""
    """Name of the execution; empty in the older API family."""
    timings: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    """Seconds that the service measured, by what it calls them: `allocation_time`, for one. It need not send any."""

    @property
    def output_bytes(self) -> int:
        """How many bytes of stdout and stderr there are."""
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in (self.stdout, self.stderr))

    @property
    def succeeded(self) -> bool:
        """Tell whether the code ran to its end without an error."""
        return self.status is Status.SUCCEEDED

    @classmethod
    def from_json(cls, data: object) -> Execution:
        """Read an execution in any of the shapes on record.

        Raises:
            MalformedResponseError: it has neither a status nor a result, or is no object at all.
        """
        outer = _unwrapped(data)
        inner = _lowered(outer.get("result"))
        body = inner if _is_result_object(inner) and not _is_result_object(outer) else outer
        value = body.get("executionresult", "") if body is inner else _legacy_value(outer)
        stderr = _text(body.get("stderr"))
        return cls(
            status=_status(outer, has_result=_is_result_object(body)),
            stdout=_text(body.get("stdout")),
            stderr=stderr or _error_text(outer.get("error")),
            result=_value(value),
            duration=_number(body.get("executiontimeinmilliseconds")) / 1000,
            id=_text(outer.get("id")),
        )


@dataclass(frozen=True)
class RemoteFile:
    """A file or directory in a session, below `/mnt/data`."""

    name: str
    size: int
    """Bytes; for a directory whatever the service says."""
    modified_at: datetime | None = None
    directory: str = ""
    """Where it lies below `/mnt/data`: `""` for the top, else such as `a/b`."""
    is_directory: bool = False
    content_type: str = ""

    @property
    def path(self) -> str:
        """The path below `/mnt/data`, such as `a/b/chart.png`."""
        return f"{self.directory}/{self.name}" if self.directory else self.name

    @classmethod
    def from_json(cls, data: object, *, directory: str = "") -> RemoteFile:
        """Read one file; `directory` is where a listing without that field was made.

        Raises:
            MalformedResponseError: it has no name, or is no object at all.
        """
        file = _unwrapped(data)
        if isinstance(items := file.get("value"), list) and items:
            file = _unwrapped(items[0])  # the older family answers an upload with a list of one
        name = file.get("name") or file.get("filename")
        if not isinstance(name, str) or not name:
            raise _malformed("The session pool named a file without a name.")
        where = _text(file.get("directory")).strip("/")
        return cls(
            name=name,
            size=int(_number(file.get("sizeinbytes", file.get("size")))),
            modified_at=parse_time(file.get("lastmodifiedat", file.get("lastmodifiedtime"))),
            directory=directory if where in ("", ".") else where.removeprefix("./"),
            is_directory=_text(file.get("type")).lower() == "directory",
            content_type=_text(file.get("contenttype")),
        )

    @classmethod
    def list_from_json(cls, data: object, *, directory: str = "") -> list[RemoteFile]:
        """Read a listing, wrapped in `value` or bare."""
        items = data if isinstance(data, list) else _lowered(data).get("value")
        if not isinstance(items, list):
            raise _malformed("The session pool's list of files is not a list.")
        return [cls.from_json(item, directory=directory) for item in items]


@dataclass(frozen=True)
class SessionInfo:
    """A session as `GET /session` shows it."""

    identifier: str = field(repr=False)
    created_at: datetime | None = None
    last_accessed_at: datetime | None = None
    expires_at: datetime | None = None
    etag: str = ""

    @classmethod
    def from_json(cls, data: object) -> SessionInfo:
        """Read a session."""
        session = _unwrapped(data)
        return cls(
            identifier=_text(session.get("identifier")),
            created_at=parse_time(session.get("createdat")),
            last_accessed_at=parse_time(session.get("lastaccessedat")),
            expires_at=parse_time(session.get("expireat", session.get("expiresat"))),
            etag=_text(session.get("etag")),
        )

    @classmethod
    def list_from_json(cls, data: object) -> list[SessionInfo]:
        """Read a list of sessions; custom pools call it `value`."""
        body = _lowered(data)
        items = body.get("sessions") or body.get("value") or []
        if not isinstance(items, list) or not {"sessions", "value"} & body.keys():
            raise _malformed("The session pool's list of sessions is not a list.")
        return [cls.from_json(item) for item in items]


@dataclass(frozen=True)
class PoolMetadata:
    """What runs in the pool, as `GET /metadata` tells it."""

    runtimes: dict[str, str] = field(default_factory=dict)
    """Versions by name, such as `{"node": "20.17.0"}`."""
    packages: dict[str, str] = field(default_factory=dict)
    """Preinstalled packages: versions by name."""
    kernel: str = ""
    """Name and version of the kernel."""

    @classmethod
    def from_json(cls, data: object) -> PoolMetadata:
        """Read a pool's metadata."""
        body = _unwrapped(data)
        kernel = _lowered(body.get("jupyterkernel"))
        return cls(
            runtimes=_versions(body.get("runtimes")),
            packages=_versions(body.get("preinstalledpackages")),
            kernel=f"{_text(kernel.get('name'))} {_text(kernel.get('version'))}".strip(),
        )


def timings_in(headers: Mapping[str, str]) -> dict[str, float]:
    """Read what the service measured of a run, from milliseconds in headers of an answer, into seconds."""
    return {
        _TIMINGS[name.lower()]: _number(value) / 1000 for name, value in headers.items() if name.lower() in _TIMINGS
    }


def parse_time(text: object) -> datetime | None:
    """Read an RFC 3339 time with any number of fractional digits (the service sends seven); `None` if it is none."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", _text(text).strip())
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    offset = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{seconds}.{(fraction or '')[:6]:0<6}{offset}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _malformed(words: str) -> MalformedResponseError:
    return MalformedResponseError(f"{words} Check the endpoint and the api-version.")


def _lowered(data: object) -> dict[str, Any]:
    """Return an object's items under lower-case keys, without the service's `$id` bookkeeping."""
    if not isinstance(data, Mapping):
        return {}
    return {str(key).lower(): value for key, value in data.items() if key != "$id"}


def _unwrapped(data: object) -> dict[str, Any]:
    """Return an object's items, taken out of the older family's `properties` wrapper if it has one."""
    if not isinstance(data, Mapping):
        raise _malformed("The session pool answered with something that is no object.")
    outer = _lowered(data)
    wrapped = outer.pop("properties", None)
    return {**outer, **_lowered(wrapped)} if isinstance(wrapped, Mapping) else outer


def _is_result_object(inner: dict[str, Any]) -> bool:
    """Tell the newer family's `result` object from a value (an image, say) that is an object too."""
    return bool(inner) and bool({"stdout", "stderr", "executionresult", "executiontimeinmilliseconds"} & inner.keys())


def _status(outer: dict[str, Any], *, has_result: bool) -> Status:
    """Read the status; where it is missing, what came tells."""
    word = _text(outer.get("status")).strip().lower()
    if word:
        return _STATUS_WORDS.get(word, Status.FAILED)
    if not has_result:
        raise _malformed("The session pool's answer to a run has neither a status nor a result.")
    return Status.FAILED if outer.get("error") else Status.SUCCEEDED


def _legacy_value(outer: dict[str, Any]) -> object:
    return outer["result"] if "result" in outer else outer.get("executionresult", "")


def _value(value: Any) -> Any:
    if value is None:
        return ""
    image = _lowered(value)
    if image.get("type") == "image" and isinstance(image.get("base64_data"), str):
        return Image(format=_text(image.get("format")) or "png", base64_data=image["base64_data"])
    return value


def _versions(items: object) -> dict[str, str]:
    rows = [_lowered(item) for item in items] if isinstance(items, list) else []
    return {_text(row.get("name")): _text(row.get("version")) for row in rows if row.get("name")}


def _error_text(error: object) -> str:
    if isinstance(error, str):
        return error
    body = _lowered(error)
    body = _lowered(body.get("error")) or body
    return ": ".join(part for part in (_text(body.get("code")), _text(body.get("message"))) if part)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> float:
    """Return a size or a time; 0 for what can't be one, such as a number below it or one that no disk could hold."""
    try:
        number = float(value)  # type: ignore[arg-type]  # anything else raises TypeError, which is caught
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if 0 <= number < 2**53 else 0.0
