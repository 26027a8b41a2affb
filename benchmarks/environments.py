"""An environment of its own for each peer, made when it is first needed; a peer that can't be had says why."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import venv
from functools import cached_property
from pathlib import Path

from aca_node_interpreter.local.node import find_node

CLIENTS = Path(__file__).with_name("clients")
PEERS = ("autogen_ext", "langchain_azure", "llama_index", "code_interpreter", "semantic_kernel")
"""Clients of session pools, by the modules that drive them."""
PROGRAMS = ("deno", "nel@1.3.0")
"""What runs JavaScript on this machine, from npm."""

_VERSION = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
_MADE = "made"


class NotInstalledError(Exception):
    """A peer is not here; the message is why."""


class Environments:
    """The peers below one folder. One that was made stays as it is until its folder is removed.

    Args:
        folder: where they are.
        makes: whether one that is missing is made.
    """

    def __init__(self, folder: Path, *, makes: bool) -> None:
        self._folder = folder
        self._makes = makes
        self._missing: dict[Path, str] = {}

    def python(self, peer: str) -> Path:
        """Return the Python of a client's environment.

        Raises:
            NotInstalledError: it is not there, and can't be made.
        """
        folder = self._folder / peer
        python = folder / "bin" / "python"
        if not self._is_made(folder):
            venv.create(folder, with_pip=True)
            # With pip's cache, and with the package index that this machine is set up for.
            self._install(folder, [python, "-m", "pip", "install", "--disable-pip-version-check", *packages(peer)])
        return python

    def program(self, package: str) -> Path:
        """Return the folder of an npm package.

        Raises:
            NotInstalledError: it is not there, and can't be installed.
        """
        name = package.partition("@")[0]
        folder = self._folder / name
        if not self._is_made(folder):
            node = find_node()
            if node.npm_cli is None:
                raise NotInstalledError("there is no npm")
            folder.mkdir(parents=True)
            # Deno's package fetches nothing else, but links its program in a script.
            self._install(folder, [node.executable, node.npm_cli, "install", "--no-audit", "--prefix", folder, package])
        return folder / "node_modules" / name

    def version(self, peer: str) -> str:
        """Return the versions of a client's packages, or of a program.

        Raises:
            NotInstalledError: it is not there.
        """
        if peer in PROGRAMS:
            package = json.loads((self.program(peer) / "package.json").read_text())
            return f"{package['name']} {package['version']}"
        names = [name.partition("[")[0] for name in packages(peer)]
        return subprocess.check_output([self.python(peer), "-c", _VERSION, *names], text=True).strip()

    @cached_property
    def versions(self) -> dict[str, str]:
        """What there is of each peer, or why there is nothing."""
        found = {}
        for peer in (*PEERS, *PROGRAMS):
            try:
                found[title(peer)] = self.version(peer)
            except NotInstalledError as reason:
                found[title(peer)] = f"not installed: {reason}"
        return found

    def _is_made(self, folder: Path) -> bool:
        if (folder / _MADE).exists():
            return True
        if not self._makes:
            raise NotInstalledError("the short run installs nothing")
        if folder in self._missing:
            raise NotInstalledError(self._missing[folder])
        # Of a run that was interrupted.
        shutil.rmtree(folder, ignore_errors=True)
        return False

    def _install(self, folder: Path, command: list[str | Path]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            self._missing[folder] = reason_in(done.stderr)
            raise NotInstalledError(self._missing[folder])
        (folder / _MADE).touch()


def packages(peer: str) -> tuple[str, ...]:
    """Return what a client's module wants installed, without importing it."""
    module = ast.parse((CLIENTS / f"{peer}.py").read_text())
    for each in module.body:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "PACKAGES":
            wanted: tuple[str, ...] = ast.literal_eval(each.value)
            return wanted
    raise LookupError(f"benchmarks/clients/{peer}.py names no PACKAGES.")


def title(peer: str) -> str:
    """Return the name under which a peer is published."""
    return packages(peer)[0].partition("[")[0] if peer in PEERS else peer.partition("@")[0]


def reason_in(errors: str) -> str:
    """Return the sentence of an installer, or of a client, that says what went wrong."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["it said nothing"]
    told = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    return (told or lines)[-1]


def trusting(certificate: str) -> dict[str, str]:
    """Return an environment in which every client trusts a certificate."""
    return {**os.environ, "SSL_CERT_FILE": certificate, "REQUESTS_CA_BUNDLE": certificate}
