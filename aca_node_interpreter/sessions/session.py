"""One conversation's session: run code in it and collect the files that the run made.

Written as flows (see `aca_node_interpreter.rest.flow`), which clients run. What a model sends is prepared and run by
the in-session runtime (`managed`) or, where that can't be installed or is not wanted, by the kernel as it is (`raw`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from aca_node_interpreter import telemetry
from aca_node_interpreter.artifacts import Artifact, ArtifactDirectory, IncomingArtifact
from aca_node_interpreter.errors import AcaNodeError, SessionLostError, UploadError
from aca_node_interpreter.javascript.envelope import Envelope, Manifest
from aca_node_interpreter.javascript.prepare import LONG, prepare
from aca_node_interpreter.javascript.prepared import Prepared, Refusal
from aca_node_interpreter.local_names import printable
from aca_node_interpreter.previews import preview
from aca_node_interpreter.rest.flow import Batch, Compute, Download, Flow, Send
from aca_node_interpreter.rest.local_files import opened, repeatable
from aca_node_interpreter.rest.models import RemoteFile
from aca_node_interpreter.rest.operations import SessionCalls, Upload, checked_timeout
from aca_node_interpreter.rest.patience import NEVER, Deadline
from aca_node_interpreter.secrecy import StaysHere
from aca_node_interpreter.telemetry import SessionState

from . import packages as npm
from . import raw
from .collecting import Version, collect, may_be_artifact, version, versions
from .inputs import Input, inputs_of
from .known_files import KnownFiles
from .managed import Died, NoRuntime, Recycled, Reply, Runtime
from .outcomes import outcome_of
from .progress import Progress, counted, no_progress
from .raw import listing, lists_all, run_raw
from .runs import Limits, Outcome, Run, finished, reason, refused

_log = logging.getLogger("aca_node_interpreter")

Mode = Literal["managed", "raw"]
Uploads: TypeAlias = dict[str, Callable[[], Upload]]

# Files that a model is told of.
_NAMED = 50
# Characters of output that take long to word.
_LARGE = 1_000_000

_FELL_BACK = (
    "The in-session runtime can't be installed in this session pool: from now on code runs exactly as it is sent, "
    "without top-level await, import and TypeScript, and const and let can't be declared again."
)
_LOST = "The session was lost since the last run, and a new one took its place: its variables and files are gone."
_GIVEN_BACK = "The session was given back while it was idle: its variables and files are gone."
_RESTARTED = "The session's Node.js was restarted since the last run: its variables are gone, its files are there."
_DOUBTFUL = "The session's variables are gone since the last run, and its files may be, too: they could not be listed."
_ENDED = "The session's Node.js ended with this run: its variables are gone."
_CHANGES: dict[str, SessionState] = {
    **dict.fromkeys((_LOST, _RESTARTED, _DOUBTFUL), "recycled"),
    _GIVEN_BACK: "given_back",
}
_UPLOADS_GONE = (
    "Uploaded files are gone: if the code did not delete them, the session was lost before it ran. Upload them again."
)
_ALL_ENDED = "The session ended with this run: its variables and files are gone."
_REPEATED = "The connection broke on the session's first run and it was sent again: it may have begun twice."


@dataclass
class Session(StaysHere):
    """A session, and what is known of it.

    Args:
        calls: the calls on it.
        is_new: whether nobody can have used it before, so that it has no files yet.
        limits: how much of a run comes back.
        mode: `managed`, or `raw` for code that is to be sent exactly as it is.
        packages: npm packages that every run finds, such as `zod@3`.
        keeps_uploads: whether files that were uploaded are put back when the session was lost.
        progress: shows how far a transfer of files is.
    """

    calls: SessionCalls
    is_new: InitVar[bool]
    limits: Limits = field(default_factory=Limits)
    mode: Mode = "managed"
    packages: tuple[str, ...] = ()
    keeps_uploads: bool = False
    progress: Progress = no_progress
    deadline: Deadline = field(default=NEVER, init=False)
    """Until when what is under way must be over."""
    was_used: bool = field(default=False, init=False)
    """Whether a call may have created it in the pool."""
    _files: KnownFiles = field(default_factory=KnownFiles, init=False)
    _runtime: Runtime = field(init=False)
    _runs: int = field(default=0, init=False)
    _seen: list[str] = field(default_factory=list, init=False)
    """Paths that were uploaded since the last run."""
    uploads: Uploads = field(default_factory=dict, init=False, repr=False)
    """How to have what was uploaded once more, by path."""
    _previews: dict[str, tuple[Version, str]] = field(default_factory=dict, init=False)
    """What uploaded files hold, as long as they are as they were."""
    _has_packages: bool = field(default=False, init=False)
    _is_untouched: bool = field(default=False, init=False)
    """Whether nobody can have used it before."""
    _was_lost: bool = field(default=False, init=False)
    _notes: list[str] = field(default_factory=list, init=False)
    """What the next result tells of the session."""

    def __post_init__(self, is_new: bool) -> None:
        self._runtime = Runtime(self.calls, is_new)
        self._is_untouched = is_new
        if is_new:
            self._files.there = {}

    def run(
        self,
        text: str | Prepared | Refusal,
        *,
        timeout: float,
        saved_in: ArtifactDirectory,
        output_chars: int | None = None,
        language: str = "",
    ) -> Flow[Run]:
        """Run what a model sent and bring back the files that it created or changed.

        Args:
            text: code, or a message with code in it; or what was made of it already.
            timeout: seconds that it may take.
            saved_in: where the files go.
            output_chars: how much text the model may still read, instead of what the limits say.
            language: what the text was said to be written in, if anything.
        """
        checked_timeout(timeout)
        limit = self.limits.output_chars if output_chars is None else output_chars
        if isinstance(text, str) and self.mode == "managed":
            text = yield from _prepared(text, language)
        if isinstance(text, Refusal):
            telemetry.refused()
            return refused(text.message, limit)
        telemetry.sent(text if isinstance(text, str) else text.code)
        self._files.drop()
        before: SessionState = "new" if self._is_untouched and not self.was_used else "used"
        if isinstance(text, Prepared) and self.mode == "managed":
            outcome = yield from self._run_managed(text, timeout, saved_in)
        else:
            outcome = yield from self._run_raw(text if isinstance(text, str) else text.code, timeout, saved_in)
        notes = list(self._notes)
        outcome = replace(outcome, notes=(*outcome.notes, *notes))
        most = self.limits.artifacts
        is_long = bool(outcome.artifacts or outcome.attachments) or len(outcome.text) > limit
        run: Run = yield Compute(lambda: finished(outcome, saved_in, limit, most=most), is_long=is_long)
        telemetry.ran(run, next((what for note, what in _CHANGES.items() if note in notes), before))
        # Not before: whoever waited may have gone away, and the next result is to bring and tell it then.
        del self._notes[: len(notes)]
        self._files.deliver()
        return run

    def upload(
        self,
        source: Any,
        *,
        name: str | None = None,
        path: str | None = None,
    ) -> Flow[list[RemoteFile]]:
        """Put a file or several into `/mnt/data`, side by side, so that they are not taken for a run's.

        Args:
            source: what `inputs.inputs_of` takes.
            name: what to call it there; needed for bytes.
            path: the directory below `/mnt/data`.

        Raises:
            UploadError: some of several files could not be uploaded.
        """
        inputs: list[Input] = yield Compute(partial(inputs_of, source, name, path))
        repeats: list[Callable[[], Upload] | None] = [None] * len(inputs)
        if self.keeps_uploads:
            repeats = yield Compute(lambda: [repeatable(each.content, each.name) for each in inputs])
        with self.progress("Uploading", [each.size for each in inputs]) as count:
            steps = []
            for each, repeat in zip(inputs, repeats, strict=True):
                content = each.content if repeat is None or each.is_path else repeat().content
                send = partial(self.calls.upload_file, path=each.directory or None)
                steps.append(Send(counted(opened(content, each.name), count), send))
            outcomes = yield Batch(steps)
        sent, failed = [], []
        for each, repeat, outcome in zip(inputs, repeats, outcomes, strict=True):
            if isinstance(outcome, Exception):
                failed.append((each, outcome))
            else:
                sent.append(self.remember(outcome, repeat, each.preview))
        if len(inputs) == len(failed) == 1:
            raise failed[0][1]
        if failed:
            told = [f"{printable(each.name or 'a file')}: {reason(error)}" for each, error in failed[:5]]
            raise UploadError(
                f"{len(failed)} of {len(inputs)} files could not be uploaded. " + "; ".join(told)
            ) from failed[0][1]
        return sent

    def files(self) -> Flow[list[RemoteFile]]:
        """List what is in `/mnt/data`, without what is hidden and installed packages."""
        if self._is_untouched and not self.was_used:
            return []
        self.was_used = True
        return sorted(filter(may_be_artifact, (yield from listing(self.calls))), key=lambda file: file.path)

    def fetch(self, path: str, saved_in: ArtifactDirectory) -> Flow[Artifact]:
        """Bring back a file of `/mnt/data`, whoever put it there."""
        below = path.removeprefix("/mnt/data/").strip("/")
        directory, _, name = below.rpartition("/")
        operation = self.calls.download_file(name, path=directory or None)
        self.was_used = True
        incoming = IncomingArtifact(below, saved_in)
        yield Download(operation, incoming)
        artifact = incoming.finished()
        return replace(artifact, preview=(yield Compute(partial(preview, artifact.path, name))))

    def described(self) -> Flow[str]:
        """Say in a few words, for a model, what is in `/mnt/data`."""
        files = yield from self.files()
        lines = [f"- {printable(each.path)} ({', '.join(filter(None, self._about(each)))})" for each in files[:_NAMED]]
        if len(files) > _NAMED:
            lines.append(f"- {len(files) - _NAMED} more")
        return "\n".join(["Files in /mnt/data:", *lines]) if lines else "There are no files in /mnt/data."

    def _about(self, file: RemoteFile) -> tuple[str, str]:
        known = self._previews.get(file.path)
        return f"{file.size:,} bytes", known[1] if known is not None and known[0] == version(file) else ""

    @property
    def has_past(self) -> bool:
        """Whether one that takes its place has something to tell: of it, or of one that it was to tell of itself."""
        return self.was_used or self._was_lost

    def follow(self, uploads: Uploads) -> None:
        """Take the place of a session that was given back: the next result says so, and its uploads are put back."""
        self._notes.append(_GIVEN_BACK)
        self.uploads, self._was_lost = uploads, True

    def remember(self, file: RemoteFile, repeat: Callable[[], Upload] | None = None, preview: str = "") -> RemoteFile:
        """Note a file that was put there by an upload, so that it is not taken for a run's.

        `repeat` is how to have it once more, should the session be lost; `preview` is what it holds.
        """
        self._previews[file.path] = version(file), preview
        self.was_used = True
        self._seen.append(file.path)
        self._files.add([file])
        if repeat is not None:
            self.uploads[file.path] = repeat
        return file

    def _run_raw(self, code: str, timeout: float, saved_in: ArtifactDirectory) -> Flow[Outcome]:
        operation = self.calls.execute(code, timeout=self.deadline.time_for_run(timeout))
        self.was_used = True
        self._seen.clear()
        if self._files.there is None:
            self._files.there = versions((yield from listing(self.calls)))
        outcome = yield from run_raw(self.calls, operation)
        return (yield from self._with_listed(outcome, saved_in))

    def _run_managed(self, prepared: Prepared, timeout: float, saved_in: ArtifactDirectory) -> Flow[Outcome]:
        self.was_used = True
        yield from self._made_ready()
        self._runs += 1
        with telemetry.running("managed", self.calls.api_version, language=prepared.language) as told:
            reply = yield from self._ask(prepared, timeout)
            if isinstance(reply, Recycled):
                yield from self._lost()
                yield from self._made_ready()
                reply = yield from self._ask(prepared, timeout)
            told.set(telemetry.timings(reply.execution))
        if isinstance(reply, (NoRuntime, Recycled)):
            _log.warning("%s", _FELL_BACK)
            self.mode = "raw"
            self._notes.append(_FELL_BACK)
            return (yield from self._run_raw(prepared.code, timeout, saved_in))
        if isinstance(reply, Died):
            return (yield from self._dead(reply, saved_in))
        files = reply.envelope.files
        if not set(files.deleted).isdisjoint(self._seen):
            self._notes.append(_UPLOADS_GONE)
        self._seen.clear()
        # First of all, since whoever waits may go away at any step.
        self._files.owe(files)
        if reply.was_repeated:
            self._notes.append(_REPEATED)
        if reply.is_elsewhere:
            yield from self._missed()
        while self._runtime.has_unread:
            envelope = yield from self._runtime.unread()
            self._notes.append(f"An earlier run was given up before its answer came. {_became(envelope)}")
            if envelope is not None:
                self._files.owe(envelope.files)
            self._files.owe(files)
        is_long = len(reply.stdout) + len(reply.stderr) >= _LARGE
        outcome: Outcome = yield Compute(partial(outcome_of, reply, self._runs), is_long=is_long)
        return (yield from self._with_files(outcome, files, saved_in))

    def _made_ready(self) -> Flow[None]:
        """Give the session what every run is to find."""
        if self._was_lost:
            yield from self._restored()
        if self.packages and not self._has_packages:
            yield from self._install_packages()

    def _ask(self, prepared: Prepared, seconds: float) -> Flow[Reply]:
        try:
            return (
                yield from self._runtime.run(
                    prepared, seconds, cell=self._runs, seen=tuple(self._seen), deadline=self.deadline
                )
            )
        except SessionLostError:
            self._was_lost = True
            raise

    def _with_files(self, outcome: Outcome, manifest: Manifest, saved_in: ArtifactDirectory) -> Flow[Outcome]:
        """Bring back what the runtime says that the run made, and what earlier runs made and could not be brought."""
        known = self._files
        known.owe(manifest)
        wanted = list(known.owed.values())
        collection = yield from collect(
            self.calls, wanted, saved_in, self.limits.artifacts, known.hashes, progress=self.progress
        )
        known.bring(collection.missing)
        if manifest.more:
            collection.problems.append(f"{manifest.more} more files; a run names only so many")
        return replace(outcome, artifacts=collection.artifacts, problems=collection.problems, deleted=manifest.deleted)

    def _with_listed(self, outcome: Outcome, saved_in: ArtifactDirectory) -> Flow[Outcome]:
        """Bring back what is there and was not before; never fails for a file."""
        try:
            files = yield from listing(self.calls)
        except AcaNodeError as error:
            return replace(outcome, problems=[f"the files of this run, which could not be listed: {error}"])
        self._files.miss(versions(files), is_whole=lists_all(self.calls))
        return (yield from self._with_files(outcome, self._files.changes(files), saved_in))

    def _dead(self, reply: Died, saved_in: ArtifactDirectory) -> Flow[Outcome]:
        """Tell of a run that took its process with it, and bring back what it had written."""
        self._was_lost = True
        had_files = bool(self._files.there)
        outcome = yield from self._with_listed(raw.outcome_of(reply.execution), saved_in)
        is_all_gone = had_files and not self._files.there and not outcome.problems
        self._notes.append(_ALL_ENDED if is_all_gone else _ENDED)
        return replace(outcome, mode="managed")

    def _lost(self) -> Flow[None]:
        """Note that the session has no runtime any more."""
        self._runtime.forget()
        yield from self._missed()

    def _missed(self) -> Flow[None]:
        """Find out what was lost with a session, for the next result."""
        self._was_lost = True
        # First of all, since whoever waits may go away before the files are listed.
        self._notes.append(_DOUBTFUL)
        try:
            files = yield from listing(self.calls)
        except AcaNodeError:
            return
        there = versions(files)
        gone = self._files.miss(there, is_whole=lists_all(self.calls))
        self._files.add(files)
        self._notes.remove(_DOUBTFUL)
        self._notes.append(_LOST if gone or not there else _RESTARTED)

    def _restored(self) -> Flow[None]:
        """Put back, into a session that lost them, the files that were uploaded."""
        self._has_packages = False
        if self.uploads:
            there = {file.path for file in (yield from listing(self.calls))}
            back = []
            for path in sorted(self.uploads.keys() - there):
                try:
                    directory = path.rpartition("/")[0]
                    self.remember((yield self.calls.upload_file(self.uploads[path](), path=directory or None)))
                    back.append(printable(path))
                except (AcaNodeError, OSError) as error:
                    self._notes.append(f"{printable(path)} could not be put back: {reason(error)}")
            if back:
                self._notes.append(f"Uploaded files were put back: {', '.join(back)}.")
        self._was_lost = False

    def _install_packages(self) -> Flow[None]:
        """Install the packages that every run is to find.

        Raises:
            PackageInstallError: npm could not; the message is npm's own.
        """
        code = npm.installing(self.packages)
        reply = yield from self._ask(code, npm.SECONDS)
        if isinstance(reply, Recycled):
            yield from self._lost()
            yield from self._restored()
            reply = yield from self._ask(code, npm.SECONDS)
        npm.check(reply)
        self._has_packages = True
        self._files.there = versions((yield from listing(self.calls)))


def _became(envelope: Envelope | None) -> str:
    """Say what became of a run."""
    if envelope is None or envelope.state == "none":
        return "Nobody knows what became of it."
    if envelope.state == "never":
        return "Its code had not arrived and did not run."
    if envelope.state == "running":
        return "It still runs."
    ends = {"error": "ended with an error", "timeout": "was stopped at its time limit"}
    return f"It went on and {ends.get(envelope.end, 'ended')}; the session kept its variables and files."


def _prepared(text: str, language: str) -> Flow[Prepared | Refusal]:
    made: Prepared | Refusal = yield Compute(lambda: prepare(text, language=language), is_long=len(text) >= LONG)
    return made
