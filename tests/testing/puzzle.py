"""Code whose value only who runs it can know."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from aca_node_interpreter.testing import Call


@dataclass(frozen=True)
class Puzzle:
    """What a scripted model sends, and what must come back."""

    nonce: str = field(default_factory=secrets.token_hex)

    @property
    def code(self) -> str:
        return f"console.log('🦊');\nrequire('crypto').createHash('sha256').update('{self.nonce}').digest('hex')"

    @property
    def call(self) -> Call:
        return Call("node_interpreter", code=self.code)

    @property
    def output(self) -> str:
        return f"🦊\n=> '{hashlib.sha256(self.nonce.encode()).hexdigest()}'"
