"""Bring back the files that a run made: which of them, where they go, and what to say of those that did not come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aca_node_interpreter import telemetry
from aca_node_interpreter.artifacts import Artifact, ArtifactDirectory, IncomingArtifact
from aca_node_interpreter.errors import AcaNodeError, NotFoundError
from aca_node_interpreter.local_names import printable
from aca_node_interpreter.rest.flow import Batch, Download, Flow
from aca_node_interpreter.rest.models import RemoteFile
from aca_node_interpreter.rest.operations import Operation, SessionCalls

from .progress import Counted, Progress, no_progress
from .runs import reason

# Packages that a run installed are not what it made.
_NOT_ARTIFACTS = "node_modules"


@dataclass
class Collection:
    """Files of one run that are wanted, and what came of them."""

    artifacts: list[Artifact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    """Paths of what was to come and did not, or not as it is there: they are brought with the next run."""


def collect(
    calls: SessionCalls,
    wanted: Sequence[RemoteFile],
    saved_in: ArtifactDirectory,
    most: int,
    hashes: Mapping[str, str] | None = None,
    *,
    progress: Progress = no_progress,
) -> Flow[Collection]:
    """Download files side by side; a file that can't come is a problem to tell, never an error.

    Args:
        calls: the calls on the session.
        wanted: the files.
        saved_in: where they go.
        most: how many at most.
        hashes: sha256 by path, of those for which the session told it.
        progress: shows how much has come.
    """
    collection = Collection()
    if len(wanted) > most:
        collection.problems.append(f"{len(wanted) - most} more files; a run brings back {most}")
    asked: dict[str, tuple[RemoteFile, Operation[bytes]]] = {}
    for file in wanted[:most]:
        try:
            operation = calls.download_file(file.name, path=file.directory or None)
        except AcaNodeError as error:
            collection.problems.append(str(error))
            continue
        if file.size > saved_in.max_bytes:
            limit = f"{saved_in.max_bytes:,}"
            collection.problems.append(f"{printable(file.path)}, {file.size:,} bytes; the limit is {limit}")
        else:
            asked[file.path] = file, operation
    collection.missing |= set(asked)
    hashes = hashes or {}
    if asked:
        with telemetry.span("collect", calls=True) as told:
            # What came otherwise than the session said is fetched once more: either may have been in between.
            for is_last in (False, True):
                asked = yield from _fetch(asked, saved_in, hashes, collection, progress, is_last=is_last)
            telemetry.collected(collection.artifacts, told)
    return collection


def _fetch(
    asked: Mapping[str, tuple[RemoteFile, Operation[bytes]]],
    saved_in: ArtifactDirectory,
    hashes: Mapping[str, str],
    collection: Collection,
    progress: Progress,
    *,
    is_last: bool,
) -> Flow[dict[str, tuple[RemoteFile, Operation[bytes]]]]:
    """Fetch files, and return those that are to be fetched once more."""
    incoming = {path: IncomingArtifact(path, saved_in) for path in asked}
    outcomes = []
    if asked:
        with progress("Downloading", [file.size for file, _ in asked.values()]) as count:
            outcomes = yield Batch(
                [Download(operation, Counted(incoming[path], count)) for path, (_, operation) in asked.items()]
            )
    again = {}
    for (path, arrived), outcome in zip(incoming.items(), outcomes, strict=True):
        if isinstance(outcome, Exception):
            collection.problems.append(f"{printable(path)}: {reason(outcome)}")
            if isinstance(outcome, NotFoundError):
                collection.missing.remove(path)
            continue
        artifact = arrived.finished()
        is_as_told = (artifact.size, artifact.sha256) == (asked[path][0].size, hashes.get(path, artifact.sha256))
        if not is_as_told and not is_last:
            arrived.discard()
            again[path] = asked[path]
            continue
        collection.artifacts.append(artifact)
        if is_as_told:
            collection.missing.remove(path)
        else:
            collection.problems.append(
                f"{printable(path)} as the session told it: it changes, or is garbled on the way. It was saved as it "
                "came, and comes again with the next run"
            )
    return again


def may_be_artifact(file: RemoteFile) -> bool:
    """Tell whether a file can be what a run made: neither hidden away nor a part of an installed package."""
    parents = file.directory.split("/")
    hidden = any(part.startswith(".") or part == _NOT_ARTIFACTS for part in parents)
    return not file.is_directory and not hidden


Version = tuple[int, int]
"""A file's size in bytes and its date in milliseconds: what both a listing and the in-session runtime tell."""


def version(file: RemoteFile) -> Version:
    """Return what tells one state of a file from another."""
    if file.modified_at is None:
        return file.size, 0
    return file.size, int(file.modified_at.timestamp()) * 1000 + file.modified_at.microsecond // 1000


def versions(files: Iterable[RemoteFile]) -> dict[str, Version]:
    """Return the versions of what may be artifacts, by path."""
    return {file.path: version(file) for file in files if may_be_artifact(file)}
