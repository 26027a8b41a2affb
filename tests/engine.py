"""A pool that a test may also break from behind: end a session's kernel, or the whole session."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.pool import SessionPool

_SECONDS = 30.0


class Engine(LocalPool):
    """The embedded pool, with what the service does to sessions that nobody asked it for."""

    name = "embedded"

    def restart_kernel(self, identifier: str) -> None:
        """End a session's Node.js, and the run that is under way with it; its files stay."""

        async def restart() -> None:
            session = self._sessions.find(identifier)
            assert session is not None, f"there is no session {identifier}"
            session.abort("")

        self._do(restart())

    def delete_session(self, identifier: str) -> None:
        """End a session with all that it has, as its idle timer would; harmless when there is none."""

        async def delete() -> None:
            if self._sessions.find(identifier) is not None:
                await self._sessions.delete(identifier)

        self._do(delete())

    def _make_sessions(self, running: Any, directory: Path) -> SessionPool:
        self._loop = asyncio.get_running_loop()
        self._sessions = super()._make_sessions(running, directory)
        return self._sessions

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)
