"""For AutoGen's `AssistantAgent`: a tool, and the way from a task's result to the files that its code made."""

from __future__ import annotations

from .artifacts import artifacts_of
from .tool import NodeTool, NodeToolOutput

__all__ = ["NodeTool", "NodeToolOutput", "artifacts_of"]
