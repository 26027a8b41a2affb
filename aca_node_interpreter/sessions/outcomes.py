"""Word what the in-session runtime answered: the streams, the value, the error, and what goes on in the background."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from aca_node_interpreter.javascript.envelope import CodeError, Envelope, Late, Value
from aca_node_interpreter.javascript.report import report
from aca_node_interpreter.local_names import printable
from aca_node_interpreter.rest.models import Execution, Image, Status

from . import output
from .managed import Answered
from .runs import TIMED_OUT, Attachment, Outcome

_PICTURES = {"image/png": "png", "image/jpeg": "jpeg"}
_DOCUMENTS = {"image/svg+xml": "image.svg", "text/html": "output.html"}

# A line of a stack that is Node.js's or the runtime's own; what `util.inspect` writes after a stack stays.
_OWN_FRAME = re.compile(r"\n +at (?:[^\n()]*\(|async )?node:[\w/.:-]*\)?(?=[ ,\])}]*\{?$)", re.MULTILINE)


def outcome_of(answer: Answered, cell: int) -> Outcome:
    """Word an answer; `cell` is the number of the run, for the lines of its text."""
    envelope = answer.envelope
    bundles = [*envelope.displays, *([] if envelope.value is None else [envelope.value.mime])]
    value = envelope.value
    error = _error_text(envelope, cell)
    said = answer.execution
    execution = Execution(
        Status.SUCCEEDED if _succeeded(envelope) else Status.FAILED,
        stdout=answer.stdout,
        stderr=_stderr(answer, error if envelope.end in ("error", "timeout") else ""),
        result=_result(value, bundles),
        duration=envelope.seconds,
        id="" if said is None else said.id,
        timings={} if said is None else said.timings,
    )
    return Outcome(
        execution,
        _text(answer, error, _late_text(envelope.late, cell)),
        exit_code=TIMED_OUT if envelope.end == "timeout" else envelope.exit,
        mode="managed",
        attachments=tuple(_attachments(bundles)),
        value=None if value is None else value.json,
        notes=tuple(_notes(envelope)),
    )


def _stderr(answer: Answered, error: str) -> str:
    """Return what the code wrote to stderr and, where Node.js would have written it there too, the error."""
    return "\n".join([answer.stderr.rstrip("\n"), error]).lstrip("\n") if error else answer.stderr


def _succeeded(envelope: Envelope) -> bool:
    return envelope.end in ("ok", "exit") and envelope.exit == 0


def _result(value: Value | None, bundles: Sequence[Mapping[str, str]]) -> str | Image:
    """Return the last picture of a run whose value is one, or that has none; else the value as text."""
    shown = bundles[-1] if bundles and (value is None or value.mime) else {}
    for media_type, kind in _PICTURES.items():
        if media_type in shown:
            return Image(kind, shown[media_type])
    return _written(shown) if value is None else value.text


def _written(bundle: Mapping[str, str]) -> str:
    """Return a rich result that is neither a picture nor a document: as plain text if it has any, else what it has."""
    if set(bundle) & {*_PICTURES, *_DOCUMENTS}:
        return ""
    return bundle.get("text/plain") or next(iter(bundle.values()), "")


def _text(answer: Answered, error: str, late: str) -> str:
    """Return all that a model may read of the run: of stacks, only what is its own code's."""
    failed = not _succeeded(answer.envelope)
    parts = [late, _OWN_FRAME.sub("", answer.stdout.rstrip("\n"))]
    if stderr := _OWN_FRAME.sub("", answer.stderr.strip()):
        parts.append(stderr if failed else f"stderr:\n{stderr}")
    parts += map(_written, answer.envelope.displays)
    value = answer.envelope.value
    if value is not None and value.text and not set(value.mime) & {*_PICTURES, *_DOCUMENTS}:
        parts.append(f"=> {value.text}")
    return output.encodable("\n".join(part for part in [*parts, error] if part))


def _error_text(envelope: Envelope, cell: int) -> str:
    if envelope.end == "timeout":
        return "The run was stopped at its time limit. The session goes on, with its variables and files."
    if envelope.error is not None:
        return report(envelope.error, cell)
    return f"The code ended with exit code {envelope.exit}." if envelope.exit else ""


def _late_text(late: Late, cell: int) -> str:
    parts = [_OWN_FRAME.sub("", part) for part in (late.out.rstrip("\n"), late.err.rstrip("\n")) if part]
    parts += [_late_error(error, cell) for error in late.errors]
    return "\n".join(["After an earlier run's end, its code still did this:", *parts, "---"]) if parts else ""


def _late_error(error: CodeError, cell: int) -> str:
    where = f"run {error.cell} failed after its end: " if error.cell else ""
    return where + report(error, cell)


def _notes(envelope: Envelope) -> Iterable[str]:
    # Others, which the runtime has no word for, are Node.js's own, such as a connection that is about to close.
    left = [printable(name) for name in envelope.left if name.islower()]
    if left:
        yield f"Still running in the background: {', '.join(left)}."
    yield from map(printable, envelope.warnings)


def _attachments(bundles: Iterable[Mapping[str, str]]) -> Iterable[Attachment]:
    for bundle in bundles:
        pictures = [kind for kind in _PICTURES if kind in bundle]
        if pictures:
            yield Attachment.of_image(Image(_PICTURES[pictures[0]], bundle[pictures[0]]))
            continue
        for kind, name in _DOCUMENTS.items():
            if kind in bundle:
                yield Attachment(name, bundle[kind].encode("utf-8", "replace"))
