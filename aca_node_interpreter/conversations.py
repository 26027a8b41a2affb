"""A session for each conversation: which one it is, whose turn it is in it, and when it is given back.

What a conversation is called comes from outside, from users even, so it is no identifier: that is a keyed hash of it,
which nobody without the key can work out and no two conversations share.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeAlias

from .flow import Flow
from .operations import SessionCalls
from .progress import no_progress, show_progress
from .session import Session
from .settings import Settings
from .turns import Turns

Key: TypeAlias = str | None
OWN: Key = None
"""The conversation of the executor itself, for programs that have only one; no name is its, not even an empty one."""

# How many conversations are told, when they go on, that their session was given back.
_REMEMBERED = 1_000
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
    turns: Turns = field(default_factory=Turns)
    """Runs take turns: two at once could not tell whose files are whose."""
    last_used: float = field(default_factory=time.monotonic)
    is_over: bool = False
    """Whether another session has taken its place."""

    def given_back(self) -> Flow[None]:
        """End the session, if it is ours and there is one."""
        if self.session.was_used and not self.is_lent:
            yield self.session.calls.delete_session()


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
        self._given_back: OrderedDict[Key, Session] = OrderedDict()
        self._state = threading.Lock()

    def of(self, key: Key) -> Conversation:
        """Return a conversation, begun now if it is new."""
        with self._state:
            return self._of(key)

    def _of(self, key: Key) -> Conversation:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._begun(key)
            former = self._given_back.pop(key, None)
            if former is not None:
                found.session.follow(former)
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
            self._known.pop(conversation.key, None)
            conversation.is_over = True
            if conversation.key is OWN:
                self._resumed_id = None

    def end_idle(self, taken: ExitStack) -> list[Conversation]:
        """Forget conversations that nobody has used for long, and return some, whose turn `taken` then holds."""
        idle: list[Conversation] = []
        with self._state:
            before = time.monotonic() - self._settings.idle_seconds
            for key, each in self._known.items():
                if each.last_used > before or len(idle) == _AT_ONCE:
                    break
                if key is not OWN and taken.enter_context(each.turns.taken_if_free()):
                    idle.append(each)
            for each in idle:
                del self._known[each.key]
                each.is_over = True
                # Replicas may go on with a shared one, which ends by itself when none does.
                if not each.is_shared:
                    self._given_back[each.key] = each.session
            while len(self._given_back) > _REMEMBERED:
                self._given_back.popitem(last=False)
        return [each for each in idle if not each.is_shared]

    def all(self) -> list[Conversation]:
        """Return those that there are."""
        with self._state:
            return list(self._known.values())

    def _begun(self, key: Key) -> Conversation:
        settings = self._settings
        resumed_id = self._resumed_id if key is OWN else None
        # Where replicas are to agree, nothing but the conversation decides; else no two sessions have one identifier.
        is_shared = settings.session_secret is not None and key is not OWN
        nonce = "" if is_shared else secrets.token_hex(16)
        session = Session(
            SessionCalls(resumed_id or self._identifier(nonce, key), settings.api_version),
            is_new=resumed_id is None and not is_shared,
            limits=settings.limits,
            mode=settings.mode,
            packages=settings.packages,
            keeps_uploads=settings.rehydrate,
            progress=show_progress if settings.show_progress else no_progress,
        )
        return Conversation(key, session, is_lent=resumed_id is not None, is_shared=is_shared)

    def _identifier(self, nonce: str, key: Key) -> str:
        """Return an identifier that only who has the secret can work out."""
        told = f"{nonce}:{key}".encode("utf-8", "surrogatepass")
        return f"node-{hmac.digest(self._secret, told, 'sha256').hex()}"
