"""What a text uses, read off its tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter.javascript.prepare import prepare
from aca_node_interpreter.javascript.prepared import Prepared
from aca_node_interpreter.javascript.syntax import Source
from aca_node_interpreter.javascript.uses import BUILTINS, Uses, uses_of


def uses(code: str) -> Uses:
    return uses_of(Source(code))


def names(found: tuple[object, ...]) -> list[str]:
    return [each.name for each in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import fs from 'fs'", "fs"),
        ("import { readFile as read } from 'node:fs/promises'", "node:fs/promises"),
        ("import * as all from \"@scope/name/sub\"", "@scope/name/sub"),
        ("import 'side-effect'", "side-effect"),
        ("import data from './data.json' with { type: 'json' }", "./data.json"),
        ("export { a } from 'b'", "b"),
        ("export * from 'b'", "b"),
        ("await import('b')", "b"),
        ("const load = () => import(\n  /* why */ 'b')", "b"),
        ("import('b', { with: { type: 'json' } })", "b"),
        ("require('b')", "b"),
        ("require(`b`)", "b"),
        ("require?.('b')", "b"),
        ("module.require('b')", "b"),
        ("globalThis['require']('b')", "b"),
        ("require('\\x66s')", "fs"),
        ("requ\\u0069re('b')", "b"),
        ("process.getBuiltinModule('b')", "b"),
        ("process?.getBuiltinModule?.('b')", "b"),
        ("require('module').createRequire('/')('b')", "b"),
        ("import { createRequire } from 'module'; const require = createRequire(import.meta.url); require('b')", "b"),
        ("class A { static { require('b') } }", "b"),
        ("`${require('b')}`", "b"),
    ],
)  # fmt: skip
def test_what_is_loaded_by_name_is_a_module(code: str, module: str) -> None:
    found = uses(code)
    assert module in names(found.modules)
    assert not found.unreadable


@pytest.mark.parametrize(
    "code",
    [
        "require(name)",
        "require('a' + 'b')",
        "require(`${a}`)",
        "require()",
        "import(name)",
        "import(await which())",
        "globalThis['re' + 'quire']('fs')",
        "global[name]('fs')",
        "process['getBuiltin' + 'Module']('fs')",
        "module[key]",
        "const load = require; load('fs')",
        "(0, require)('fs')",
        "require.call(null, 'fs')",
        "use({ require })",
        "const { require: load } = module",
        "const { getBuiltinModule } = process",
        "const get = process.getBuiltinModule",
        "const load = createRequire('/')",
        "const { createRequire: make } = require('module')",
        "import { createRequire as make } from 'module'",
        "give(createRequire)",
        "const g = globalThis; g[name]",
        "(globalThis || 0)[name]",
        "const { [name]: load } = module",
        "eval('require(\"fs\")')",
        "globalThis.eval('1')",
        "(0, eval)('1')",
        "new Function('return process')",
        "const F = Function",
        "(() => {}).constructor('return process')()",
        "[].constructor.constructor('return process')()",
        "require('module')._load('fs')",
        "process.binding('fs')",
        "process.dlopen(module, path)",
        "(() => {})['constructor']('return process')()",
        "new (() => {})[`constructor`]('return process')",
        "process['binding']('fs')",
        "globalThis.globalThis[name]('fs')",
        "global['globalThis'].global['re' + 'quire']('fs')",
        "globalThis.globalThis.eval('1')",
    ],
)
def test_what_hides_what_it_loads_or_runs_is_unreadable(code: str) -> None:
    assert uses(code).unreadable


@pytest.mark.parametrize(
    "code",
    [
        "typeof require === 'function'",
        "require.main === module; require.resolve('b')",
        "x instanceof Function; Function.prototype.call",
        "object.constructor.name; new this.constructor()",
        "object['constructor'].name; new this['constructor'](); object['binding']('fs'); page.global[name]",
        "page.eval('1'); model.bind('fs'); list[index]; rows['re' + key]",
        "const o = { require: 1, fs: 2, eval: 3 }; o.fs; class A { fetch() {} net = 1 }",
        "fs: for (;;) break fs",
        "globalThis.shared = 1; globalThis.shared",
        "const x = 1; export { x as fs }",
        "typeof fetch",
        "// require(name)\n'import(name)'; /require\\(name\\)/",
    ],
)
def test_what_only_looks_like_it_is_nothing(code: str) -> None:
    assert uses(code) == Uses()


@pytest.mark.parametrize(
    ("code", "taken"),
    [
        ("fs.readFileSync('/a')", ["fs"]),
        ("const { request } = https", ["https"]),
        ("globalThis.fs; global['net']", ["fs", "net"]),
        ("globalThis.globalThis.fs; global['global']['net']", ["fs", "net"]),
        ("use({ path })", ["path"]),
        ("\\u0066s.a", ["fs"]),
        ("await fetch('http://a'); new WebSocket('ws://a')", ["fetch", "WebSocket"]),
        ("{ let fs = 1 } fs.a", ["fs"]),
        ("function f(fs) { return fs.a } fs.b", ["fs"]),
        ("fs = fs; fs.a", ["fs"]),
        ("var fs; fs.a", ["fs"]),
        ("const fs = require('fs'); fs.a", []),
        ("import fs from 'fs'; export { fs }", []),
        ("const url = 'a'; function f() { return url }", []),
        ("use(url); var url = 'a'", []),
        ("url = 'a'; url.length", []),
        ("var url; url = 'a'; url.length", []),
        ("[os] = list; ({ path } = parts); os + path", []),
        ("for (const fs of all) fs.a", []),
        ("try {} catch (util) { util.a }", []),
        ("(fs => fs.a); (async ({ net }, [tls], ...dns) => net + tls + dns)", []),
        ("const f = function path() { return path }; class url {} url.a", []),
    ],
)
def test_names_that_the_text_does_not_declare_are_globals(code: str, taken: list[str]) -> None:
    found = uses(code)
    assert (names(found.globals), found.unreadable) == (taken, ())


def test_what_the_text_leaves_to_later_runs_is_its_own() -> None:
    code = "const url = 'a', x = 1; function path() {} os = 2; globalThis.net = 3; { let tls } (dns => dns)"
    assert uses(code).own == {"url", "path", "os", "net"}


def test_lines_are_those_of_the_message_also_in_typescript() -> None:
    prepared = prepare("Here:\n```ts\nimport type { A } from 'types'\nconst a: A = require('b')\n```")
    assert isinstance(prepared, Prepared)
    assert prepared.source is not None
    assert uses_of(prepared.source).modules == (("b", 4),)


NESTINGS = [
    "{}",
    "if (a) {{ {} }}",
    "(() => {{ {} }})()",
    "class A {{ m() {{ {} }} }}",
    "try {{ {} }} finally {{}}",
    "`${{(() => {{ {} }})()}}`",
]
LOADING = ["require('{}')", "import('{}')", "process.getBuiltinModule('{}')", "use(await_, require(`{}`))"]


@given(
    st.sampled_from(sorted(BUILTINS)),
    st.sampled_from(LOADING),
    st.lists(st.sampled_from(NESTINGS), max_size=6),
    st.sampled_from(["", "// é\n", "const emoji = '😀';\n", "#!/usr/bin/env node\n", "await 0;\n"]),
)
def test_wherever_a_module_is_loaded_it_is_seen(module: str, loading: str, around: list[str], before: str) -> None:
    code = loading.format(module)
    for each in around:
        code = each.format(code)
    found = uses(before + code)
    assert names(found.modules) == [module]
    assert found.modules[0].line == before.count("\n") + 1


@given(st.text(alphabet=st.sampled_from("abfs'`\"\\()[]{}=.,;:${}\n /*+requireimportglobalThis😀"), max_size=60))
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    uses(text)
