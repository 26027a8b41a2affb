"""Prepared texts print what plain Node.js prints: programs by hand, for each shape that JavaScript has."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from aca_node_interpreter.javascript.prepare import prepare_code
from tests.javascript.oracle import Oracle, body

PROGRAMS = Path(__file__).parent


def table(name: str) -> dict[str, str]:
    """Read programs, each under a line with its name."""
    parts = re.split(r"^==== (.*)\n", (PROGRAMS / name).read_text(), flags=re.MULTILINE)
    return {title: code.rstrip("\n") for title, code in zip(parts[1::2], parts[2::2], strict=True)}


SCRIPTS = table("scripts.txt") | {
    "BOM": "\ufeffconsole.log(1)",
    "line separators": "console.log('a\u2028b')\u2028console.log(1)\u20292\r\nconsole.log(3)\rconsole.log(4)",
}
MODULES = table("modules.txt")

COUNTER = """export let count = 0
export function increment() { count++ }
export let what = function first() { console.log('first', this === undefined) }
export function change() { what = function second() { console.log('second', this === undefined) } }
let value = 1
export { value as default }
export function set(x) { value = x }
"""


@pytest.fixture(scope="module", autouse=True)
def neighbours(oracle: Oracle) -> None:
    (oracle.folder / "data.json").write_text('{"a": 1}')


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_the_same(oracle: Oracle, name: str) -> None:
    same(oracle, SCRIPTS[name], "cjs")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_prints_the_same(oracle: Oracle, name: str) -> None:
    same(oracle, MODULES[name], "mjs")


def same(oracle: Oracle, code: str, kind: str) -> None:
    """Compare what a text prints and throws."""
    expected = oracle.plain(with_neighbour(oracle, code), kind)
    assert not str(expected["error"]).startswith("SyntaxError"), f"a text that does not run says nothing: {expected}"
    prepared = prepare_code(with_neighbour(oracle, code))
    result = oracle.prepared(prepared, kind)
    shown = f"{body(prepared)!r}\n{prepared}"
    assert not prepared.has_errors, shown
    assert (result["out"], result["error"]) == (expected["out"], expected["error"]), shown


numbers = count()


def with_neighbour(oracle: Oracle, code: str) -> str:
    """Give a program a module of its own, which it may change."""
    if "counter.mjs" not in code:
        return code
    name = f"counter{next(numbers)}.mjs"
    (oracle.folder / name).write_text(COUNTER)
    return code.replace("counter.mjs", name)
