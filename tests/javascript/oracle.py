"""Plain Node.js beside prepared texts: a child process that runs many of both."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from aca_node_interpreter.javascript.prepared import Prepared
from aca_node_interpreter.local.node import find_node

SCRIPT = Path(__file__).with_name("oracle.js")


def wire(prepared: Prepared) -> dict[str, Any]:
    """Return a prepared text as the runtime gets it."""
    return {
        "code": prepared.code,
        "edits": [[edit.start, edit.end, edit.text] for edit in prepared.edits],
        "names": list(prepared.names),
        "vars": list(prepared.vars),
        "declared": [[offset, list(places)] for offset, places in prepared.declared],
        "imports": [[each.specifier, each.line, each.bindings, dict(each.attributes)] for each in prepared.imports],
        "async": prepared.is_async,
        "strict": prepared.is_strict,
        "module": prepared.is_module,
    }


def body(prepared: Prepared) -> str:
    """Return what becomes the function's body."""
    units = prepared.code.encode("utf-16-le", "surrogatepass")
    parts = []
    at = 0
    for edit in prepared.edits:
        parts += [units[2 * at : 2 * edit.start], edit.text.encode("utf-16-le", "surrogatepass")]
        at = edit.end
    return b"".join([*parts, units[2 * at :]]).decode("utf-16-le", "surrogatepass")


def identifiers(code: str) -> list[str]:
    """Return the words of a text that may be variables."""
    return sorted(set(re.findall(r"(?<![\w$.])[A-Za-z_$][\w$]*", code)))


class Oracle:
    """A Node.js process that runs programs, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers, write = os.pipe()
        flags = ["--experimental-vm-modules", "--no-warnings", "--stack-size=4000"]
        # Programs print where they like: answers go through a pipe of their own.
        command = [str(find_node(None).executable), *flags, str(SCRIPT), "serve", str(write)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[write], cwd=folder
        )
        os.close(write)
        self._lines = os.fdopen(self._answers, "rb")

    def ask(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Send requests and return their answers."""
        assert self._process.stdin is not None
        whole = [{"folder": str(self.folder), **request} for request in requests]
        self._process.stdin.write(json.dumps(whole).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._lines.readline()
        assert answer, "the oracle's process ended"
        results: list[dict[str, Any]] = json.loads(answer)
        return results

    def plain(self, code: str, kind: str) -> dict[str, Any]:
        """Run a text as a file."""
        return self.ask({"op": "plain", "kind": kind, "code": code})[0]

    def prepared(self, prepared: Prepared, kind: str) -> dict[str, Any]:
        """Run a prepared text."""
        return self.ask({"op": "prepared", "kind": kind, "prepared": wire(prepared)})[0]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._lines.close()
