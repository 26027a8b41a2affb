"""What AutoGen's cancellation token does to a call."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from autogen_core import CancellationToken

from aca_node_interpreter.errors import AcaNodeError

T = TypeVar("T")


class CancelledByTokenError(AcaNodeError):
    """The token was cancelled before the call was over."""

    def __init__(self) -> None:
        super().__init__("The call was cancelled. The code may still be running.")


async def until_cancelled(call: Coroutine[Any, Any, T], token: CancellationToken) -> T:
    """Wait for a call, or until the token is cancelled.

    Raises:
        CancelledByTokenError: it was. `asyncio.CancelledError` out of a tool leaves an `AssistantAgent` waiting for
            ever; after a result it goes on to its model, whose client heeds the token.
    """
    running = asyncio.ensure_future(call)
    token.link_future(running)
    try:
        return await running
    except asyncio.CancelledError:
        if not token.is_cancelled():
            raise
        raise CancelledByTokenError from None
