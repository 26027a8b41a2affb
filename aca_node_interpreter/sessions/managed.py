"""Managed mode: one call to the in-session runtime for each run, and never a run twice.

Each run has an id, which the runtime remembers, and each installed runtime has a boot id. When an answer does not come,
or comes without its envelope, the code is not sent again: the runtime is asked for the run by its id. It tells what
came of it, or that it never had it (and will refuse it, should it still arrive): then it can be sent under a new id. A
session that has no runtime any more, or another one, was lost, and with it what is known of the run.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from aca_node_interpreter.errors import (
    AcaNodeError,
    ClientClosedError,
    DeadlineExceededError,
    MalformedResponseError,
    PoolFullError,
    ServiceError,
    ServiceUnreachableError,
    SessionLostError,
)
from aca_node_interpreter.javascript import runtime_calls
from aca_node_interpreter.javascript.envelope import MAX_RECORD_BYTES, Envelope, Record, split
from aca_node_interpreter.javascript.prepared import Prepared
from aca_node_interpreter.rest.flow import Compute, Download, Flow, Sleep
from aca_node_interpreter.rest.local_files import BoundedBuffer
from aca_node_interpreter.rest.models import MAX_RUN_SECONDS, Execution
from aca_node_interpreter.rest.operations import Operation, SessionCalls
from aca_node_interpreter.rest.patience import NEVER, Deadline

from . import output

# Seconds that the service gives a run beyond the runtime's own limit, so that the runtime ends it and keeps its state.
_MARGIN = 3
# Seconds until nobody asks for a run any more: after its limit, or since the pool was last heard of.
_PATIENCE = 30.0
_ASK_SECONDS = 5
_ASK_WAIT = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# How often a run is sent that provably did not arrive, a question that got no answer is asked, a record is fetched.
_SENDINGS, _QUESTIONS, _FETCHES = 6, 6, 6
# How often the first code of a new session is sent again because nothing of it is found there.
_REPEATS = 3


def _new_boot() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Answered:
    """The runtime's whole answer to a run."""

    envelope: Envelope
    stdout: str
    stderr: str
    execution: Execution | None = None
    """What the service said, unless its answer was lost and the runtime was asked again."""
    was_repeated: bool = False
    """Whether the code was sent twice as the session's first, because of the first sending nothing was found."""
    is_elsewhere: bool = False
    """Whether the session was lost before, and somebody else put a runtime into the one that took its place."""


@dataclass(frozen=True)
class Died:
    """The code ran until its process ended, and the session's variables with it."""

    execution: Execution


@dataclass(frozen=True)
class NoRuntime:
    """The runtime can't be installed in this session; the code did not run."""

    execution: Execution


@dataclass(frozen=True)
class Recycled:
    """The session that had the runtime is gone; the code did not run."""

    execution: None = None


Reply = Answered | Died | NoRuntime | Recycled


