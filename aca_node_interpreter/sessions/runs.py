"""What comes of a run: its outcome, the files that came back, and the text that a model reads of it."""

from __future__ import annotations

import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from aca_node_interpreter.artifacts import Artifact, ArtifactDirectory, media_type
from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.previews import preview
from aca_node_interpreter.rest.models import Execution, Image, Status

from . import output

MAX_PICTURES = 4
"""How many pictures of one run are passed to a model."""
TIMED_OUT = 124
"""The exit code of a run that was stopped at its time limit, as `timeout` has it."""

# Seconds for the previews of a run's files; those of a hundred tables of 50 KB take as long.
_PREVIEWS_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """How much of a run comes back."""

    artifacts: int = 100
    """Files of one run."""
    output_chars: int = 16_000
    """Characters of text that a model reads."""


@dataclass(frozen=True)
class Run:
    """What came of one run."""

    execution: Execution
    artifacts: tuple[Artifact, ...] = ()
    problems: tuple[str, ...] = ()
    """Why a file did not come back, a sentence for each."""
    text: str = ""
    """What a model reads: output, value, error and the names of the files; bounded."""
    exit_code: int = 0
    """The exit code that a Node.js process would have had: 0, 1 when the code failed, 124 when it was stopped at its
    limit, or what the code gave to `process.exit`."""
    value: Any = None
    """The value of the last expression where it is JSON; `execution.result` shows every value as text."""
    deleted: tuple[str, ...] = ()
    """Paths of the files that the run deleted."""
    notes: tuple[str, ...] = ()
    """What is worth knowing of the session: that it lost its variables, for one."""
    mode: Literal["managed", "raw"] = "managed"
    """Whether the in-session runtime ran the code, or the service's kernel as it is."""

    @property
    def outcome(self) -> Literal["ok", "failed", "timed_out"]:
        """What the exit code means."""
        return "timed_out" if self.exit_code == TIMED_OUT else "failed" if self.exit_code else "ok"

    def pictures(self) -> list[tuple[str, bytes]]:
        """Return the pictures that a model can look at, each with its media type: the last few."""
        found = (artifact.picture() for artifact in reversed(self.artifacts))
        return list(islice(filter(None, found), MAX_PICTURES))[::-1]


@dataclass(frozen=True)
class Attachment:
    """Something rich that the code returned or displayed, to be saved as an artifact."""

    name: str
    content: bytes | str = field(repr=False)
    """The bytes, or text that holds them in base64."""

    @classmethod
    def of_image(cls, image: Image) -> Attachment:
        """Return a picture."""
        # The session chose the format; a file gets a suffix only where that is known.
        known = media_type(f"image.{image.format}") == image.media_type
        return cls(f"image.{image.format if known else 'png'}", image.base64_data)

    def decoded(self) -> bytes:
        """Return the bytes.

        Raises:
            binascii.Error: the text is not base64.
        """
        if isinstance(self.content, bytes):
            return self.content
        return b64decode("".join(self.content.split()).encode("ascii", "replace"), validate=True)


@dataclass(frozen=True)
class Outcome:
    """A run before it is worded for a model and its pictures are saved."""

    execution: Execution
    text: str
    """Output, value and error: all of it."""
    exit_code: int
    mode: Literal["managed", "raw"]
    attachments: tuple[Attachment, ...] = ()
    value: Any = None
    deleted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    artifacts: list[Artifact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def finished(outcome: Outcome, saved_in: ArtifactDirectory, limit: int, *, most: int = Limits.artifacts) -> Run:
    """Word a run for the model, in `limit` characters; what the model does not get to read whole is saved.

    `most` is how many artifacts a run may have; files come first, then what the code displayed.
    """
    problems = list(outcome.problems)
    previews_end = time.monotonic() + _PREVIEWS_SECONDS

    def previewed(artifact: Artifact) -> Artifact:
        if time.monotonic() > previews_end:
            return artifact
        return replace(artifact, preview=preview(artifact.path, artifact.name))

    def save(name: str, content: Callable[[], bytes]) -> None:
        try:
            artifacts.append(previewed(saved_in.save(name, content())))
        except (OSError, Base64Error) as error:
            problems.append(f"{name}: {reason(error)}")

    artifacts = [previewed(artifact) for artifact in outcome.artifacts]
    shown = outcome.attachments[: max(0, most - len(artifacts))]
    if left_out := len(outcome.attachments) - len(shown):
        problems.append(f"{left_out} more pictures or pages; a run brings back {most} artifacts")
    for attachment in shown:
        save(attachment.name, attachment.decoded)
    text = output.without_base64(outcome.text)
    # The names of files and what is told of the session are short and matter; they get their room first. Previews are
    # worth less than output: names with all of theirs get a quarter.
    about = output.lines_about(artifacts, problems, outcome.deleted, outcome.notes, room=limit // 4)
    room = limit - min(len(about), limit // 2)
    text = output.abridged(text, limit=room)
    if text != outcome.text:
        save("output.txt", outcome.text.encode)
        about = output.lines_about(artifacts, problems, outcome.deleted, outcome.notes, room=limit // 4)
    about = output.abridged(about, limit=limit // 2)
    return Run(
        outcome.execution,
        tuple(artifacts),
        tuple(problems),
        "\n".join(part for part in (text, about) if part),
        exit_code=outcome.exit_code,
        value=outcome.value,
        deleted=outcome.deleted,
        notes=outcome.notes,
        mode=outcome.mode,
    )


def refused(message: str, limit: int) -> Run:
    """Return the run of a text that was not sent, since it could not run."""
    execution = Execution(Status.FAILED, stderr=message)
    return Run(execution, text=output.abridged(message, limit=limit), exit_code=1)


def reason(error: Exception) -> str:
    """Say what went wrong with a file, without the local paths that an `OSError` may hold."""
    if isinstance(error, Base64Error):
        return "it is not base64"
    # Ours say it themselves; one of them is an `OSError`, too.
    if isinstance(error, AcaNodeError):
        return str(error)
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
