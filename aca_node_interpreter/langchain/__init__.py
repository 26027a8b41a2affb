"""For LangChain and LangGraph, beside the executor, which is a tool itself: a toolkit, and what a call of a tool gives.

The executor uses parts of it, and the toolkit the executor: so the toolkit is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .results import ToolArtifact

if TYPE_CHECKING:
    from .toolkit import NodeSessionsToolkit

__all__ = ["NodeSessionsToolkit", "ToolArtifact"]


def __getattr__(name: str) -> Any:
    if name == "NodeSessionsToolkit":
        from .toolkit import NodeSessionsToolkit

        return NodeSessionsToolkit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
