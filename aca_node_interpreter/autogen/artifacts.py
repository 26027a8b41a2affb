"""From an AutoGen task's result to the files that its code made.

AutoGen hands messages on as text: of a `CodeResult` only exit code and output are left when a message is written down,
of a tool's result only its text, and `CodeExecutorAgent.run` leaves out what was executed altogether. What is always
there is when messages were made.
"""

from __future__ import annotations

from typing import Protocol

from autogen_agentchat.base import TaskResult

from aca_node_interpreter.artifacts import Artifact


class SavesArtifacts(Protocol):
    """An executor or a workbench."""

    @property
    def artifacts(self) -> list[Artifact]:
        """What was saved, the oldest first."""


def artifacts_of(result: TaskResult, source: SavesArtifacts) -> list[Artifact]:
    """Return the files that were saved between a task's first message, which is the task itself, and its last.

    It works on messages that were written down and read again, too. Tasks that ran at the same time, with one executor,
    can't be told apart; neither can earlier ones, if the task was a message made before them.

    Args:
        result: what the agent or the team returned.
        source: the executor or the workbench that ran the code; it remembers its last 1,000 files.
    """
    times = [message.created_at for message in result.messages]
    return [artifact for artifact in source.artifacts if times and min(times) <= artifact.saved_at <= max(times)]
