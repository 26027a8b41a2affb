"""What runs code for every face: its conversations' sessions, their pool, and the directory of artifacts.

It knows no agent framework. Its sync and async methods may be mixed, from several threads and event loops.
"""

from __future__ import annotations

import asyncio
import math
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio

from aca_node_interpreter import telemetry
from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.errors import AcaNodeError, ServiceUnreachableError
from aca_node_interpreter.rest.async_client import AsyncSessionPoolClient
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.endpoint import checked_identifier
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.rest.patience import Deadline, Patience
from aca_node_interpreter.rest.waiting import wait_for
from aca_node_interpreter.sessions.runs import Run
from aca_node_interpreter.sessions.session import Session

from .admission import admitted, readmitted
from .artifact_place import ArtifactPlace, in_this_process
from .closing import Closing
from .connection import Connection
from .conversations import OWN, Conversation, Conversations, Key
from .endings import time_to_end
from .review import Submission
from .settings import Settings

T = TypeVar("T")

# For the call that opens a connection ahead of the first run.
_START_SECONDS = 5.0
# Artifacts that are remembered, the newest.
_REMEMBERED_ARTIFACTS = 1_000


class SessionRunner:
    """Runs code in sessions, one for each conversation.

    It opens itself on first use and can be used again, with new sessions, after closing. A conversation is named by its
    key; without one, it is the runner's own.

    Args:
        settings: where and how.
        session_id: an existing session for the runner's own conversation, which closing leaves alive. Without it all
            sessions are new, and closing ends them.
    """

    def __init__(self, settings: Settings, session_id: str | None = None) -> None:
        if session_id is not None:
            checked_identifier(session_id)
        self._settings = settings
        self._conversations = Conversations(settings, session_id)
        self._resumed_id = session_id
        self._connection: Connection | None = None
        self._place = ArtifactPlace(settings)
        self._saved: deque[Artifact] = deque(maxlen=_REMEMBERED_ARTIFACTS)
        # An object that nobody closed still leaves no process behind.
        self._release: weakref.finalize[..., Any] | None = None
        self._state = threading.Lock()
        self._closings = 0

    @property
    def artifacts_path(self) -> Path:
        """The directory that artifacts are saved in; it is made when first asked for."""
        return self._place.path()

    @property
    def artifacts(self) -> list[Artifact]:
        """What the own conversation's runs and downloads saved and is still there, the oldest first."""
        with self._state:
            return list(self._saved)

    def perform(
        self,
        flow_of: Callable[[Session], Flow[T]],
        conversation: Key = OWN,
        *,
        after: AbstractContextManager[object] | None = None,
        deadline: Deadline | None = None,
        submission: Submission | None = None,
    ) -> T:
        """Do something in a conversation's session, in its turn.

        Args:
            flow_of: returns what is to be done, as a flow of the session.
            conversation: its key.
            after: waits, when it is entered, for others to go first; it is left when all is done.
            deadline: when all must be over, where it began before; else it begins after the review.
            submission: the text that is to run, to be reviewed before the turn is taken.
        """
        closings = self._closings
        with (
            after or nullcontext(),
            self._reviewed(submission, conversation),
            # From here, since nobody knows how long a person thinks.
            telemetry.entering("allocate", self._in_turn(conversation, closings, deadline or self._deadline())) as (
                client,
                session,
                patience,
            ),
        ):
            return self._remembering(client.perform(flow_of(session), patience), conversation)

    async def aperform(
        self, flow_of: Callable[[Session], Flow[T]], conversation: Key = OWN, *, submission: Submission | None = None
    ) -> T:
        """Do what `perform` does, without holding up the event loop."""
        closings = self._closings
        async with (
            self._reviewed_async(submission, conversation),
            telemetry.entering_async("allocate", self._in_turn_async(conversation, closings, self._deadline())) as (
                client,
                session,
                patience,
            ),
        ):
            return self._remembering(await client.perform(flow_of(session), patience), conversation)

    def run(
        self,
        code: str | Submission,
        *,
        timeout: float | None = None,
        output_chars: int | None = None,
        language: str = "",
    ) -> Callable[[Session], Flow[Run]]:
        """Return what runs code and brings back its files. Code that fails is a `Run` too; an error is the call's.

        `timeout` (seconds) and `output_chars` (of text for a model) take the place of the settings; `language` is what
        the code was said to be written in.
        """
        seconds = self._settings.timeout if timeout is None else timeout
        return lambda session: session.run(
            code if isinstance(code, str) else code.reviewed,
            timeout=seconds,
            saved_in=self._place.directory,
            output_chars=output_chars,
            language=language,
        )

    def fetch(self, path: str) -> Callable[[Session], Flow[Artifact]]:
        """Return what brings back a file of the session's `/mnt/data`."""
        return lambda session: session.fetch(path, self._place.directory)

    async def start(self) -> None:
        """Open now what the first run would open: the embedded pool, or a connection, with a token.

        It raises nothing of the session pool's: the first run tells what is wrong.
        """
        connection = await self._aconnected(self._closings)
        client = await connection.client_of_running_loop()
        with suppress(AcaNodeError), anyio.move_on_after(_START_SECONDS):
            # Any call opens a connection; this one can't begin a session.
            await client.get_metadata()

    def end(self, conversation: Key) -> None:
        """End a conversation's session, once nobody runs code in it; the next run has a new one."""
        closings = self._closings
        talk = self._conversations.to_end(conversation)
        if talk is not None:
            with talk.turns.taken():
                if self._forgotten(talk, closings):
                    wait_for(self._connected(closings).endings.begin([talk]), math.inf)

    async def aend(self, conversation: Key) -> None:
        """Do what `end` does, without holding up the event loop; whoever stops waiting for its turn ends nothing."""
        closings = self._closings
        talk = self._conversations.to_end(conversation)
        if talk is not None:
            async with talk.turns.taken_async():
                if self._forgotten(talk, closings):
                    connection = await self._aconnected(closings)
                    await connection.endings.here(await connection.client_of_running_loop(), talk)

    def close(self) -> None:
        """End the sessions that are this object's own, close connections, stop the pool, remove temporary files.

        A run that is under way ends with an error, and so do those that wait for their turn. What of this object was
        under way in threads of its own is over.
        """
        self._closing().finish()

    async def aclose(self) -> None:
        """Do what `close` does, without holding up the event loop."""
        closing = self._closing()
        try:
            await closing.leave_here()
        except BaseException:
            # It goes on, and whoever is cancelled does not wait for it.
            asyncio.get_running_loop().run_in_executor(None, closing.finish)
            raise
        if closing.is_quick:
            closing.finish()
        else:
            await asyncio.to_thread(closing.finish)

    def _closing(self) -> Closing:
        """Begin anew, and return what is left to do of what was open."""
        with self._state:
            connection, self._connection = self._connection, None
            place, self._place = self._place, ArtifactPlace(self._settings)
            ended, self._conversations = self._conversations, Conversations(self._settings, self._resumed_id)
            # After these: who read the new number then reads what it belongs to.
            self._closings += 1
            if place.is_temporary:
                self._saved.clear()
            release, self._release = self._release, None
        ended.close()
        return Closing(connection, ended, place, release)

    def _remembering(self, result: T, conversation: Key) -> T:
        if conversation is OWN and isinstance(result, (Run, Artifact)):
            with self._state:
                self._saved.extend(result.artifacts if isinstance(result, Run) else [result])
        return result

    def _forgotten(self, talk: Conversation, closings: int) -> bool:
        """Forget a conversation, unless somebody did, and tell whether its session is to be ended."""
        with self._state:
            if talk.is_over or self._closings != closings:
                return False
            if talk.key is OWN:
                self._resumed_id = None
            self._conversations.end(talk)
            return talk.session.was_used

    def _connected(self, closings: int) -> Connection:
        with self._state:
            self._check_still_open(closings)
            return self._opened()

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = Connection.open(self._settings)
            self._release = weakref.finalize(self, in_this_process(self._connection.release))
        return self._connection

    async def _aconnected(self, closings: int) -> Connection:
        connection = self._connection
        if connection is not None:
            return connection
        if Connection.opens_at_once(self._settings):
            return self._connected(closings)
        return await asyncio.to_thread(self._connected, closings)

    def _reviewed(self, submission: Submission | None, key: Key) -> AbstractContextManager[None]:
        return nullcontext() if submission is None else submission.passed(self._conversations.of(key).texts)

    def _reviewed_async(self, submission: Submission | None, key: Key) -> AbstractAsyncContextManager[None]:
        return nullcontext() if submission is None else submission.passed_async(self._conversations.of(key).texts)

    @contextmanager
    def _in_turn(
        self, key: Key, closings: int, deadline: Deadline
    ) -> Iterator[tuple[SessionPoolClient, Session, Patience]]:
        conversations = self._conversations
        try:
            while True:
                talk = conversations.of(key)
                with talk.turns.taken(deadline):
                    self._check_still_open(closings)
                    if talk.is_over:
                        continue
                    connection = self._connected(closings)
                    client, where = connection.client, (conversations, connection.endings, talk)
                    client.perform(admitted(*where, deadline, stops_the_loop=True))
                    self._check_still_open(closings)
                    talk.session.deadline = deadline
                    telemetry.reached(*connection.address)
                    try:
                        yield client, talk.session, Patience(deadline, partial(readmitted, *where))
                    finally:
                        conversations.used(talk)
                        if self._outlived(talk, closings, connection):
                            _end_late(connection, talk)
                    return
        finally:
            conversations.make_room()

    @asynccontextmanager
    async def _in_turn_async(
        self, key: Key, closings: int, deadline: Deadline
    ) -> AsyncIterator[tuple[AsyncSessionPoolClient, Session, Patience]]:
        conversations = self._conversations
        try:
            while True:
                talk = conversations.of(key)
                async with talk.turns.taken_async(deadline):
                    self._check_still_open(closings)
                    if talk.is_over:
                        continue
                    connection = await self._aconnected(closings)
                    client = await connection.client_of_running_loop()
                    where = conversations, connection.endings, talk
                    await client.perform(admitted(*where, deadline))
                    self._check_still_open(closings)
                    talk.session.deadline = deadline
                    telemetry.reached(*connection.address)
                    try:
                        yield client, talk.session, Patience(deadline, partial(readmitted, *where))
                    finally:
                        conversations.used(talk)
                        if self._outlived(talk, closings, connection):
                            await _end_late_async(connection, talk)
                    return
        finally:
            conversations.make_room()

    def _outlived(self, talk: Conversation, closings: int, connection: Connection) -> bool:
        """Whether a run that is over may have begun a session once more, after its executor was closed meanwhile."""
        return self._closings != closings and connection.pool is None and not talk.is_shared

    def _deadline(self) -> Deadline:
        return Deadline.after(self._settings.deadline)

    def _check_still_open(self, closings: int) -> None:
        if self._closings != closings:
            raise ServiceUnreachableError("Nothing ran: the executor was closed while this waited.", ran=False)


def _end_late(connection: Connection, talk: Conversation) -> None:
    """End a session when the connection is closed already, where its run was: no thread is to outlive the closing."""
    with SessionPoolClient(**connection.arguments) as client, suppress(AcaNodeError):
        client.perform(talk.given_back(), time_to_end())


async def _end_late_async(connection: Connection, talk: Conversation) -> None:
    async with AsyncSessionPoolClient(**connection.arguments) as client:
        with suppress(AcaNodeError):
            await client.perform(talk.given_back(), time_to_end())
