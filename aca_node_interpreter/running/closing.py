"""What is left to do of an executor's sessions, connections and files when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .artifact_place import ArtifactPlace
from .connection import Connection
from .conversations import Conversation, Conversations
from .endings import SIDE_BY_SIDE


@dataclass
class Closing:
    """What was open, of which nobody begins anything any more."""

    connection: Connection | None
    conversations: Conversations
    place: ArtifactPlace
    release: Callable[[], object] | None
    """Closes the connection, and stops the pool if it is ours."""

    async def leave_here(self) -> None:
        """Leave this event loop, where a connection is open; first end the sessions in which no code runs."""
        connection = self.connection
        if connection is None or connection.pool is not None or (client := connection.client_here) is None:
            return
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def end(talk: Conversation) -> None:
            async with places:
                with talk.turns.taken_if_free() as is_free:
                    if is_free:
                        await connection.endings.here(client, talk)

        await asyncio.gather(*map(end, self.conversations.unended()))
        await connection.leave_this_loop()

    @property
    def is_quick(self) -> bool:
        """Whether what is left waits for nobody, so that it holds up no event loop."""
        connection = self.connection
        return not self.place.is_to_be_removed and (
            connection is None
            or (
                connection.pool is None
                and not connection.of_loops
                and connection.endings.are_idle
                and not self.conversations.unended()
            )
        )

    def finish(self) -> None:
        """End the other sessions, close connections, stop the pool, remove temporary files."""
        try:
            if self.connection is not None:
                self.connection.leave_loops()
                self.connection.endings.finish()
                if self.connection.pool is None:
                    self.connection.endings.now(self.conversations.unended())
        finally:
            if self.release is not None:
                self.release()
            self.place.close()
