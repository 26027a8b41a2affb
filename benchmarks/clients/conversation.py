"""What every measured client is driven through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")

MaybeAwaitable: TypeAlias = Awaitable[T] | T
"""Asynchronous clients return awaitables, blocking ones what they promise."""

BareCall: TypeAlias = Callable[[], MaybeAwaitable[object]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Where the pool answers, and the token for it; conversations that get the same object may share connections."""

    endpoint: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What lets a bare call in."""
        return {"Authorization": f"Bearer {self.token}"}

    def url(self, identifier: str, *, legacy: bool) -> str:
        """Where a bare call runs code, in either API family."""
        version, path = ("2024-02-02-preview", "code/execute") if legacy else ("2025-10-02-preview", "executions")
        return f"{self.endpoint}/{path}?{urlencode({'api-version': version, 'identifier': identifier})}"

    @staticmethod
    def body(code: str, *, legacy: bool) -> dict[str, Any]:
        """Return what a bare call sends."""
        inline = {"codeInputType": "inline", "executionType": "synchronous", "code": code}
        return {"properties": inline} if legacy else inline


class Conversation(Protocol):
    """One client with one session, as an agent's conversation has it."""

    def run(self, code: str) -> MaybeAwaitable[object]:
        """Run code and return what the agent gets."""

    def bring(self, code: str, names: list[str], directory: Path) -> MaybeAwaitable[object]:
        """Run code, and have the files that it writes on this machine afterwards."""

    def upload(self, files: list[Path]) -> MaybeAwaitable[object]:
        """Put all the files of a directory into the session."""

    def end(self) -> MaybeAwaitable[object]:
        """Let go of the session, as far as the client has a call for it."""