@dataclass
class Runtime:
    """The runtime of one session, as far as it is known from here.

    Args:
        calls: the calls on the session.
        is_new: whether nobody can have used the session before.
    """

    calls: SessionCalls
    is_new: bool
    boot: str = field(default_factory=_new_boot, init=False, repr=False)
    is_installed: bool = field(default=False, init=False)
    has_run: bool = field(default=False, init=False)
    _pending: str = field(default="", init=False)
    """The id of a run of which nobody has the answer yet."""
    _unread: list[str] = field(default_factory=list, init=False)
    """The ids of earlier ones: their callers went away before it came."""

    def forget(self) -> None:
        """Note that the runtime is gone; the next run installs one."""
        self.boot, self.is_installed, self._pending = _new_boot(), False, ""
        self._unread.clear()

    def run(
        self, prepared: Prepared, seconds: float, *, cell: int, seen: Sequence[str] = (), deadline: Deadline = NEVER
    ) -> Flow[Reply]:
        """Run code once, and bring all of its answer.

        Args:
            prepared: the code.
            seconds: how long it may run.
            cell: the run's number.
            seen: paths below `/mnt/data` of files that were put there from here since the last run.
            deadline: when all of it must be over; the run gets less time where not enough is left.

        Raises:
            DeadlineExceededError: there is no time left for a run.
            SessionLostError: the session ended, and nobody knows whether the code ran.
            ServiceUnreachableError: the pool can't be reached; `ran` tells what became of the code.
            ServiceError: the pool refused the run.
        """
        seconds = min(seconds, MAX_RUN_SECONDS - _MARGIN)
        deadline.time_for_run(seconds)
        if self._pending:
            self._unread.append(self._pending)
        self._pending = secrets.token_hex(8)
        repeats = 0
        for _ in range(_SENDINGS):
            is_first = not self.is_installed
            mark = _new_mark()
            try:
                limit = deadline.time_for_run(seconds)
            except DeadlineExceededError as error:
                raise _untold(None) if repeats else error  # noqa: B904  # it is the same one, or says more
            request = runtime_calls.run_request(
                prepared, mark=mark, run_id=self._pending, cell=cell, limit=limit, seen=seen
            )
            code = runtime_calls.first_code(self.boot, request) if is_first else runtime_calls.later_code(request)
            execution, doubt = None, None
            try:
                execution = yield self.calls.execute(code, timeout=math.ceil(limit) + _MARGIN)
            except AcaNodeError as error:
                if error.ran is False:
                    self._pending = ""
                    if repeats:
                        raise _untold(None) from error
                    raise
                doubt = error
            # Not from the beginning: the call may have waited for the pool to have a session.
            ask_until = time.monotonic() + limit + _PATIENCE
            printed, envelope = ("", None) if execution is None else split(execution.stdout, mark)
            if envelope is not None and envelope.state == "none":
                return Recycled()
            if envelope is None or envelope.state in ("running", "never"):
                envelope = yield from self._asked(self._pending, ask_until, doubt)
                printed = ""
            if envelope.state == "none":
                if execution is not None:
                    installed = not is_first or runtime_calls.was_installed(execution.stdout, mark)
                    self.forget()
                    timed_out = output.TIMEOUT_WORDS in execution.stderr
                    if installed or timed_out or (yield from self._can_be_installed()):
                        return Died(_without_signs(execution, mark))
                    return NoRuntime(execution)
                if is_first and self.is_new and not self.has_run and repeats < _REPEATS:
                    repeats += 1
                    continue
                self.forget()
                raise SessionLostError() from doubt
            is_elsewhere = self._met(envelope, is_first)
            if envelope.state == "never":
                self._pending = ""
                if is_elsewhere:
                    raise SessionLostError() from doubt
                self._pending = secrets.token_hex(8)
                continue
            answer = yield from self._whole(envelope, execution, printed, mark, ask_until)
            self._pending = ""
            return replace(answer, was_repeated=repeats > 0, is_elsewhere=is_elsewhere)
        self._pending = ""
        if repeats:
            raise _untold(None) from doubt
        raise ServiceUnreachableError(
            "The session pool loses what it is sent; the code did not run. Try again later.", ran=False
        ) from doubt

    def _can_be_installed(self) -> Flow[bool]:
        """Install the runtime without code: where that works, code of which nothing was heard may have run."""
        mark = _new_mark()
        ask = runtime_calls.ask_request(mark=mark, run_id=secrets.token_hex(8), wait=0)
        try:
            execution = yield self._call(runtime_calls.first_code(self.boot, ask))
        except AcaNodeError as error:
            raise _untold(None) from error
        return runtime_calls.was_installed(execution.stdout, mark)

    def unread(self) -> Flow[Envelope | None]:
        """Tell what became of the earliest run of those whose answer nobody took; `None` where that is not known."""
        if not self._unread:
            return None
        run_id, deadline = self._unread[0], time.monotonic() + _ASK_SECONDS
        envelope: Envelope | None
        try:
            envelope = yield from self._asked(run_id, deadline, None)
            if envelope.state == "file":
                envelope = (yield from self._record(run_id, envelope, deadline)).envelope
        except AcaNodeError:
            envelope = None
        # Not before: whoever asked may have gone away, too.
        self._unread = self._unread[1:]
        return envelope

    @property
    def has_unread(self) -> bool:
        """Whether there are runs whose answer nobody took."""
        return bool(self._unread)

    def _met(self, envelope: Envelope, is_first: bool) -> bool:
        """Take note of a runtime that answered, and tell whether it is one that took the place of what was known."""
        # In a session that others use it may have been there.
        may_be_older = is_first and (not self.is_new or envelope.state != "never")
        is_elsewhere = envelope.boot != self.boot and not may_be_older
        self.boot, self.is_installed, self.has_run = envelope.boot, True, True
        return is_elsewhere

    def _whole(
        self,
        envelope: Envelope,
        execution: Execution | None,
        printed: str,
        mark: str,
        deadline: float,
    ) -> Flow[Answered]:
        """Complete an answer of which a part did not arrive."""
        stdout = runtime_calls.without_sign(printed, mark)
        stderr = "" if execution is None else execution.stderr
        is_whole = envelope.state == "done" and (envelope.out, envelope.err) == (_size(stdout), _size(stderr))
        if not is_whole:
            record = yield from self._record(self._pending, envelope, deadline)
            envelope, stdout, stderr = record.envelope, record.stdout, record.stderr
        return Answered(envelope, stdout, stderr, execution)

    def _asked(
        self, run_id: str, deadline: float, doubt: AcaNodeError | None, *, whole: bool = False, ran: bool | None = None
    ) -> Flow[Envelope]:
        """Ask for a run until the runtime, or what is left of the session, has an answer; `ran` is what is known."""
        pause, unanswered, heard = _FIRST_PAUSE, 0, time.monotonic()
        while True:
            mark = _new_mark()
            ask = runtime_calls.ask_request(mark=mark, run_id=run_id, wait=_ASK_SECONDS)
            try:
                execution = yield self._question(
                    runtime_calls.fetch_request(mark=mark, run_id=run_id) if whole else ask
                )
            except AcaNodeError as error:
                if not _may_pass(error):
                    # What came of the question is not what came of the code.
                    raise _untold(ran) from error
                doubt = error
            else:
                heard = time.monotonic()
                envelope = split(execution.stdout, mark)[1]
                if envelope is None:
                    # The answer itself may have been cut; in a file there is room.
                    whole, unanswered = True, unanswered + 1
                elif envelope.state != "running":
                    return envelope
            if time.monotonic() > min(deadline, heard + _PATIENCE) or unanswered >= _QUESTIONS:
                raise _untold(ran) from doubt
            yield Sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _question(self, request: dict[str, Any]) -> Operation[Execution]:
        """Return a call that may be sent twice, since it runs nothing."""
        return self._call(runtime_calls.later_code(request))

    def _call(self, code: str) -> Operation[Execution]:
        operation = self.calls.execute(code, timeout=_ASK_SECONDS + _MARGIN)
        return replace(operation, replayable=True, runs_code=False, wait=_ASK_WAIT)

    def _record(self, run_id: str, envelope: Envelope, deadline: float) -> Flow[Record]:
        """Fetch all of a run from the file that the runtime writes for it."""
        problem: AcaNodeError | None = None
        for _ in range(_FETCHES):
            if envelope.file is None:
                envelope = yield from self._asked(run_id, deadline, problem, whole=True, ran=True)
            if envelope.file is None:
                break
            name, size, sha256 = envelope.file
            try:
                content = yield from self._fetched(name, size)
                record: Record | None = yield Compute(partial(_record_of, content, sha256))
                if record is not None:
                    return replace(record, envelope=replace(record.envelope, boot=envelope.boot))
            except AcaNodeError as error:
                problem = error
            envelope = replace(envelope, file=None)
        if envelope.state in ("none", "never"):
            self.forget()
            raise SessionLostError(ran=True) from problem
        # The session is there, so what it has is not lost.
        raise _untold(True) from problem

    def _fetched(self, name: str, size: int) -> Flow[bytes]:
        if size > MAX_RECORD_BYTES:
            raise MalformedResponseError("The session's record of the run is larger than any can be.")
        buffer = BoundedBuffer(size)
        yield Download(self.calls.download_file(name), buffer)
        return buffer.content


def _record_of(content: bytes, sha256: str) -> Record | None:
    return Record.parse(content) if hashlib.sha256(content).hexdigest() == sha256 else None


def _untold(ran: bool | None) -> ServiceUnreachableError:
    if ran:
        return ServiceUnreachableError(
            "The code ran, but what came of it could not be fetched: look for it in the next run.", ran=True
        )
    return ServiceUnreachableError(
        "The session pool did not tell what became of the code: it may have run. Check what it did before you send it "
        "again.",
        ran=None,
    )


def _may_pass(error: AcaNodeError) -> bool:
    """Tell whether a question that met this error may be answered later."""
    if isinstance(error, ServiceError):
        return error.status >= 500 or isinstance(error, PoolFullError)
    return not isinstance(error, (ClientClosedError, DeadlineExceededError))


def _new_mark() -> str:
    return f"aca-{secrets.token_hex(8)} "


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _without_signs(execution: Execution, mark: str) -> Execution:
    return replace(execution, stdout=runtime_calls.without_sign(execution.stdout, mark))
