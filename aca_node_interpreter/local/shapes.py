"""The bodies of the answers, key by key as recorded, in both API families."""

from __future__ import annotations

import mimetypes
import time
from typing import Any

from .files import FileEntry
from .results import Result

# Without the machine's own tables, so that every machine answers alike.
_MEDIA_TYPES = mimetypes.MimeTypes()


def legacy_execution(result: Result, *, failure_word: str) -> dict[str, Any]:
    """Shape a run for `/code/execute`."""
    return {
        "$id": "1",
        "properties": {
            "$id": "2",
            "status": "Success" if result.succeeded else failure_word,
            "stdout": result.stdout,
            "stderr": result.stderr,
            "result": result.value,
            "executionTimeInMilliseconds": result.milliseconds,
        },
    }


def execution(execution_id: str, identifier: str, execution_type: str, result: Result | None) -> dict[str, Any]:
    """Shape a run for `/executions`; without a result it is still running."""
    body: dict[str, Any] = {
        "$id": "1",
        "id": execution_id,
        "identifier": identifier,
        "executionType": execution_type,
        "status": "Running",
    }
    if result is not None:
        body["status"] = "Succeeded" if result.succeeded else "Failed"
        body["result"] = {
            "$id": "2",
            "stdout": result.stdout,
            "stderr": result.stderr,
            "executionResult": result.value,
            "executionTimeInMilliseconds": result.milliseconds,
        }
    return body


def legacy_file(entry: FileEntry) -> dict[str, Any]:
    """Shape one file for the older family."""
    return {"$id": "1", "properties": _legacy_properties(entry, 2)}


def legacy_files(entries: list[FileEntry]) -> dict[str, Any]:
    """Shape a list of files, or an upload, for the older family."""
    value = [
        {"$id": str(number), "properties": _legacy_properties(entry, number + 1)}
        for number, entry in zip(range(2, 2 + 2 * len(entries), 2), entries, strict=True)
    ]
    return {"$id": "1", "value": value}


def _legacy_properties(entry: FileEntry, number: int) -> dict[str, Any]:
    return {
        "$id": str(number),
        "filename": entry.name,
        "size": entry.size,
        "lastModifiedTime": timestamp(entry.modified_ns),
    }


def listed_files(entries: list[FileEntry], *, newest: bool) -> dict[str, Any]:
    """Shape a list of files; the newest api-version says the directory too."""
    value = [
        {"$id": str(number), **_file(entry, _kind(entry), newest=newest)} for number, entry in enumerate(entries, 2)
    ]
    return {"$id": "1", "value": value}


def uploaded_file(entry: FileEntry, *, newest: bool) -> dict[str, Any]:
    """Shape an upload, whose types are empty on the service."""
    return {"$id": "1", **_file(entry, {"type": "", "contentType": ""}, newest=newest)}


def single_file(entry: FileEntry, *, newest: bool) -> dict[str, Any]:
    """Shape one file: recorded without types, which the newest api-version requires."""
    return {"$id": "1", **_file(entry, _kind(entry) if newest else {}, newest=newest)}


def _file(entry: FileEntry, kind: dict[str, str], *, newest: bool) -> dict[str, Any]:
    body = {
        "name": entry.name,
        **kind,
        "sizeInBytes": entry.size,
        "lastModifiedAt": timestamp(entry.modified_ns),
    }
    return {**body, "directory": entry.directory} if newest else body


def _kind(entry: FileEntry) -> dict[str, str]:
    if entry.is_directory:
        return {"type": "directory", "contentType": "application/octet-stream"}
    guess = _MEDIA_TYPES.guess_type(entry.name)[0] or "application/octet-stream"
    return {"type": "file", "contentType": f"{guess}; charset=utf-8" if guess.startswith("text/") else guess}


def session(identifier: str, guid: str, created: float, accessed: float, cooldown: float) -> dict[str, Any]:
    """Shape a session; times are seconds since the epoch."""
    return {
        "identifier": identifier,
        "createdAt": _moment(created),
        "lastAccessedAt": _moment(accessed),
        "expireAt": _moment(accessed + cooldown),
        "etag": guid,
    }


def metadata(node_version: str, created: float) -> dict[str, Any]:
    """Shape what the pool says of itself."""
    return {
        "runtimes": [{"name": "node", "version": node_version}],
        "preInstalledPackages": [],
        "createdAt": _moment(created),
        "lastUpdatedAt": _moment(created),
        "jupyterKernel": {
            "name": "IJavascript",
            "version": "5.2.1",
            "projectUrl": "https://github.com/n-riesco/ijavascript",
            "description": "Follows this kernel's behaviour, but is not it: the embedded pool of aca-node-interpreter.",
        },
    }


def _moment(seconds: float) -> str:
    return timestamp(int(seconds * 1_000_000_000))


def timestamp(nanoseconds: int) -> str:
    """Word a time since the epoch as the service does: UTC with seven digits after the point."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = time.gmtime(seconds)
    except (OverflowError, OSError, ValueError):
        # A session can give a file any date.
        moment, rest = time.gmtime(0), 0
    return f"{moment.tm_year:04d}-{time.strftime('%m-%dT%H:%M:%S', moment)}.{rest // 100:07d}Z"
