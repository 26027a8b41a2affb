"""Names across runs: what one run declares, later ones use, declare anew and see through earlier functions."""

from __future__ import annotations

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from tests.engine import Engine

# Cells in one session, each with what a model reads.
CELLS: dict[str, list[tuple[str, str | None]]] = {
    "functions see what is declared anew": [
        ("const data = [1]; function helper() { return 'v1' } function main() { return [helper(), data.length] }", ""),
        ("const data = [1, 2]\nfunction helper() { return 'v2' }\nmain()", "=> [ 'v2', 2 ]"),
        ("const helper = () => 'v3'; main()", "=> [ 'v3', 2 ]"),
        ("let data = []\nmain()", "=> [ 'v3', 0 ]"),
        ("data = [1, 2, 3]; main()", "=> [ 'v3', 3 ]"),
        ("import { basename as helper } from 'node:path'; main.toString().length > 0 && helper('/a/b')", "=> 'b'"),
        ("class data { static length = 'class' }; main()[1]", None),
    ],
    "what is declared late": [
        ("function main() { return later() }", ""),
        ("const later = () => 'now'; main()", "=> 'now'"),
    ],
    "earlier functions change what is declared anew": [
        ("let n = 0; const step = () => ++n", ""),
        ("let n = 10", ""),
        ("step(); n", "=> 11"),
        ("n = 20; step()", "=> 21"),
        ("n", "=> 21"),
        ("var n = 1; step()", "=> 2"),
        ("setTimeout(step, 1)", None),
        ("n", "=> 3"),
    ],
    "constants": [
        ("const a = 1, { b, c: [d] } = { b: 2, c: [3] }; [a, b, d]", "=> [ 1, 2, 3 ]"),
        ("a = 2", "TypeError: Assignment to constant variable.\n  line 1: a = 2\n            ^"),
        ("b++", "TypeError: Assignment to constant variable.\n  line 1: b++\n           ^"),
        ("const e = 1; try { e = 2 } catch (error) { console.log(error.message) }", "Assignment to constant variable."),
        ("[a, b, d, e]", "=> [ 1, 2, 3, 1 ]"),
        ("const f;", "SyntaxError: Missing initializer in const declaration\n  line 1: const f;\n                ^"),
        ("const a = (() => { throw 1 })()", None),
        ("a", "=> 1"),
    ],
    "names of Node.js": [
        ("const fetch = () => 'mine'; const go = () => fetch()", ""),
        ("go()", "=> 'mine'"),
        ("const fetch = () => 'other'; go()", "=> 'other'"),
        ("fetch() + go()", "=> 'otherother'"),
    ],
    "earlier functions change what the text itself has declared anew": [
        ("let n = 0, done; function add(x) { n += x; return x } const later = async () => { done = 'yes' }", ""),
        ("let n = 100; add(5)\nconsole.log(n); const m = add(1)\nif (m) add(1)\nn += 10; add(1); n", "105\n=> 118"),
        ("let n = 0, a = []; for (let i = 0; i < 3; i++) add(i)\na.push(n)\n{ add(1) }\na[0] + n", "=> 7"),
        ("let done = 'no'; await later(); done", "=> 'yes'"),
        (
            "let done = 'no'\nlater()\n;[1].map(add)\nthrow new Error(done)",
            "Error: yes\n  line 4: throw new Error(done)\n                ^",
        ),
        ("const n = 7; add(1); n", "=> 7"),
    ],
    "nothing is declared": [
        ("let a = 1", ""),
        ("let a = 2; let {} = {}; const [] = [], b = 3; var arguments = 4; [a, b, arguments]", "=> [ 2, 3, 4 ]"),
        ("[a, b]", "=> [ 2, 3 ]"),
    ],
    "no stack left": [
        ("let n = 0; const get = () => n", ""),
        ("let n = 0", ""),
        ("function deeper() { n++; deeper() } try { deeper() } catch {} n > 500 && n === get()", "=> true"),
        ("let n = 5; get()", "=> 5"),
    ],
    "a value that comments follow": [
        ("let n = 0; const up = () => ++n", ""),
        ("let n = 5\nup(); n /* the\n last */\n", "=> 6"),
        ("let n = 6\nn /* last */\n", "=> 6"),
        ("let n = 7; n // last", "=> 7"),
        ("let n = 8\nif (n) { n } /* last */ // of all", "=> 8"),
    ],
    "many times": [
        ("let v = 0; const get = () => v", ""),
        *((f"let v = {number}; get()", f"=> {number}") for number in range(1, 60, 4)),
    ],
}


@pytest.mark.parametrize("name", CELLS)
def test_names(engine: Engine, name: str) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        for code, expected in CELLS[name]:
            run = executor.execute(code)
            assert run.mode == "managed"
            assert expected is None or run.text == expected, code
