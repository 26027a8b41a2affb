"""The levels of isolation, strongest first, and which of them to try."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.kernel import KernelStartError
from aca_node_interpreter.local.launching import Launch
from aca_node_interpreter.local.node import INSTALL_HINT

from . import landlock
from .bubblewrap import Bubblewrap, find_programs
from .host import Egress, Host
from .unmounted import Unmounted

Isolation = Literal["bubblewrap", "landlock", "sandbox-exec", "none"]
LEVELS: tuple[Isolation, ...] = ("bubblewrap", "landlock", "none")
"""What `auto` chooses from, strongest first; `sandbox-exec` was never run, and must be named."""

_NO_FILTER = "it can't filter egress; egress=\"host\" shares the host's network"


class Level(Protocol):
    """How sessions are kept apart from this machine."""

    @property
    def name(self) -> str:
        """One of `LEVELS`."""

    @property
    def egress(self) -> Egress:
        """What sessions really reach of the network, whatever was asked for."""

    def prepare(self) -> None:
        """Write what the sessions share; harmless when it is there.

        Raises:
            ValueError: there is no system-call filter for this machine.
        """

    def launch(self, session: Path) -> Launch:
        """Word the start of the session that owns the directory `session`."""


def wanted_levels(isolation: str, least: str) -> tuple[Isolation, ...]:
    """Give the levels to try for what the user said; `auto` is the strongest one, and never below `least`.

    Raises:
        LocalPoolError: there are no such levels.
    """
    if isolation == "sandbox-exec":
        return ("sandbox-exec",)
    known: dict[str, Isolation] = {name: name for name in LEVELS}
    for name in (least, least if isolation == "auto" else isolation):
        if name not in known:
            raise LocalPoolError(f"There is no isolation {name!r}: use auto, bubblewrap, landlock or none.")
    if isolation == "auto":
        return LEVELS[: LEVELS.index(known[least]) + 1]
    return (known[isolation],)


async def choose(names: tuple[Isolation, ...], host: Host, attempt: Callable[[Level], Awaitable[None]]) -> Level:
    """Give the first level with which `attempt` starts Node.js on this machine.

    Raises:
        LocalPoolError: there is none; the message says why and how to go on without.
    """
    reasons = []
    for name in names:
        try:
            for level in _candidates(name, host):
                level.prepare()
                try:
                    await attempt(level)
                except KernelStartError as error:
                    reason = str(error)
                else:
                    return level
        except (LocalPoolError, ValueError) as error:
            # The system-call filter knows two machines only.
            reason = str(error)
        reasons.append(f"{name}: {reason}")
    ways_out = "" if "none" in names else '; or pass isolation="none" to run code without any isolation'
    raise LocalPoolError(f"The embedded pool can't isolate its sessions. {'; '.join(reasons)}{ways_out}.")


def _candidates(level: Isolation, host: Host) -> Iterator[Level]:
    """Give the ways to have a level on this machine, the best one first.

    Raises:
        LocalPoolError: there is none; the message says why, in a few words.
    """
    if level == "none":
        yield Unmounted(host, "none")
    elif level == "sandbox-exec":
        if sys.platform != "darwin":
            raise LocalPoolError("only macOS has it")
        if host.egress == "filtered":
            raise LocalPoolError(_NO_FILTER)
        yield Unmounted(host, "sandbox-exec")
    elif sys.platform != "linux":
        raise LocalPoolError("only Linux has it")
    elif level == "landlock":
        if landlock.abi() == 0:
            raise LocalPoolError("this kernel does not offer it")
        if host.egress == "filtered":
            raise LocalPoolError(_NO_FILTER)
        yield Unmounted(host, "landlock")
    else:
        programs = find_programs()
        if not programs:
            raise LocalPoolError(f"it is not installed: get the system's package `bubblewrap`, or {INSTALL_HINT}")
        for program in programs:
            # Older ones don't know the option, and some kernels refuse it.
            for options in (("--disable-userns",), ()):
                yield Bubblewrap(host, program, options)
