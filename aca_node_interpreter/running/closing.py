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

    async def end_here(self) -> None:
        """End on this event loop, where a connection is open, the sessions in which no code runs."""
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
