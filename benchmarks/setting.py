"""How much is measured, and where what it needs and makes is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.environments import Environments


@dataclass(frozen=True)
class Setting:
    """What the command was told."""

    output: Path
    """The folder for the table and the plots."""
    peers: Path
    """The folder with an environment for each peer."""
    short: bool = False
    """One repetition of each, of the smallest sizes, without distance, beside those peers that are installed."""

    def repetitions(self, count: int) -> int:
        """Return how often to repeat what otherwise is repeated so often."""
        return 1 if self.short else count

    @cached_property
    def environments(self) -> Environments:
        """The peers' environments; a short run makes none."""
        return Environments(self.peers, makes=not self.short)
