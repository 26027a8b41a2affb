"""Files of the session that code loads: written anew, they are loaded anew by a later run, and not within one."""

from __future__ import annotations

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from tests.engine import Engine

WRITE = "fs.writeFileSync('/mnt/data/{}', `{}`)"

CELLS: dict[str, list[tuple[str, str | None]]] = {
    "required": [
        (WRITE.format("u.js", "exports.v = 1") + "; " + WRITE.format("w.js", "exports.u = require('./u')"), None),
        ("[require('./u').v, require('./w').u.v]", "=> [ 1, 1 ]"),
        ("const first = require('./u'); first === require('./u.js')", "=> true"),
        ("first === require('./u')", "=> true"),
        (WRITE.format("u.js", "exports.v = 22") + "; console.log(require('./w').u.v, require('./u').v)", "22 22"),
        (WRITE.format("u.js", "exports.v = 333") + "; console.log(require('./u').v)", "333"),
        ("require('./w').u.v", "=> 333"),
    ],
    "as in plain Node.js, not within a run": [
        (
            WRITE.format("u.js", "exports.v = 1")
            + "; require('./u'); "
            + WRITE.format("u.js", "exports.v = 22")
            + "; console.log(require('./u').v)",
            "1",
        )
    ],
    "imported": [
        (WRITE.format("m.mjs", "export let v = 1; export const up = () => ++v"), None),
        ("import { v, up } from './m.mjs'; up(); v", "=> 2"),
        ("import { v } from './m.mjs'; v", "=> 2"),
        (WRITE.format("m.mjs", "export const v = 22"), None),
        ("import { v } from './m.mjs'; v", "=> 22"),
        ("import * as all from 'file:///mnt/data/m.mjs'; all.v", "=> 22"),
        (WRITE.format("d.json", '{"a": 1}'), None),
        ("import d from './d.json' with { type: 'json' }; d.a", "=> 1"),
        (WRITE.format("d.json", '{"a": 22}'), None),
        ("import d from 'file:///mnt/data/d.json' with { type: 'json' }; d.a", "=> 22"),
    ],
    "what has not changed keeps its state": [
        (WRITE.format("store.js", "exports.list = []") + "; " + WRITE.format("c.json", "1"), None),
        (WRITE.format("one.js", "exports.two = () => require('./two')"), None),
        (WRITE.format("two.js", "exports.one = require('./one'); exports.c = require('./c.json')"), None),
        ("require('./store').list.push('a'); require('./one').two().c", "=> 1"),
        (WRITE.format("c.json", "22"), None),
        ("[require('./one').two().one.two().c, require('./store').list]", "=> [ 22, [ 'a' ] ]"),
        ("fs.unlinkSync('/mnt/data/c.json')", ""),
        ("require('./two')", "Error: Cannot find module './c.json'"),
        ("require('./store').list", "=> [ 'a' ]"),
        ("fs.renameSync('/mnt/data/store.js', '/mnt/data/store.cjs')", None),
        ("fs.writeFileSync('/mnt/data/store.json', '{}'); console.log(require('./store'))", "{}"),
    ],
    "CommonJS, imported": [
        (WRITE.format("u.cjs", "exports.v = 1"), None),
        ("import u from './u.cjs'; u.v", "=> 1"),
        (WRITE.format("u.cjs", "exports.v = 22"), None),
        ("import u from './u.cjs'; [u.v, require('./u.cjs') === u]", "=> [ 22, true ]"),
        (WRITE.format("u.cjs", "exports.v = 333"), None),
        ("import { v } from './u.cjs'; [v, require('./u.cjs').v]", "=> [ 333, 333 ]"),
    ],
    "wrong": [
        (
            WRITE.format("bad.js", "\\n\\nvar foo bar;"),
            None,
        ),
        ("require('./bad')", "SyntaxError: Unexpected identifier"),
    ],
}


@pytest.mark.parametrize("name", CELLS)
def test_loaded_files(engine: Engine, name: str) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        for code, expected in CELLS[name]:
            run = executor.execute(code)
            assert run.mode == "managed"
            assert expected is None or run.text.partition("\nFiles saved:")[0].startswith(expected), (code, run.text)
    if name == "wrong":
        assert "at /mnt/data/bad.js:3:9" in run.text
