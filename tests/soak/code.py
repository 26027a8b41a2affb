"""The JavaScript of the soak: each run has a number, and tells of its session what can be checked outside.

A session's store is its `/mnt/data`, a life is what its variables live for. The store's log has a line for each run,
and each life has its own log, so that a run that was lost, or ran twice, shows in what later ones tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

LOG = "log.txt"
_TOLD = "TOLD "
_FILE = re.compile(r"[au]-(\d+)-(\d+)\.bin")

_BEGIN = """
{{
  const fs = require('fs'), id = () => require('crypto').randomBytes(4).toString('hex'), log = '/mnt/data/{log}';
  if (!fs.existsSync(log)) fs.appendFileSync(log, id() + '\\n');
  globalThis.life ??= id();
  (globalThis.numbers ??= []).push({number});
  fs.appendFileSync(log, life + ' {number}\\n');
}}
"""
_TELL = """
{{
  const fs = require('fs');
  const [store, ...lines] = fs.readFileSync('/mnt/data/{log}', 'utf8').trim().split('\\n');
  const uploads = fs.readdirSync('/mnt/data').filter(name => /^u-/.test(name)).map(name => {{
    const [, number, size] = name.match(/(\\d+)-(\\d+)/), expected = Buffer.alloc(Number(size), number + ':');
    return [name, fs.readFileSync('/mnt/data/' + name).equals(expected)];
  }});
  globalThis.told = {{store, life, numbers, lines: lines.map(line => line.split(' ')), uploads}};
  console.log('{told}' + JSON.stringify(told));
}}
"""


@dataclass(frozen=True)
class Told:
    """What a run told of its session when it was there."""

    store: str
    life: str
    numbers: list[int]
    """Of the runs of this life, by its variables."""
    lines: list[tuple[str, int]]
    """Of all runs of the store, by its log: the life and the number."""
    uploads: dict[str, bool]
    """Names of uploaded files, and whether each holds what was sent."""

    @classmethod
    def read(cls, value: Any) -> Told:
        lines = [(life, int(number)) for life, number in value["lines"]]
        return cls(value["store"], value["life"], value["numbers"], lines, dict(value["uploads"]))


def told_in(text: str) -> str | None:
    """Return the JSON that a run printed."""
    found = re.search(rf"^{_TOLD}(\{{.*\}})$", text, re.MULTILINE)
    return found[1] if found else None


def file_name(kind: str, number: int, size: int) -> str:
    """Name a file that code writes (`a`) or that is uploaded (`u`); the name says what is in it."""
    return f"{kind}-{number}-{size}.bin"


def content_of(name: str) -> bytes:
    """Return what a file of this name holds."""
    found = _FILE.fullmatch(name)
    assert found, name
    pattern, size = f"{found[1]}:".encode(), int(found[2])
    return (pattern * (size // len(pattern) + 1))[:size]


def begun(number: int) -> str:
    """Return code that notes the run."""
    return _BEGIN.format(number=number, log=LOG)


def whole(number: int, between: str = "") -> str:
    """Return code that notes the run, does something, and tells of its session."""
    return begun(number) + between + _TELL.format(log=LOG, told=_TOLD) + "\ntold"


def writing(name: str) -> str:
    """Return code that writes a file."""
    found = _FILE.fullmatch(name)
    assert found, name
    return f"require('fs').writeFileSync('/mnt/data/{name}', Buffer.alloc({found[2]}, '{found[1]}:'));"
