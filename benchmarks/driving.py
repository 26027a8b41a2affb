"""Start a client in the environment that has it, and have it go through a scenario."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.distance import FarPool
from benchmarks.environments import PEERS, Environments, reason_in, title, trusting
from benchmarks.measuring import Times

OURS = ("ours:AutoGen", "ours:LangChain", "ours:AsyncLangChain")
THEIRS = tuple(f"{peer}:Conversation" for peer in PEERS)

_ROOT = Path(__file__).parents[1]


class FailedError(Exception):
    """A client did not get through a scenario; the message is its own."""


def name_of(client: str) -> str:
    """Return a client as a table names it."""
    module, _, face = client.partition(":")
    return f"ours, {face}" if module == "ours" else title(module)


def drive(environments: Environments, client: str, scenario: str, pool: FarPool, repetitions: int) -> dict[str, Times]:
    """Return the seconds that a client took, by what was measured.

    Raises:
        NotInstalledError: the client is not here.
        FailedError: it is a peer, and raised an error.
        RuntimeError: it is ours, and raised an error.
    """
    module = client.partition(":")[0]
    python = sys.executable if module == "ours" else environments.python(module)
    # Warnings are theirs, and on the way to where the figures are read.
    arguments = ["-W", "ignore", "-m", "benchmarks.clients", client, scenario, pool.endpoint, str(repetitions)]
    ended = subprocess.run(
        [python, *arguments],
        input=pool.token,
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=trusting(pool.certificate),
        check=False,
    )
    if ended.returncode != 0 and module == "ours":
        raise RuntimeError(f"{client} broke down in {scenario}:\n{ended.stderr}")
    if ended.returncode != 0:
        raise FailedError(reason_in(ended.stderr))
    return {what: Times.of(seconds) for what, seconds in json.loads(ended.stdout).items()}
