"""What is known of each conversation, and whether its session agrees: nothing lost, nothing run twice, no word untrue.

Whoever has a conversation at the moment writes into its part; only `closing` may come from elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aca_node_interpreter.errors import AcaNodeError, ServiceError, ServiceUnreachableError, SessionLostError
from aca_node_interpreter.sessions import session
from tests.soak.code import LOG, Told, content_of

if TYPE_CHECKING:
    from aca_node_interpreter import NodeSessionsCodeExecutor

# What a result says when files are gone, and when only variables are.
_FILES_GONE = (session._LOST, session._GIVEN_BACK, session._ALL_ENDED, session._UPLOADS_GONE)
_VARIABLES_GONE = (session._RESTARTED, session._DOUBTFUL, session._ENDED)
_NOT_RUN = ("Nothing ran", "Nothing was sent", "did not run")
_LOST = "The session ended before it answered"
_UNKNOWN = "Nobody knows what became of it"
# Results of a session with which a file must have come.
_PATIENCE = 3


@dataclass(frozen=True)
class SavedFile:
    """A file that came back."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Result:
    """What any face gave back of a run."""

    text: str
    exit_code: int
    told: Told | None
    files: list[SavedFile]


@dataclass
class Ledger:
    """What went wrong, and how much went on."""

    violations: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._state = threading.Lock()
        self._stores: dict[int, str] = {}

    def number(self) -> int:
        """Return a run's number, which no other has."""
        with self._state:
            return next(self._numbers)

    def count(self, what: str) -> None:
        """Count something that happened."""
        with self._state:
            self.happened[what] += 1

    def violated(self, what: str) -> None:
        """Note what must not be."""
        with self._state:
            self.violations.append(what)
        print(f"VIOLATION {what}", flush=True)

    def forget(self) -> None:
        """Begin anew with what was seen where, when all sessions are over."""
        self._stores.clear()

    def store_of(self, number: int, store: str) -> str:
        """Note in which store a run was seen first, and return that."""
        with self._state:
            return self._stores.setdefault(number, store)


