"""What the doctor says about one thing that it looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    words: str
    """What there is."""
    fix: str = ""
    """What to do about it, commands on lines of their own; empty where there is nothing to do."""
    needed: bool = False
    """Whether code can't run without it."""

    @classmethod
    def failure(cls, what: str, words: str, fix: str) -> Finding:
        """Make the finding of something that keeps code from running."""
        return cls(what, ok=False, words=words, fix=fix, needed=True)

    @property
    def failed(self) -> bool:
        """Tell whether this keeps code from running; what is merely not there does not."""
        return self.needed and not self.ok

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)
