"""For AutoGen's `AssistantAgent`: a tool, a workbench, and the way to the files that a task made.

`NodeSessionsCodeExecutor` itself is what a `CodeExecutorAgent` takes.
"""

from __future__ import annotations

from .artifacts import artifacts_of
from .pictures import PictureContext
from .tool import NodeTool, NodeToolOutput
from .workbench import NodeWorkbench

__all__ = ["NodeTool", "NodeToolOutput", "NodeWorkbench", "PictureContext", "artifacts_of"]
