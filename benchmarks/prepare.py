"""What it costs to prepare a text, as ratios to the bare parser: `python -m benchmarks.prepare [RUNS]`.

Each text is of 10 KB; the median of RUNS (default 200) is shown. On another machine only the ratios mean something.
"""

from __future__ import annotations

import sys

import tree_sitter_javascript
from tree_sitter import Language, Parser

from aca_node_interpreter.javascript.prepare import prepare_code
from benchmarks.measuring import Row, median, show

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


def measure(runs: int) -> list[Row]:
    """Measure each text."""
    parser = Parser(Language(tree_sitter_javascript.language()))
    rows = []
    for what, template in TEXTS.items():
        text = text_of(template)
        encoded = text.encode()
        assert not prepare_code(text).has_errors
        prepared = median(lambda text=text: prepare_code(text), runs)  # type: ignore[misc]
        parsed = median(lambda encoded=encoded: parser.parse(encoded), runs)  # type: ignore[misc]
        rows.append(Row(f"prepare 10 KB: {what}", prepared, "tree-sitter's parse", parsed))
    return rows


if __name__ == "__main__":
    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
