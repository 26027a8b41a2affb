"""A session for each conversation: which one it is, whose turn it is in it, and when it is given back.

What a conversation is called comes from outside, from users even, so it is no identifier: that is a keyed hash of it,
which nobody without the key can work out and no two conversations share.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, MutableSequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TypeAlias
from weakref import WeakValueDictionary

from aca_node_interpreter import telemetry
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.rest.operations import SessionCalls
from aca_node_interpreter.sessions.progress import no_progress, show_progress
from aca_node_interpreter.sessions.session import Session, Uploads

from .places import Place, Places
from .review import Texts
from .settings import Settings
from .turns import Turns

Key: TypeAlias = str | None
OWN: Key = None
"""The conversation of the executor itself, for programs that have only one; no name is its, not even an empty one."""

# How many conversations are told, when they go on, that their session was given back.
_REMEMBERED = 10_000
# How many idle ones are given back with one run, so that no run waits long for others.
_AT_ONCE = 2


@dataclass
class Conversation:
    """A conversation's session."""

    key: Key = field(repr=False)
    session: Session
    is_lent: bool
    """Whether it was somebody else's before, who ends it."""
    is_shared: bool
    """Whether replicas may go on with it, so that it does not end with the executor."""
    texts: Texts
    """What is reviewed before its turn comes."""
    turns: Turns = field(default_factory=Turns)
    """Runs take turns: two at once could not tell whose files are whose."""
    last_used: float = field(default_factory=time.monotonic)
    is_over: bool = False
    """Whether another session has taken its place."""
    is_ended: bool = False
    """Whether the session was told to end."""
    place: Place | None = None
    """What lets it have a session now, where it has that."""

    def given_back(self) -> Flow[None]:
        """End the session, if it is ours and there is one."""
        try:
            if self.session.was_used and not self.is_lent:
                yield self.session.calls.delete_session()
        finally:
            self.is_ended = True


