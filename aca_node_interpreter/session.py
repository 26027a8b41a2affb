"""One conversation's session: run code in it and collect the files that the run made.

Written once as a flow (see `aca_node_interpreter.flow`); the clients run it.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import datetime

from . import output
from .artifacts import Artifact, ArtifactDirectory, IncomingArtifact, media_type, printable
from .errors import AcaNodeError
from .flow import Batch, Compute, Download, Flow
from .models import Execution, Image, RemoteFile
from .operations import SessionCalls, all_pages

_Version = tuple[int, datetime | None]

# Packages that a run installed are not what it made.
_NOT_ARTIFACTS = "node_modules"


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

    @property
    def exit_code(self) -> int:
        """0, 1 when the code failed, 124 (as `timeout` has it) when it was stopped at its limit."""
        if self.execution.succeeded:
            return 0
        return 124 if output.TIMEOUT_WORDS in self.execution.stderr[-500:] else 1


@dataclass
class Session:
    """A session, and what is known of its files.

    Args:
        calls: the calls on it.
        is_new: whether nobody can have used it before, so that it has no files yet.
    """

    calls: SessionCalls
    is_new: InitVar[bool]
    limits: Limits = field(default_factory=Limits)
    was_used: bool = field(default=False, init=False)
    """Whether a call may have created it in the pool."""
    _known: dict[str, _Version] | None = field(default=None, init=False)

    def __post_init__(self, is_new: bool) -> None:
        if is_new:
            self._known = {}

    def run(
        self, code: str, *, timeout: float, saved_in: ArtifactDirectory, output_chars: int | None = None
    ) -> Flow[Run]:
        """Run code and bring back the files that it created or changed.

        Args:
            code: JavaScript.
            timeout: seconds that it may take.
            saved_in: where the files go.
            output_chars: how much text the model may still read, instead of what the limits say.
        """
        operation = self.calls.execute(code, timeout=timeout)
        self.was_used = True
        if self._known is None:
            self._known = _versions((yield from self._listing()))
        execution: Execution = yield operation
        artifacts, problems = yield from self._collect(saved_in)
        limit = self.limits.output_chars if output_chars is None else output_chars
        run: Run = yield Compute(lambda: _finished(execution, artifacts, problems, saved_in, limit))
        return run

    def remember(self, file: RemoteFile) -> RemoteFile:
        """Note a file that was put there by an upload, so that it is not taken for a run's."""
        self.was_used = True
        if self._known is not None:
            self._known |= _versions([file])
        return file

    def _listing(self) -> Flow[list[RemoteFile]]:
        recursive = self.calls.api_version >= "2025-10"
        return (yield from all_pages(self.calls.list_files(recursive=recursive)))

    def _collect(self, saved_in: ArtifactDirectory) -> Flow[tuple[list[Artifact], list[str]]]:
        """Download what is there now and was not, or was another version; never fails for a file.

        What did not arrive stays unknown, so that the next run brings it.
        """
        try:
            files = [file for file in (yield from self._listing()) if _may_be_artifact(file)]
        except AcaNodeError as error:
            return [], [f"the files of this run, which could not be listed: {error}"]
        former, self._known = self._known or {}, _versions(files)
        changed = [file for file in files if former.get(file.path) != _version(file)]
        problems: list[str] = []
        if len(changed) > self.limits.artifacts:
            left_out = len(changed) - self.limits.artifacts
            problems.append(f"{left_out} more files; a run brings back {self.limits.artifacts}")
        steps: dict[str, Download] = {}
        for file in changed[: self.limits.artifacts]:
            try:
                operation = self.calls.download_file(file.name, path=file.directory or None)
            except AcaNodeError as error:
                problems.append(str(error))
                continue
            if file.size > saved_in.max_bytes:
                problems.append(f"{printable(file.path)}, {file.size:,} bytes; the limit is {saved_in.max_bytes:,}")
            else:
                steps[file.path] = Download(operation, IncomingArtifact(file.path, saved_in))
        missing = set(steps)
        try:
            outcomes = (yield Batch(list(steps.values()))) if steps else []
            artifacts: list[Artifact] = []
            for (path, step), outcome in zip(steps.items(), outcomes, strict=True):
                if isinstance(outcome, Exception):
                    problems.append(f"{printable(path)}: {_reason(outcome)}")
                else:
                    artifacts.append(step.to.finished())
                    missing.remove(path)
        finally:
            for path in missing:
                self._known.pop(path, None)
        return artifacts, problems


def _finished(
    execution: Execution,
    artifacts: list[Artifact],
    problems: list[str],
    saved_in: ArtifactDirectory,
    limit: int,
) -> Run:
    """Word a run for the model, in `limit` characters; what the model does not get to read whole is saved."""

    def save(name: str, content: Callable[[], bytes]) -> None:
        try:
            artifacts.append(saved_in.save(name, content()))
        except (OSError, Base64Error) as error:
            problems.append(f"{name}: {_reason(error)}")

    if isinstance(image := execution.result, Image):
        save(f"image.{_suffix(image)}", lambda: b64decode("".join(image.base64_data.split()), validate=True))
    whole = output.text_of(execution)
    text = output.without_base64(whole)
    # The names of files are short and matter; they get their room first.
    room = limit - min(len(output.lines_about(artifacts, problems)), limit // 2)
    text = output.abridged(text, limit=room)
    if text != whole:
        save("output.txt", whole.encode)
    about = output.abridged(output.lines_about(artifacts, problems), limit=limit // 2)
    shown = "\n".join(part for part in (text, about) if part)
    return Run(execution, tuple(artifacts), tuple(problems), shown)


def _suffix(image: Image) -> str:
    """Return the file suffix for a picture's format, which the session chose."""
    return image.format if media_type(f"image.{image.format}") == image.media_type else "png"


def _may_be_artifact(file: RemoteFile) -> bool:
    parents = file.directory.split("/")
    hidden = any(part.startswith(".") or part == _NOT_ARTIFACTS for part in parents)
    return not file.is_directory and not hidden


def _versions(files: list[RemoteFile]) -> dict[str, _Version]:
    return {file.path: _version(file) for file in files if _may_be_artifact(file)}


def _version(file: RemoteFile) -> _Version:
    return file.size, file.modified_at


def _reason(error: Exception) -> str:
    """Say what went wrong with a file, without the local paths that an `OSError` may hold."""
    if isinstance(error, Base64Error):
        return "it is not base64"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
