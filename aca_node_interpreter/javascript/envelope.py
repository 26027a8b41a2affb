"""What the in-session runtime answers: one line of JSON at the end of what a run printed.

The runtime shares its process with code that nobody trusts, so all of it is hostile input: bounded, checked field by
field, and never believed about paths outside `/mnt/data`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, TypeVar

from aca_node_interpreter.errors import MalformedResponseError
from aca_node_interpreter.rest import untrusted_json
from aca_node_interpreter.rest.models import RemoteFile

T = TypeVar("T")

State = Literal["done", "running", "never", "none", "file"]
End = Literal["ok", "error", "exit", "timeout"]

MAX_RECORD_BYTES = 256 * 1024 * 1024
"""The largest record of a run that is fetched: 64 MB of output, as JSON, and some room."""
_MAX_ITEMS = 20_000
_MAX_CAUSES = 5
_MAX_NAME_BYTES = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class CodeError:
    """What the code threw."""

    name: str
    message: str
    stack: str = ""
    """Lines that begin with `at`: only what the code called, not the kernel and the runtime."""
    cell: int = 0
    """The run whose text it happened in; 0 where that is not known."""
    line: int = 0
    """In that run's text, from 1; 0 where that is not known."""
    column: int = 0
    source: str = ""
    """That line."""
    code: str = ""
    """Node.js's own code, such as `ERR_MODULE_NOT_FOUND`."""
    own: str = ""
    """Properties that the code gave the error, as `util.inspect` shows them."""
    cause: CodeError | None = None
    errors: tuple[CodeError, ...] = ()
    """Those that an `AggregateError` holds."""

    @classmethod
    def from_json(cls, data: object, depth: int = 0) -> CodeError:
        """Read an error."""
        error = _object(data)
        below = depth + 1
        cause = error.get("cause") if depth < _MAX_CAUSES else None
        errors = error.get("errors") if depth < _MAX_CAUSES else None
        return cls(
            name=_text(error.get("name"), 200),
            message=_text(error.get("message"), 20_000),
            stack=_text(error.get("stack"), 20_000),
            cell=_count(error.get("cell")),
            line=_count(error.get("line")),
            column=_count(error.get("column")),
            source=_text(error.get("source"), 2_000),
            code=_text(error.get("code"), 200),
            own=_text(error.get("own"), 1_000),
            cause=None if cause is None else cls.from_json(cause, below),
            errors=tuple(_each(errors, lambda item: cls.from_json(item, below))[:_MAX_CAUSES]),
        )


@dataclass(frozen=True)
class Value:
    """The value of the last expression."""

    text: str
    """As `util.inspect` shows it."""
    json: Any = None
    mime: Mapping[str, str] = field(default_factory=dict)
    """Rich results: content by media type; pictures are base64."""

    @classmethod
    def from_json(cls, data: object) -> Value:
        """Read a value."""
        value = _object(data)
        return cls(_text(value.get("text")), value.get("json"), _mime(value.get("mime")))


@dataclass(frozen=True)
class Manifest:
    """What a run did below `/mnt/data`."""

    changed: tuple[RemoteFile, ...] = ()
    """Created or changed."""
    deleted: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    """sha256 by path, of small files."""
    more: int = 0
    """How many changed files are not named."""

    @classmethod
    def from_json(cls, data: object) -> Manifest:
        """Read a manifest; what names no place below `/mnt/data` is left out."""
        files = _object(data)
        changed, hashes = [], {}
        for row in _each(files.get("created"), _row) + _each(files.get("changed"), _row):
            path, size, milliseconds, sha256 = row
            if not _is_below_data(path):
                continue
            directory, _, name = path.rpartition("/")
            modified = _EPOCH + timedelta(milliseconds=milliseconds)
            changed.append(RemoteFile(name, size, modified, directory))
            if sha256:
                hashes[path] = sha256
        deleted = [path for path in _each(files.get("deleted"), lambda item: _text(item)) if _is_below_data(path)]
        return cls(tuple(changed), tuple(deleted), hashes, _count(files.get("more")))


@dataclass(frozen=True)
class Late:
    """What earlier runs did after their end, since the last answer."""

    out: str = ""
    err: str = ""
    errors: tuple[CodeError, ...] = ()

    @classmethod
    def from_json(cls, data: object) -> Late:
        """Read what came late."""
        late = _object(data)
        errors = tuple(_each(late.get("errors"), CodeError.from_json)[:20])
        return cls(_text(late.get("out"), 100_000), _text(late.get("err"), 100_000), errors)