class Conversations:
    """The conversations of one executor.

    Args:
        settings: how sessions are made.
        resumed_id: an existing session for the executor's own conversation.
    """

    def __init__(self, settings: Settings, resumed_id: str | None) -> None:
        self._settings = settings
        self._resumed_id = resumed_id
        self._secret = (settings.session_secret or secrets.token_hex(32)).encode("utf-8", "surrogatepass")
        self._known: OrderedDict[Key, Conversation] = OrderedDict()
        self._given_back: OrderedDict[Key, Uploads] = OrderedDict()
        self._owed: deque[Conversation] = deque()
        self._left: list[Conversation] = []
        self._text_turns: WeakValueDictionary[Key, Turns] = WeakValueDictionary()
        self._state = threading.Lock()
        self.places = Places(settings.max_concurrent_sessions)
        telemetry.watch(self)

    @property
    def sessions_in_use(self) -> int:
        """How many sessions the conversations have."""
        return self.places.held

    @property
    def calls_waiting(self) -> int:
        """How many calls wait for their turn in a session, or for a session."""
        with self._state:
            return self.places.waiting + sum(each.turns.waiting for each in self._known.values())

    def close(self) -> None:
        """Let everybody go on who waits: nothing is left to wait for."""
        telemetry.unwatch(self)
        self.places.open()

    def of(self, key: Key) -> Conversation:
        """Return a conversation, begun now if it is new."""
        with self._state:
            return self._of(key)

    def _of(self, key: Key) -> Conversation:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._begun(key)
            uploads = self._given_back.pop(key, None)
            if uploads is not None:
                found.session.follow(uploads)
        self._touch(found)
        return found

    def to_end(self, key: Key) -> Conversation | None:
        """Return a conversation, unless nobody can have begun it."""
        with self._state:
            if self._settings.session_secret is not None and key is not OWN:
                found = self._of(key)
                # By a replica, if not here.
                found.session.was_used = True
                return found
            # Whoever ends it knows that it is gone.
            self._given_back.pop(key, None)
            return self._of(key) if key in self._known or (key is OWN and self._resumed_id is not None) else None

    def used(self, conversation: Conversation) -> None:
        """Note that something was done in a conversation just now."""
        with self._state:
            if self._known.get(conversation.key) is conversation:
                self._touch(conversation)

    def _touch(self, conversation: Conversation) -> None:
        conversation.last_used = time.monotonic()
        self._known.move_to_end(conversation.key)

    def end(self, conversation: Conversation) -> None:
        """Forget a conversation, in its turn."""
        with self._state:
            self._forget(conversation)
            if conversation.session.was_used:
                self._note_left(conversation)
            if conversation.key is OWN:
                self._resumed_id = None

    def end_idle(self) -> list[Conversation]:
        """Forget conversations that nobody has used for long, and return those of them whose session is to be ended."""
        before = time.monotonic() - self._settings.idle_seconds
        with self._state:
            long_idle = takewhile(lambda each: each.last_used <= before, list(self._known.values()))
        to_end: list[Conversation] = []
        self._leave((each for each in long_idle if each.key is not OWN), _AT_ONCE, to_end)
        return to_end

    def place_for(self, conversation: Conversation) -> Place:
        """Ask for the right to a session; for it, others leave that are idle, the least recently used first."""
        place = self.places.queued()
        self.make_room()
        return place

    def another_place_for(self, conversation: Conversation) -> Place | None:
        """Give back a place for which the pool had no session, and ask for another one; `None` if that was done."""
        with self._state:
            refused, conversation.place = conversation.place, None
        if refused is None:
            return None
        place = self.places.refused(refused)
        self.make_room()
        return place

    def place_taken(self, conversation: Conversation, place: Place) -> list[Conversation]:
        """Note that the place has come, and return who left for it: the session is to be ended first."""
        conversation.place = place
        with self._state:
            return [self._owed.popleft()] if self._owed else []

    def make_room(self) -> None:
        """Have idle conversations leave for those that wait; called whenever one becomes idle or begins to wait."""
        while self.places.are_wanted:
            with self._state:
                candidates = [each for each in self._known.values() if each.place is not None]
            if not self._leave(candidates, 1, self._owed):
                return

    def _leave(self, candidates: Iterable[Conversation], most: int, to_end: MutableSequence[Conversation]) -> int:
        """Forget conversations that are not in use, and tell how many; `to_end` gets those whose session is to end.

        One with a session that was passed in only leaves its place.
        """
        # In this order: whoever comes to have the turn of one must find it over.
        with ExitStack() as taken, self._state:
            is_free = (
                each for each in candidates if not each.is_over and taken.enter_context(each.turns.taken_if_free())
            )
            leaving = list(islice(is_free, most))
            for each in leaving:
                if each.is_lent:
                    # Its session is somebody else's, stays, and is the same when it goes on.
                    self._leave_place(each)
                    continue
                # Replicas may go on with a shared one, which ends by itself when none does.
                if each.session.has_past and not each.is_shared:
                    self._given_back[each.key] = each.session.uploads
                    to_end.append(each)
                    self._note_left(each)
                self._forget(each)
            while len(self._given_back) > _REMEMBERED:
                self._given_back.popitem(last=False)
        return len(leaving)

    def _forget(self, conversation: Conversation) -> None:
        self._known.pop(conversation.key, None)
        conversation.is_over = True
        self._leave_place(conversation)

    def _leave_place(self, conversation: Conversation) -> None:
        if conversation.place is not None:
            conversation.place = None
            self.places.leave()

    def _note_left(self, conversation: Conversation) -> None:
        self._left = [*(each for each in self._left if not each.is_ended), conversation]

    def unended(self) -> list[Conversation]:
        """Return those that closing ends: all but shared ones, and those that left and have not been ended yet."""
        with self._state:
            mine = (each for each in self._known.values() if not each.is_shared)
            return [each for each in (*mine, *self._left) if not each.is_ended]

    @property
    def are_held_up_here(self) -> bool:
        """Whether one of them is under way on the event loop that runs in this thread."""
        with self._state:
            return any(each.turns.is_held_up_here for each in self._known.values())

    def _begun(self, key: Key) -> Conversation:
        settings = self._settings
        resumed_id = self._resumed_id if key is OWN else None
        # Where replicas are to agree, nothing but the conversation decides; else no two sessions have one identifier.
        is_shared = settings.session_secret is not None and key is not OWN
        nonce = "" if is_shared else secrets.token_hex(16)
        session = Session(
            SessionCalls(resumed_id or self._identifier(nonce, key), settings.api_version, settings.max_upload_bytes),
            is_new=resumed_id is None and not is_shared,
            limits=settings.limits,
            mode=settings.mode,
            packages=settings.packages,
            keeps_uploads=settings.rehydrate,
            progress=show_progress if settings.show_progress else no_progress,
        )
        # Texts wait for each other also when the session is given back while one of them is asked about.
        texts = Texts(self._text_turns.setdefault(key, Turns()))
        return Conversation(key, session, is_lent=resumed_id is not None, is_shared=is_shared, texts=texts)

    def _identifier(self, nonce: str, key: Key) -> str:
        """Return an identifier that only who has the secret can work out."""
        told = f"{nonce}:{key}".encode("utf-8", "surrogatepass")
        return f"node-{hmac.digest(self._secret, told, 'sha256').hex()}"
