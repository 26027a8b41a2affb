"""Run the soak for as long as wanted, and say what it found.

    python -m tests.soak --minutes 60 --engine nel --seed 7

It ends with exit code 1 if anything was lost, ran twice or was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aca_node_interpreter.local.isolation.usage import process_tree
from tests.engine import Engine
from tests.machine import npm_install, why_no_sandbox
from tests.nel_pool import NEL, NelPool
from tests.soak.rounds import SESSIONS, Rounds, in_scratch


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=15, help="of load in each round")
    parser.add_argument("--engine", choices=("embedded", "nel"), default="embedded")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    # A soak that hangs tells where.
    faulthandler.register(signal.SIGUSR1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        with _engine(wanted.engine, Path(folder), scratch) as engine:
            rounds = Rounds(engine, scratch, wanted.seed)
            rounds.go_on(wanted.minutes, seconds=wanted.seconds)
            problems = rounds.problems()
        left = [*scratch.iterdir(), *threading.enumerate()[1:], *list(process_tree(os.getpid()))[1:]]
        problems += [f"left at the end: {each}" for each in left]
    print(", ".join(f"{what} {count}" for what, count in sorted(rounds.ledger.happened.items())))
    print("\n".join(problems) or "nothing lost, nothing run twice, nothing left")
    return 1 if problems else 0


@contextlib.contextmanager
def _engine(name: str, folder: Path, scratch: Path) -> Iterator[Engine]:
    nel = npm_install(folder / "nel", NEL) / "nel" if name == "nel" else None
    in_scratch(scratch)
    isolation: Any = "none" if why_no_sandbox() else "bubblewrap"
    options: dict[str, Any] = {"isolation": isolation, "max_sessions": SESSIONS, "cooldown": 10}
    with Engine(**options) if nel is None else NelPool(nel, **options) as engine:
        yield engine


if __name__ == "__main__":
    sys.exit(main())