@dataclass(eq=False)
class Conversation:
    """What is known of one conversation."""

    executor: NodeSessionsCodeExecutor
    name: str | None
    ledger: Ledger

    def __post_init__(self) -> None:
        self._state = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew, when the session is over."""
        self._lines: dict[str, list[tuple[str, int]]] = {}
        self._store, self._life = "", ""
        self._must: set[int | str] = set()
        self._never: set[int] = set()
        self._may_repeat: set[int] = set()
        self._missed: dict[str, int] = {}
        self._came: set[str] = set()
        self._writes: dict[int, str] = {}
        self._said: set[str] = set()
        self._closings = 0
        self._was_closed = False
        # What led to a violation.
        self._history: deque[str] = deque(maxlen=8)

    @property
    def is_long(self) -> bool:
        """Whether what a run tells is about to become more than a model may read."""
        return len(self._lines.get(self._store, ())) > 150

    @property
    def uploads(self) -> list[str]:
        """The uploaded files that should be there."""
        return [each for each in self._must if isinstance(each, str)]

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Note that somebody ends the session, at some moment from now to the end of the block."""
        with self._state:
            self._closings += 1
            self._was_closed = True
        try:
            yield
        finally:
            with self._state:
                self._closings -= 1
                self._was_closed = True

    def writes(self, number: int, name: str) -> None:
        """Note that a run is to write a file."""
        self._writes[number] = name

    def uploaded(self, name: str) -> None:
        """Note that a file arrived."""
        self._must.add(name)

    def not_found(self, name: str) -> None:
        """Note that a file is said not to be there."""
        if name in self._must:
            self._said.add("not found")

    def failed(self, number: int, error: AcaNodeError) -> None:
        """Check the error of a run, which may say whether it ran."""
        self._history.append(f"{number}: {error!r}")
        ran = getattr(error, "ran", None)
        if isinstance(error, ServiceError) and error.status < 500:
            ran = False
        if isinstance(error, SessionLostError):
            self._said.add("lost")
        elif ran:
            self._must.add(number)
        if ran is False:
            self._never.add(number)
        if isinstance(error, ServiceUnreachableError) and any(each in str(error) for each in _NOT_RUN):
            self._check(ran is False, f"run {number} is said not to have run, yet `ran` is {ran}")

    def failed_in_words(self, number: int, text: str) -> None:
        """Check the error of a run as a model reads it."""
        self._history.append(f"{number}: {text}")
        if _LOST in text:
            self._said.add("lost")
        elif any(each in text for each in _NOT_RUN):
            self._never.add(number)

    def succeeded(self, number: int, result: Result) -> None:
        """Check what a run gave back."""
        self._history.append(f"{number}: {result.exit_code} {result.text[-400:]!r}")
        for note in (*_FILES_GONE, *_VARIABLES_GONE):
            if note in result.text:
                self._said.add("files gone" if note in _FILES_GONE else "variables gone")
        if session._DOUBTFUL in result.text:
            self._said.add("files may be gone")
        if session._REPEATED in result.text:
            self._may_repeat.add(number)
        if "files gone" in self._said:
            self._must.clear()
        # What changed on its way comes again.
        came = {file.name for file in result.files if _changed(file) not in result.text}
        self._came |= came
        if {"files gone", "variables gone"} & self._said or _UNKNOWN in result.text:
            self._missed.clear()
        wanted = self._writes.get(number)
        if result.told is not None:
            self._check_told(number, result.told)
            if wanted is not None and wanted not in came:
                self._check(wanted in result.text, f"run {number} wrote {wanted}, which did not come")
                self._missed.setdefault(wanted, 0)
        elif result.exit_code == 124 and not any(each in result.text for each in (session._ENDED, session._ALL_ENDED)):
            self._must.add(number)
        self._check_files(result)
        for name in list(self._missed):
            self._missed[name] += 1
            if name in came:
                del self._missed[name]
            elif self._missed[name] > _PATIENCE:
                del self._missed[name]
                self._check(False, f"{name} never came")

    def _check_told(self, number: int, told: Told) -> None:
        numbers = [each for _, each in told.lines]
        counts = Counter(numbers)
        twice = [each for each, times in counts.items() if times > 1 and each not in self._may_repeat]
        self._check(not twice, f"runs {twice} ran twice")
        mine = [each for life, each in told.lines if life == told.life]
        self._check(mine == told.numbers, f"variables of run {number} have {told.numbers}, its log {mine}")
        self._check(numbers[-1] == number, f"run {number} is not the last of {numbers}")
        false = self._never.intersection(numbers)
        self._check(not false, f"runs {false} are said not to have run and did")
        broken = [name for name, is_whole in told.uploads.items() if not is_whole]
        self._check(not broken, f"uploads {broken} are not what was sent")
        for each in set(numbers) - self._may_repeat:
            first = self.ledger.store_of(each, told.store)
            self._check(first == told.store, f"run {each} ran in two sessions")
        before = self._lines.get(told.store, [])
        self._check(told.lines[: len(before)] == before, f"run {number} finds {told.lines} after {before}")
        self._lines = {told.store: told.lines}
        self._check_kept(number, told, {*numbers, *told.uploads})
        for each in numbers[len(before) :]:
            name = self._writes.get(each)
            if each != number and name is not None and name not in self._came:
                self._missed.setdefault(name, 0)
        self._must.add(number)
        self._store, self._life = told.store, told.life

    def _check_kept(self, number: int, told: Told, there: set[int | str]) -> None:
        with self._state:
            was_closed, self._was_closed = self._was_closed, self._closings > 0
        said, self._said = self._said, set()
        if not self._store:
            # Nothing but uploads came before.
            self._check(was_closed or bool(said) or self._must <= there, f"run {number} finds uploads lost")
            self._must &= there
            return
        if told.store == self._store:
            lost = self._must - there
            self._check(not lost, f"run {number} finds {lost} lost")
            self._check("files gone" not in said, f"run {number} finds all that was said to be gone")
            self._check("not found" not in said, f"run {number} finds a file that was said not to be there")
            if told.life != self._life:
                self._check(bool(said), f"run {number} finds its variables gone and nobody said so")
            else:
                self._check(not said & {"lost", "variables gone"}, f"run {number} finds what was said to be {said}")
            return
        self._must = {each for each in self._must if each in there}
        self._missed.clear()
        self._check(
            was_closed or bool(said & {"files gone", "files may be gone", "lost"}),
            f"run {number} is in another session: {said}",
        )

    def _check_files(self, result: Result) -> None:
        for file in result.files:
            try:
                content = file.path.read_bytes()
                file.path.unlink()
            except FileNotFoundError:
                self._check(False, f"{file.name} is not there")
                continue
            self._check(hashlib.sha256(content).hexdigest() == file.sha256, f"{file.name} has another hash")
            if _changed(file) in result.text:
                continue
            if file.name == LOG:
                if result.told is not None:
                    lines = [f"{life} {number}" for life, number in result.told.lines]
                    expected = "\n".join([result.told.store, *lines, ""]).encode()
                    self._check(content == expected, f"{LOG} is not what the run left: {content!r}")
            elif file.name.startswith("a-"):
                self._check(content == content_of(file.name), f"{file.name} is not what was written")

    def _check(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.ledger.violated("\n    ".join([f"{self.name}: {what}", *self._history]))


def _changed(file: SavedFile) -> str:
    return f"{file.name} as the session told it"