@dataclass(frozen=True)
class Envelope:
    """The runtime's answer to a call."""

    state: State
    boot: str = ""
    id: str = ""
    end: End = "ok"
    exit: int = 0
    out: int = 0
    """Bytes that the code wrote to stdout."""
    err: int = 0
    value: Value | None = None
    displays: tuple[Mapping[str, str], ...] = ()
    error: CodeError | None = None
    files: Manifest = field(default_factory=Manifest)
    late: Late = field(default_factory=Late)
    left: tuple[str, ...] = ()
    """Kinds of what still runs in the background."""
    warnings: tuple[str, ...] = ()
    """What the runtime could not do for the run."""
    seconds: float = 0.0
    file: tuple[str, int, str] | None = None
    """Name, size and sha256 of the file that the run's record is in."""

    @classmethod
    def from_json(cls, data: object) -> Envelope:
        """Read an envelope.

        Raises:
            MalformedResponseError: it is none.
        """
        body = _object(data)
        return cls(
            state=_one_of(body.get("state"), ("done", "running", "never", "none", "file")),
            boot=_text(body.get("boot"), 100),
            id=_text(body.get("id"), 100),
            end=_one_of(body.get("end", "ok"), ("ok", "error", "exit", "timeout")),
            exit=min(_count(body.get("exit")), 255),
            out=_count(body.get("out")),
            err=_count(body.get("err")),
            value=None if body.get("value") is None else Value.from_json(body["value"]),
            displays=tuple(_each(body.get("displays"), lambda item: _mime(_object(item).get("mime", item)))),
            error=None if body.get("error") is None else CodeError.from_json(body["error"]),
            files=Manifest.from_json(body.get("files") or {}),
            late=Late.from_json(body.get("late") or {}),
            left=tuple(_each(body.get("left"), lambda item: _text(item, 100))[:10]),
            warnings=tuple(_each(body.get("warnings"), lambda item: _text(item, 500))[:10]),
            seconds=min(_milliseconds(body.get("ms")), 1e9) / 1000,
            file=None if body.get("file") is None else _file(body["file"]),
        )


def split(stdout: str, mark: str) -> tuple[str, Envelope | None]:
    """Take the envelope from the end of what was printed; without one, or with a broken one, there is `None`.

    Args:
        stdout: all that arrived.
        mark: the token that the call gave to the runtime.
    """
    printed, found, line = stdout.rpartition(f"\n{mark}")
    if not found:
        return stdout, None
    try:
        return printed, parse(line.partition("\n")[0])
    except MalformedResponseError:
        return printed, None


def parse(text: str | bytes) -> Envelope:
    """Read an envelope's JSON.

    Raises:
        MalformedResponseError: it is none.
    """
    return Envelope.from_json(_loaded(text))


@dataclass(frozen=True)
class Record:
    """All of a run, from the file that the runtime wrote."""

    envelope: Envelope
    stdout: str
    stderr: str

    @classmethod
    def parse(cls, content: bytes) -> Record:
        """Read a record's file.

        Raises:
            MalformedResponseError: it is none.
        """
        body = _object(_loaded(content))
        return cls(Envelope.from_json(body.get("envelope")), _text(body.get("stdout")), _text(body.get("stderr")))


def _loaded(text: str | bytes) -> object:
    try:
        return untrusted_json.loads(text)
    except ValueError:
        raise MalformedResponseError("The session's runtime answered with something that is not JSON.") from None


def _object(data: object) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise MalformedResponseError("The session's runtime answered with something that is no envelope.")
    return data


def _one_of(word: object, words: tuple[T, ...]) -> T:
    for each in words:
        if each == word:
            return each
    raise MalformedResponseError("The session's runtime answered with a word that it does not have.")


def _text(value: object, most: int | None = None) -> str:
    return value[:most] if isinstance(value, str) else ""


def _count(value: object) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else 0  # type: ignore[return-value]  # it was just looked at


def _milliseconds(value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e14
    return float(value) if is_number else 0.0  # type: ignore[arg-type]  # it was just looked at


def _each(items: object, read: Callable[[Any], T]) -> list[T]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise MalformedResponseError("The session's runtime answered with something that is no list.")
    return [read(item) for item in items[:_MAX_ITEMS]]


def _row(data: object) -> tuple[str, int, float, str]:
    if not isinstance(data, list) or len(data) < 3:
        raise MalformedResponseError("The session's runtime named a file without its size.")
    return _text(data[0]), _count(data[1]), _milliseconds(data[2]), _text(data[3] if len(data) > 3 else None, 64)


def _file(data: object) -> tuple[str, int, str]:
    parts = data if isinstance(data, list) and len(data) == 3 else [None] * 3
    name = _text(parts[0])
    if not name or "/" in name or not _is_below_data(name):
        raise MalformedResponseError("The session's runtime named no file for its record.")
    return name, _count(parts[1]), _text(parts[2], 64)


def _mime(data: object) -> dict[str, str]:
    bundle = data if isinstance(data, Mapping) else {}
    return {
        str(kind)[:200]: content if isinstance(content, str) else json.dumps(content)
        for kind, content in list(bundle.items())[:20]
    }


def _is_below_data(path: str) -> bool:
    """Tell whether a path names something below `/mnt/data`, and nothing else."""
    parts = path.split("/")
    too_long = len(path.encode("utf-8", "replace")) > _MAX_NAME_BYTES
    return not too_long and "\0" not in path and all(part not in ("", ".", "..") for part in parts)
