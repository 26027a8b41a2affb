"""Raw mode: code sent exactly as it is to the service's kernel, and files found by listing before and after."""

from __future__ import annotations

from aca_node_interpreter import telemetry
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.rest.models import Execution, Image, RemoteFile
from aca_node_interpreter.rest.operations import Operation, SessionCalls, all_pages

from . import output
from .runs import TIMED_OUT, Attachment, Outcome


def run_raw(calls: SessionCalls, operation: Operation[Execution]) -> Flow[Outcome]:
    """Run code as it is."""
    with telemetry.running("raw", calls.api_version) as told:
        execution: Execution = yield operation
        told.set(telemetry.timings(execution))
    return outcome_of(execution)


def outcome_of(execution: Execution) -> Outcome:
    """Word what the service answered."""
    return Outcome(
        execution,
        output.text_of(execution),
        exit_code=0 if execution.succeeded else TIMED_OUT if output.TIMEOUT_WORDS in execution.stderr[-500:] else 1,
        mode="raw",
        attachments=(Attachment.of_image(execution.result),) if isinstance(execution.result, Image) else (),
    )


def listing(calls: SessionCalls) -> Flow[list[RemoteFile]]:
    """List all of `/mnt/data`, or its top where the api-version can't do more."""
    return (yield from all_pages(calls.list_files(recursive=lists_all(calls))))


def lists_all(calls: SessionCalls) -> bool:
    """Tell whether a listing names what lies in directories, too."""
    return calls.api_version >= "2025-10"
