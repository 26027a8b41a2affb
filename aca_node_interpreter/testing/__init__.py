"""For tests of agents: a scripted model that any OpenAI client talks to, and pytest fixtures in `testing.fixtures`.

The model is played, the code is not: what the script's calls hold runs in real Node.js, and the script can look at
what came of it before it goes on.
"""

from __future__ import annotations

from .model import ScriptedModel
from .request import Message, ModelRequest
from .script import Call, Expected, Fail, Playable, Replies, Reply, Say, Turn

__all__ = [
    "Call",
    "Expected",
    "Fail",
    "Message",
    "ModelRequest",
    "Playable",
    "Replies",
    "Reply",
    "Say",
    "ScriptedModel",
    "Turn",
]
