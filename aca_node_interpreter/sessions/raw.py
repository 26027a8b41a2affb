"""Raw mode: code sent exactly as it is to the service's kernel, and files found by listing before and after."""

from __future__ import annotations

from aca_node_interpreter import telemetry
from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.rest.models import Execution, Image, RemoteFile
from aca_node_interpreter.rest.operations import SessionCalls, all_pages

from . import output
from .collecting import Collection, Version, collect, may_be_artifact, version, versions
from .runs import TIMED_OUT, Attachment, Outcome

Known = dict[str, Version]
"""What is known to be in `/mnt/data`, by path."""


def run_raw(
    calls: SessionCalls, known: Known | None, code: str, timeout: float, saved_in: ArtifactDirectory, most: int
) -> Flow[tuple[Outcome, Known]]:
    """Run code as it is, and bring back what it created or changed; `known` is `None` when nobody has looked yet."""
    operation = calls.execute(code, timeout=timeout)
    if known is None:
        known = versions((yield from listing(calls)))
    with telemetry.running("raw", calls.api_version) as told:
        execution: Execution = yield operation
        told.set(telemetry.timings(execution))
    return (yield from collected(calls, known, execution, saved_in, most))


def collected(
    calls: SessionCalls, known: Known, execution: Execution, saved_in: ArtifactDirectory, most: int
) -> Flow[tuple[Outcome, Known]]:
    """Bring back what is there after a run and was not before; never fails for a file."""
    try:
        files = [file for file in (yield from listing(calls)) if may_be_artifact(file)]
    except AcaNodeError as error:
        collection = Collection(problems=[f"the files of this run, which could not be listed: {error}"])
        return outcome_of(execution, collection), known
    changed = [file for file in files if known.get(file.path) != version(file)]
    now = versions(files)
    collection = yield from collect(calls, changed, saved_in, most)
    for path in collection.missing:
        now.pop(path, None)
    return outcome_of(execution, collection), now


def outcome_of(execution: Execution, collection: Collection) -> Outcome:
    """Word what the service answered."""
    return Outcome(
        execution,
        output.text_of(execution),
        exit_code=0 if execution.succeeded else TIMED_OUT if output.TIMEOUT_WORDS in execution.stderr[-500:] else 1,
        mode="raw",
        attachments=(Attachment.of_image(execution.result),) if isinstance(execution.result, Image) else (),
        artifacts=collection.artifacts,
        problems=collection.problems,
    )


def listing(calls: SessionCalls) -> Flow[list[RemoteFile]]:
    """List all of `/mnt/data`, or its top where the api-version can't do more."""
    return (yield from all_pages(calls.list_files(recursive=lists_all(calls))))


def lists_all(calls: SessionCalls) -> bool:
    """Tell whether a listing names what lies in directories, too."""
    return calls.api_version >= "2025-10"
