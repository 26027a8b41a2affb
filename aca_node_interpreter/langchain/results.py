"""What a LangChain agent gets of a run: content for the model, and an artifact for the program that a checkpoint keeps.

Checkpointers write both down after every step, with MessagePack or as JSON, and read back only types that they know. So
the artifact is made of dicts, lists, strings and numbers, holds no bytes of files, and nothing long.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.messages.content import ImageContentBlock, TextContentBlock, create_image_block, create_text_block
from typing_extensions import TypedDict

from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.rest.models import Execution
from aca_node_interpreter.sessions.runs import Run

# Not in quotes: LangChain resolves the annotations of a tool's methods, in the tool's module.
Content: TypeAlias = str | list[TextContentBlock | ImageContentBlock]
"""What the model reads, and sees."""

# Lists in lists that a value may have; MessagePack gives up somewhere above 200.
_DEPTH = 100
# Names of files that are gone, and reasons why others did not come back.
_NAMED = 100


class SavedFile(TypedDict):
    """A file that came back, as `Artifact` has it."""

    name: str
    """Its path in the session, below `/mnt/data`."""
    size: int
    """Bytes."""
    media_type: str
    sha256: str
    path: str
    """Where it was saved on this machine."""
    preview: str
    """What it holds, in at most 200 characters; empty where unknown."""


class FilesArtifact(TypedDict):
    """`ToolMessage.artifact` of a call that only brought files back."""

    files: list[SavedFile]
    """Files that the run created or changed, or that were asked for."""


class ToolArtifact(FilesArtifact):
    """`ToolMessage.artifact` of a run."""

    exit_code: int
    """0, 1 when the code failed, 124 when it was stopped at its time limit, or what it gave to `process.exit`."""
    value: Any
    """The value of the last expression; `None` where it is not JSON, or longer than what a model may read."""
    deleted: list[str]
    """Paths of files that the run deleted: the first hundred."""
    problems: list[str]
    """Why a file did not come back, a sentence for each: the first hundred."""
    notes: list[str]
    """What is worth knowing of the session: that it lost its variables, for one."""


def slim(run: Run, room: int) -> Run:
    """Return a run without its output, and without a value that is longer than so many characters of JSON."""
    execution = Execution(run.execution.status, duration=run.execution.duration, id=run.execution.id)
    return replace(run, execution=execution, value=_kept(run.value, room))


def content_of(text: str, pictures: Iterable[tuple[str, bytes]]) -> Content:
    """Return what a model gets: the text alone, or a block for the text and one for each picture."""
    blocks = [create_image_block(base64=b64encode(data).decode(), mime_type=kind) for kind, data in pictures]
    return [create_text_block(text), *blocks] if blocks else text


def artifact_of(run: Run) -> ToolArtifact:
    """Return what a program gets of a run that is slim."""
    return {
        "exit_code": run.exit_code,
        "value": run.value,
        "files": [saved_file(each) for each in run.artifacts],
        "deleted": list(run.deleted[:_NAMED]),
        "problems": list(run.problems[:_NAMED]),
        "notes": list(run.notes),
    }


def saved_file(artifact: Artifact) -> SavedFile:
    """Write down where a file is and what it is, without what is in it."""
    return {
        "name": artifact.name,
        "size": artifact.size,
        "media_type": artifact.media_type,
        "sha256": artifact.sha256,
        "path": str(artifact.path),
        "preview": artifact.preview,
    }


def _kept(value: Any, room: int) -> Any:
    """Return JSON as every checkpoint can write it: half characters replaced, numbers of at most 64 bits."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return None
    if len(text) > room or not _is_flat(value, _DEPTH):
        return None
    return json.loads(text.encode("utf-8", "replace"), parse_int=_number)


def _is_flat(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_flat(each, depth - 1) for each in inner)


def _number(digits: str) -> int | float:
    # JavaScript's numbers are floats, so this loses nothing.
    return number if -(2**63) <= (number := int(digits)) < 2**63 else float(digits)
