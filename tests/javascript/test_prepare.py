"""What `prepare` says of a text: its names, its kind, its imports, its value, and its edits for any text whatever."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aca_node_interpreter.javascript.prepare import prepare_code
from aca_node_interpreter.javascript.prepared import Import, Prepared
from tests.javascript.oracle import Oracle, body

NAMES = [
    ("const a = 1; let b; var c; function d() {} class E {}", "a b c d E", "c"),
    ("async function a() {} function* b() {} async function* c() {}", "a b c", ""),
    ("const { a, b: { c = 1, ...d }, ['e']: [f, , g = 2, ...h], ...i } = x", "a c d f g h i", ""),
    ("for (var a = 1, b;;); for (var c of x) { var d } for (var [e, { f }] in x);", "a b c d e f", "a b c d e f"),
    ("for (let a = 1;;) { let b; const c = 1; class D {} }", "", ""),
    ("try { var a } catch (e) { var b } finally { var c } switch (x) { case 1: var d; let e }", "a b c d", "a b c d"),
    ("with (x) { var a } b: { var c } do { var d } while (x)", "a c d", "a c d"),
    (
        "function f() { var a } (() => { var b })(); class C { static { var d } m() { var e } get [f]() { var g } }",
        "f C",
        "",
    ),
    ("var f; function f() {} var g; let h", "f g h", "g"),
    ("{ function f() {} }", "f", "f"),
    ("'use strict'; { function f() {} }", "", ""),
    ("{ async function f() {} } { function* g() {} }", "", ""),
    ("let f; { function f() {} }", "f", ""),
    ("{ let f; { function f() {} } }", "", ""),
    ("var require, module; let x", "module require x", ""),
    ("var arguments", "", ""),
    ("import a, { b as c, default as d } from 'x'; import * as e from 'y'", "a c d e", ""),
    ("export const a = 1; export default function b() {} export class C {} export { a as z }", "a b C", ""),
    ("export default class {}\nexport * as ns from 'x'", "", ""),
    ("var \\u0061 = 1, \\u{62}c", "a bc", "a bc"),
    ("var é, 𝒳 = '😀', ñ", "é 𝒳 ñ", "é 𝒳 ñ"),  # noqa: RUF001
    ("using a = x; await using b = y", "a b", ""),
    ("a: b: function f() {}", "f", ""),
    ("x = 1; y.z = 2; [q] = [1]", "", ""),
    ("var a; var a = 2, a", "a", "a"),
]


@pytest.mark.parametrize(("code", "names", "only_vars"), NAMES)
def test_names(code: str, names: str, only_vars: str) -> None:
    prepared = prepare_code(code)
    assert sorted(prepared.names) == sorted(names.split())
    assert sorted(prepared.vars) == sorted(only_vars.split())
    assert len(set(prepared.names)) == len(prepared.names)
    assert not prepared.has_errors


KINDS = [
    # Whether it waits, is strict, is a module.
    ("1", "---"),
    ("'use strict'; 1", "-s-"),
    ("async function f() { await 1; for await (const x of y); }", "---"),
    ("const f = async () => await 1; class A { async m() { await (1) } }", "---"),
    ("await 1", "asm"),
    ("await (1)", "asm"),
    ("x(await [1])", "asm"),
    ("for await (const x of y);", "asm"),
    ("`${await x}`", "asm"),
    ("if (a) { while (b) { await c } }", "asm"),
    ("class A extends (await x) { [await y]() {} }", "asm"),
    ("await using x = y", "asm"),
    ("var await; await (1)", "---"),
    ("x.await; ({ await: 1 }); // await 1\n'await 1'; `await 1`", "---"),
    ("import 'x'", "asm"),
    ("export {}", "asm"),
    ("import.meta.url", "asm"),
    ("function f() { return import.meta }", "asm"),
    ("import('x')", "---"),
    ("x = await 1", "a--"),
    ("x++; await 1", "a--"),
    ("'use strict'; x = await 1", "asm"),
    ("let x; x = await 1", "asm"),
    ("process = await 1", "asm"),
    ("await 1; ({ x: 1 }).x = 2; function f(y) { y = 1 }", "asm"),
    ("await 1; module.exports = 1", "as-"),
    ("await 1; console.log(__dirname)", "as-"),
    ("await 1; if (typeof module !== 'undefined') x()", "asm"),
    ("await 1; x.module; // module\n'module'", "asm"),
    ("const require = 1", "asm"),
    ("function require() {}", "---"),
]


@pytest.mark.parametrize(("code", "kind"), KINDS)
def test_kinds(code: str, kind: str) -> None:
    prepared = prepare_code(code)
    found = "".join(
        letter if flag else "-"
        for letter, flag in zip("asm", (prepared.is_async, prepared.is_strict, prepared.is_module), strict=True)
    )
    assert found == kind
    assert not prepared.has_errors


IMPORTS = [
    ("import 'a'", [Import("a", 1)]),
    ('\n\nimport a from "b\\x63"', [Import("bc", 3, (("default", "a"),))]),
    (
        "import a, { b, c as d, 'e f' as g } from 'x'",
        [Import("x", 1, (("default", "a"), ("b", "b"), ("c", "d"), ("e f", "g")))],
    ),
    ("import a, * as b from 'x'", [Import("x", 1, (("default", "a"), ("*", "b")))]),
    ("import { default as a } from 'x'", [Import("x", 1, (("default", "a"),))]),
    ("import { function as a } from 'x'", [Import("x", 1, (("function", "a"),))]),
    ("import a from 'x' with { type: 'json' }", [Import("x", 1, (("default", "a"),), {"type": "json"})]),
    (
        "import a from \"it's.json\" with { type: 'json' }",
        [Import("it's.json", 1, (("default", "a"),), {"type": "json"})],
    ),
    ("import a from 'x' assert { 'type': \"json\", }", [Import("x", 1, (("default", "a"),), {"type": "json"})]),
    ("export { a, b as c } from 'x'; export * from 'y'; import 'z'", [Import("x", 1), Import("y", 1), Import("z", 1)]),
    ("export * as a from 'x' with { type: 'json' }", [Import("x", 1, (), {"type": "json"})]),
    ("import { x } from './a'\nx", [Import("./a", 1, (("x", "x"), ("*", "$import0")))]),
    ("import { x } from './a'", [Import("./a", 1, (("x", "x"),))]),
    ("`import a from 'x'` // import 'y'", []),
]


@pytest.mark.parametrize(("code", "imports"), IMPORTS)
def test_imports(code: str, imports: list[Import]) -> None:
    prepared = prepare_code(code)
    assert list(prepared.imports) == imports
    assert not prepared.has_errors


VALUES = [
    ("1 + 1", "2"),
    ("1; // 2\n", "1"),
    ("1;;\n/* 2 */;", "1"),
    ("const x = 1", "undefined"),
    ("const x = 1\nx", "1"),
    ("1, 2", "2"),
    ("x = 5", "5"),
    ("(x) => x", "[Function (anonymous)]"),
    ("'a'", "'a'"),
    ("`a\n${1}`", "'a\\n1'"),
    ("/a/g", "/a/g"),
    ("{a: 1}", "{ a: 1 }"),
    ("{a: 1, b: {c: 2}}", "{ a: 1, b: { c: 2 } }"),
    ("let z = 1\n{z, y: 2};", "{ z: 1, y: 2 }"),
    ("let z = 1\n{\n  z, // c\n  y: { z, x: 3 },\n}", "{ z: 1, y: { z: 1, x: 3 } }"),
    ("{ 'a': 1, [1 + 1]: 2, ...{b: 3} }", "{ '2': 2, a: 1, b: 3 }"),
    ("{ a: 1, m() { return 1 } }", "{ a: 1, m: [Function: m] }"),
    ("const q = 1; {q}", "{ q: 1 }"),
    ("{}", "{}"),
    ("({a: 1})", "{ a: 1 }"),
    ("if (true) { 1 } else { 2 }", "1"),
    ("if (false) 1; else if (true) 2", "2"),
    ("try { null.x } catch { 3 } finally { 4 }", "3"),
    ("{ const x = 1; x + 1 }", "2"),
    ("for (const x of [1]) x", "undefined"),
    ("function f() {}", "undefined"),
    ("throw_ = 1\n/* c */ throw_ // d", "1"),
    ("return 7", "7"),
    ("\ufeff#!/usr/bin/env node\n8", "8"),
    ("  \n#!/usr/bin/env node\n9", "9"),
    ("'use strict'\n(function () { return this })()", None),
    ("😀 => 1", None),
    ("'😀'.length + 1", "3"),
]


@pytest.mark.parametrize(("code", "value"), VALUES)
def test_values(oracle: Oracle, code: str, value: str | None) -> None:
    prepared = prepare_code(code)
    if value is not None:
        assert oracle.prepared(prepared, "cjs") == {"out": "", "error": None, "value": value}, body(prepared)


# What runs in plain Node.js and the grammar does not understand: V8 is left to judge it, nothing is wrong silently.
NOT_UNDERSTOOD = [
    "await: for (;;) break await",
    "class A { x\n['y'] = 1 }",
    "export default function () {}(1)",
    "import defer * as x from 'y'",
    "import source x from 'y'",
]


@pytest.mark.parametrize("code", NOT_UNDERSTOOD)
def test_what_the_grammar_does_not_know_is_said(code: str) -> None:
    assert prepare_code(code).has_errors


PIECES = [
    *"(){}[];,.:=<>!?+-*/%&|^~`'\"\\$#@ \n\r\t\u2028\ufeff",
    *("a", "b1", "é", "😀", "\ud800", "\udc00", "0", "/*", "*/", "//", "<!--", "-->", "#!", "=>", "...", "${", "/a/"),
    *("await ", "async ", "import ", "export ", "default ", "from ", "with ", "assert ", "'x'", "* as ", "import.meta"),
    *(
        "var ",
        "let ",
        "const ",
        "using ",
        "function ",
        "function* ",
        "class ",
        "static ",
        "extends ",
        "yield ",
        "return ",
    ),
    *("if (a) ", "else ", "for (", "of ", "in ", "while (", "try {", "catch (", "finally {", "switch (", "case 1: "),
    *("'use strict'", "./a", "'./a'", "json", "type: 'json'", "label: ", "new ", "typeof ", "function(){}\n(", "x\n("),
]


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join))
def test_any_text_has_an_answer(text: str) -> None:
    check(prepare_code(text), text)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_program_cut_and_mixed_has_an_answer(data: Any) -> None:
    whole = "\n".join(str(row[0]) for row in [*NAMES, *KINDS, *IMPORTS, *VALUES])
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    again = data.draw(st.integers(0, len(whole)))
    text = whole[start:end] + whole[again : again + 50]
    check(prepare_code(text), text)


def check(prepared: Prepared, text: str) -> None:
    """Edits are in order and in range, keep the lines, and the text is as it was."""
    assert prepared.code == text
    units = text.encode("utf-16-le", "surrogatepass")
    at = 0
    for edit in prepared.edits:
        assert at <= edit.start <= edit.end <= len(units) // 2
        at = edit.end
        replaced = units[2 * edit.start : 2 * edit.end].decode("utf-16-le", "surrogatepass")
        assert re.findall("[\n\r\u2028\u2029]", replaced) == re.findall("[\n\r\u2028\u2029]", edit.text)
    body(prepared)
    assert set(prepared.vars) <= set(prepared.names)
    if prepared.is_module:
        assert prepared.is_strict


LONG: dict[str, Callable[[int], str]] = {
    "statements": lambda n: "a;" * n,
    "declarations": lambda n: "".join(f"let a{i}=1;" for i in range(n // 3)),
    "functions": lambda n: "function f(){}\n" * (n // 6),
    "block functions": lambda n: "{function f(){}}\n" * (n // 6),
    "array": lambda n: "[" + "1," * n + "]",
    "comments": lambda n: "//a\n" * n,
    "comments inside": lambda n: "{" + "//a\n" * (n // 2) + "var a;" * (n // 4) + "}",
    "awaits": lambda n: "await (x);\n" * (n // 6),
    "assignments": lambda n: "await 1;" + "".join(f"a{i}=1;" for i in range(n // 4)),
    "imports": lambda n: "".join(f'import a{i} from "./x"\n' for i in range(n // 16)),
    "exports": lambda n: "".join(f"export const a{i}=1\n" for i in range(n // 10)),
    "words": lambda n: "/* let var await import */x;" * (n // 8),
    "HTML comments": lambda n: "x<!--y\n" * (n // 16),
    "errors": lambda n: "@ var x = (;" * (n // 12),
    "parentheses": lambda n: "(" * n + "1" + ")" * n,
    "open parentheses": lambda n: "(" * n,
    "blocks": lambda n: "{var a;" * (n // 2) + "}" * (n // 2),
    "nested functions": lambda n: "{function f(){}" * (n // 4) + "}" * (n // 4),
    "arrows": lambda n: "(()=>{" * (n // 4) + "})()" * (n // 4),
    "branches": lambda n: "if(a)b;else " * (n // 4) + "c",
    "objects": lambda n: "{a:" * (n // 4) + "1" + "}" * (n // 4),
    "labels": lambda n: "a:" * (n // 2) + "x",
}


@pytest.mark.parametrize("shape", LONG)
def test_time_grows_with_length(shape: str) -> None:
    """Eight times as much takes far less than the sixty-four times that quadratic work would."""
    size = 3_000
    short, long = (min(seconds(LONG[shape](size * times)) for _ in range(3)) for times in (1, 8))
    assert long < 30 * short + 0.05


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shape", LONG)
def test_megabytes(shape: str) -> None:
    size = 1_000
    while len(LONG[shape](size)) < 2_500_000:
        size *= 2
    took = seconds(LONG[shape](size))
    print(f"{shape}: {len(LONG[shape](size)) / 1e6:.1f} MB in {took:.1f} s")
    assert took < 120


def seconds(text: str) -> float:
    started = time.process_time()
    prepare_code(text)
    return time.process_time() - started
