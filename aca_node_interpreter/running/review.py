"""What a text passes before its session's turn is taken: the policy's check, then the question whether it may run.

Nothing is held while a person thinks: no turn, no session, no connection, no time limit. Other conversations go on, and
so does this one with whatever is not code. Only the texts of one conversation wait for each other, so that they are
asked about, and run, in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from aca_node_interpreter.approval import Approve, Proposal, ask, ask_async
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.javascript.grammars import error_line
from aca_node_interpreter.javascript.prepare import LONG, prepare, prepare_code
from aca_node_interpreter.javascript.prepared import Prepared, Refusal
from aca_node_interpreter.javascript.uses import Uses, uses_of
from aca_node_interpreter.policy import NOT_RUN, Policy, modules_in

from .turns import Turns

_UNREADABLE = (
    f"{NOT_RUN} What modules it uses is checked first, and it can't be read from line {{line}} on: look for a mistake "
    "there, or write it more plainly."
)


@dataclass(eq=False)
class Texts:
    """What is known of the texts of one conversation."""

    turns: Turns
    """The conversation's, whichever session it has meanwhile."""
    own: set[str] = field(default_factory=set)
    """Variables of theirs that hide modules that Node.js has as globals."""

    @contextmanager
    def asked_about(self) -> Iterator[None]:
        """Note that one of them is waiting for an answer."""
        token = _asked_about.set((*_asked_about.get(), self.turns))
        try:
            yield
        finally:
            _asked_about.reset(token)

    def check(self) -> None:
        """See that it is not the answer to one of them that waits for the next.

        Raises:
            ConfigurationError: it is, and would wait for ever.
        """
        if self.turns in _asked_about.get():
            raise ConfigurationError("`approve` can't run code in the conversation that it is asked about.")


_asked_about: ContextVar[tuple[Turns, ...]] = ContextVar("aca_node_interpreter_asked_about", default=())


@dataclass(frozen=True)
class Review:
    """What an executor's texts pass."""

    policy: Policy
    approve: Approve | None
    mode: Literal["managed", "raw"]
    """`raw` where they are sent exactly as they are."""

    def look(self, code: str, language: str, own: set[str]) -> tuple[Prepared | Refusal, Uses]:
        """Return a text as it is to run, or why it may not, and what it uses."""
        if complaint := self.policy.complaint_of_size(code):
            return Refusal(complaint), Uses()
        prepared = prepare_code(code) if self.mode == "raw" else prepare(code, language=language)
        if isinstance(prepared, Refusal) or prepared.source is None:
            return prepared, Uses()
        if prepared.has_errors and self.policy.restricts_modules:
            # V8 might understand it yet.
            return Refusal(_UNREADABLE.format(line=error_line(prepared.source.tree))), Uses()
        uses = uses_of(prepared.source)
        complaint = self.policy.complaint(uses, own) if self.policy.restricts_modules else ""
        return Refusal(complaint) if complaint else prepared, uses

    async def look_async(self, code: str, language: str, own: set[str]) -> tuple[Prepared | Refusal, Uses]:
        """Do what `look` does, without holding up the event loop."""
        if len(code) < LONG:
            return self.look(code, language, own)
        return await asyncio.to_thread(self.look, code, language, own)


class Submission:
    """A text on its way through the review.

    Args:
        review: what it passes.
        code: what the model sent.
        language: what the model called it, if anything.
        conversation: the name of its conversation.
        is_known: tells whether it ran before, so that it will not run now.
    """

    def __init__(
        self,
        review: Review,
        code: str,
        *,
        language: str = "",
        conversation: str | None = None,
        is_known: Callable[[], bool] = bool,
    ) -> None:
        self._review = review
        self._code = code
        self._language = language
        self._conversation = conversation
        self._is_known = is_known
        self.reviewed: Prepared | Refusal = Refusal(f"{NOT_RUN} It was not reviewed.")
        """What may run, or why nothing may."""

    @contextmanager
    def passed(self, texts: Texts) -> Iterator[None]:
        """Review the text, after the earlier ones of its conversation and before the later ones.

        What `approve` raises is raised here.
        """
        texts.check()
        with texts.turns.taken():
            if not self._is_known():
                looked, uses = self._review.look(self._code, self._language, texts.own)
                approve = self._review.approve
                if approve is not None and isinstance(looked, Prepared):
                    with texts.asked_about():
                        looked = _unless(ask(approve, self._proposal(uses, texts)), looked)
                self._take(looked, uses, texts)
            yield

    @asynccontextmanager
    async def passed_async(self, texts: Texts) -> AsyncIterator[None]:
        """Do what `passed` does, without holding up the event loop; whoever stops waiting has nothing run."""
        texts.check()
        async with texts.turns.taken_async():
            if not self._is_known():
                looked, uses = await self._review.look_async(self._code, self._language, texts.own)
                approve = self._review.approve
                if approve is not None and isinstance(looked, Prepared):
                    with texts.asked_about():
                        looked = _unless(await ask_async(approve, self._proposal(uses, texts)), looked)
                self._take(looked, uses, texts)
            yield

    def _proposal(self, uses: Uses, texts: Texts) -> Proposal:
        return Proposal(self._code, self._conversation, modules_in(uses, texts.own))

    def _take(self, looked: Prepared | Refusal, uses: Uses, texts: Texts) -> None:
        self.reviewed = looked
        if isinstance(looked, Prepared):
            texts.own |= uses.own


def _unless(objection: str, prepared: Prepared) -> Prepared | Refusal:
    return Refusal(objection) if objection else prepared
