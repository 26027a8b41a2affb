"""For AutoGen: the way from a task's result to the files that its code made."""

from __future__ import annotations

from .artifacts import artifacts_of

__all__ = ["artifacts_of"]
