"""What it costs to prepare a model's text, beside the bare parser."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter_javascript
from tree_sitter import Language, Parser

from aca_node_interpreter.javascript.prepare import prepare_code
from benchmarks.measuring import times
from benchmarks.report import Row, Table
from benchmarks.setting import Setting

SIZE = 10_000
TEXTS = {
    "functions": """
/** Return the sum of what is larger than `least`. */
function sum{n}(values, least = 0) {{
  const kept = values.filter((value) => value > least)
  return kept.reduce((total, value) => total + value, 0)
}}
console.log(sum{n}([1, 2, 3, {n}]))
""",
    "declarations that wait": """
const response{n} = await fetch(`https://example.org/${{{n}}}`, {{ headers: {{ accept: 'text/plain' }} }});
if (response{n}.ok) {{ let text = await response{n}.text(); console.log(text) }} // what came
""",
    "a module": """
import fs{n}, {{ join as join{n} }} from 'node:fs'
export const path{n} = join{n}(import.meta.dirname, 'file{n}.txt')
export function write{n}(text, {{ encoding = 'utf8', append = false }} = {{}}) {{
  if (append) return fs{n}.appendFileSync(path{n}, text, encoding)
  return fs{n}.writeFileSync(path{n}, text.split('\n').map((line) => line.trim()).join('\n'), encoding)
}}
""",
    "text beyond ASCII": """
const grüße{n} = ['😀', 'ça va', "naïve {n}"].map((wort) => `${{wort}} · ${{wort.length}}`)
console.log(grüße{n}.join('\\n'))
""",
}


def text_of(template: str) -> str:
    """Return a text of 10 KB or little more."""
    text = ""
    n = 0
    while len(text) < SIZE:
        text += template.format(n=n)
        n += 1
    return text


def measure(setting: Setting) -> Iterator[Table]:
    """Measure each text."""
    repetitions = setting.repetitions(200)
    yield Table("To prepare a text of 10 KB", ABOUT, [_row(what, text_of(TEXTS[what]), repetitions) for what in TEXTS])


def _row(what: str, text: str, repetitions: int) -> Row:
    parser = Parser(Language(tree_sitter_javascript.language()))
    encoded = text.encode()
    assert not prepare_code(text).has_errors
    parsed = times(lambda: parser.parse(encoded), repetitions)
    prepared = times(lambda: prepare_code(text), repetitions)
    return {
        "text": what,
        **prepared.cells(),
        "parse ms": parsed.median * 1000,
        "ratio": prepared.median / parsed.median,
    }


ABOUT = "What turns a model's text into what the session runs, beside tree-sitter's parse alone."
