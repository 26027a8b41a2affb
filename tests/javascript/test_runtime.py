"""What a run is: its value, its names, its errors, as the runtime gives them on both kernels."""

from __future__ import annotations

import json

import pytest

from aca_node_interpreter.javascript import runtime_calls
from aca_node_interpreter.javascript.prepared import Edit
from tests.javascript.kernels import Session


def test_it_is_small() -> None:
    request = {"op": "ask", "mark": ""}
    assert len(runtime_calls.first_code("b" * 32, request)) - len(json.dumps(request)) <= 16_000


def test_values_are_shown_as_node_shows_them(session: Session) -> None:
    cases = {
        "1+1": ("2", 2),
        "'a'": ("'a'", "a"),
        "[1,[2]]": ("[ 1, [ 2 ] ]", [1, [2]]),
        "({a: {b: null}})": ("{ a: { b: null } }", {"a": {"b": None}}),
        "null": ("null", None),
    }
    for code, (text, value) in cases.items():
        result = session.run(code, last=code)
        assert result.value == {"text": text, "json": value}, code


def test_json_is_given_only_when_it_says_all(session: Session) -> None:
    for code in [
        "-0",
        "NaN",
        "10n",
        "Symbol('x')",
        "new Map([[1,2]])",
        "new Date(0)",
        "[undefined]",
        "[,1]",
        "({a: undefined})",
        "({[Symbol('a')]: 1})",
        "({get a() { return 1 }})",
        "Object.assign([1], {x: 2})",
        "Object.create(null)",
        "new (class A { x = 1 })",
        "new Proxy({}, {})",
        "(() => { const a = {}; a.a = a; return a })()",
        "({toJSON() { return 1 }})",
        "Buffer.from('a')",
        "Array(1e6).fill(0)",
    ]:
        result = session.run(code, last=code)
        assert result.end == "ok"
        assert set(result.value) == {"text"}, code


def test_undefined_is_no_value(session: Session) -> None:
    for result in (session.run("1"), session.run("undefined", last="undefined")):
        assert result.value is None
        assert (result.state, result.end, result.exit, result.error) == ("done", "ok", 0, {})


def test_promises_are_awaited(session: Session) -> None:
    assert session.value("Promise.resolve(7)") == "7"
    assert session.value("new Promise(r => setTimeout(r, 20, 'slow'))") == "'slow'"
    assert session.run("let x = await Promise.resolve(3); x", names=("x",), last="x", module=True).text == "3"
    result = session.run("Promise.reject(new TypeError('no'))", last="Promise.reject(new TypeError('no'))")
    assert (result.end, result.exit, result.error["name"]) == ("error", 1, "TypeError")


def test_a_returned_promise_that_stays_pending_is_shown(session: Session) -> None:
    assert session.value("new Promise(() => {})") == "Promise { <pending> }"
    assert session.run("await 1; new Promise(() => {})", last="new Promise(() => {})", module=True).end == "ok"
    result = session.run("await 1; ({ then(r) { r(2) } })", last="({ then(r) { r(2) } })", module=True)
    assert result.text == "{ then: [Function: then] }"
    assert session.run("await 1; return Promise.resolve(3)", module=True).text == "3"


def test_of_node_s_own_objects_the_class_is_shown(session: Session) -> None:
    for code, shown in {
        "setTimeout(() => {}, 1)": "[Timeout]",
        "setImmediate(() => {})": "[Immediate]",
        "require('http').createServer()": "[Server]",
        "process.on('exit', () => {})": "[process]",
        "require('child_process').execFile('true')": "[ChildProcess]",
        "require('stream').Readable.from(['a'])": "[Readable]",
        "new (class Upper extends require('stream').Transform {})()": "[Upper]",
    }.items():
        assert session.value(code) == shown


def test_names_live_on(session: Session) -> None:
    code = (
        "var a = 1; let b = 2; const c = 3; function d() { return b++ } class E { x = a }; var [f, {g}] = [6, {g: 7}]"
    )
    session.run(code, names=("a", "b", "c", "d", "E", "f", "g"))
    assert session.value("[a, b, c, d(), b, new E().x, f, g]") == "[\n  1, 2, 3, 2,\n  3, 1, 6, 7\n]"
    session.run("a = 10; b = 20")
    assert session.value("[a, b, d(), b]") == "[ 10, 20, 20, 21 ]"
    result = session.run("c = 4")
    assert (result.error["name"], result.error["message"]) == ("TypeError", "Assignment to constant variable.")
    assert (result.error["cell"], result.error["line"], result.error["column"]) == (result_cell(session), 1, 3)


def result_cell(session: Session) -> int:
    return session.cell


def test_names_may_be_declared_again(session: Session) -> None:
    for code in ("let x = 1", "const x = 2", "var x = 3", "function x() {}", "class x {}", "let x = 6"):
        assert session.run(code, names=("x",)).end == "ok"
    assert session.value("x") == "6"


def test_a_declared_name_is_not_taken_from_node_itself(session: Session) -> None:
    names = ("URL", "AbortController", "Headers", "TextEncoder")
    session.run("const URL = 'http://a/b', AbortController = 1, Headers = 2, TextEncoder = 3", names=names)
    assert session.value("[URL, AbortController, Headers, TextEncoder]") == "[ 'http://a/b', 1, 2, 3 ]"
    said = "await fetch('http://127.0.0.1:9/').catch((error) => [error.message, error.cause?.message])"
    result = session.run(said, last=said, module=True)
    # Refused by fetch itself: port 9 is one of the ports that no page may ask.
    assert result.text == "[ 'fetch failed', 'bad port' ]"


def test_each_run_has_an_input_of_its_own(session: Session) -> None:
    code = (
        "require('readline').createInterface({input: process.stdin}).on('close', () => console.log('closed', "
        "process.stdin.fd, process.stdin.readableEnded))"
    )
    for _ in range(3):
        result = session.run(code)
        assert (result.end, result.stdout) == ("ok", "closed 0 true\n")


def test_a_var_starts_with_what_it_had(session: Session) -> None:
    session.run("var n = 5", names=("n",), vars=("n",))
    assert session.run("var n; n", names=("n",), vars=("n",), last="n").text == "5"
    assert session.run("var n = (n || 0) + 1; n", names=("n",), vars=("n",), last="n").text == "6"
    # Not with a global of Node.js.
    assert session.run("var path; path", names=("path",), vars=("path",), last="path").text is None


def test_what_was_not_initialised_stays_as_it_was(session: Session) -> None:
    session.run("let x = 1, y = 2", names=("x", "y"))
    result = session.run("let y = 3; let x = (() => { throw new Error('no') })()", names=("x", "y"))
    assert result.error["message"] == "no"
    assert session.value("[x, y]") == "[ 1, 3 ]"


def test_inside_a_text_it_is_plain_node(session: Session) -> None:
    result = session.run("const x = 1; x = 2", names=("x",))
    assert result.error["message"] == "Assignment to constant variable."
    assert (result.error["line"], result.error["column"]) == (1, 16)
    assert session.run("y; let y = 1", names=("y",)).error["message"] == "Cannot access 'y' before initialization"
    assert session.value("typeof y") == "'undefined'"
    assert (
        session.run(
            "this === module.exports && arguments.length", last="this === module.exports && arguments.length"
        ).text
        == "5"
    )
    assert session.run("this", last="this", module=True).text is None
    assert session.run("undeclared = 1", is_strict=True).error["name"] == "ReferenceError"
    assert session.value("require.main === module") == "true"
    assert session.value("[__filename, __dirname, process.argv[1]].join()") == (
        f"'/mnt/data/cell_{session.cell}.js,/mnt/data,/mnt/data/cell_{session.cell}.js'"
    )


def test_globals_of_node_can_be_taken(session: Session) -> None:
    names = ["fs", "path", "crypto", "URL", "fetch", "navigator", "performance"]
    for name in names:
        assert session.run(f"const {name} = '{name}'; {name}", names=(name,), last=name).text == f"'{name}'"
    assert session.value(f"[{','.join(names)}].join()") == f"'{','.join(names)}'"


def test_names_that_the_kernel_needs_are_given_to_texts_that_say_them(session: Session) -> None:
    for name in ("process", "console", "Promise", "Object", "global", "setTimeout", "Buffer", "undefined"):
        assert session.run(f"var {name} = {{mine: 1}}; {name}.mine", names=(name,), last=f"{name}.mine").text == "1"
        assert session.run(f"{name}.mine += 1", last=f"{name}.mine += 1").text == "2"
        session.run(f"{name} = {{mine: 5}}")
        assert session.run(f"{name}.mine", last=f"{name}.mine").text == "5"
    assert session.value("1+1") == "2"


def test_a_const_process_does_not_reach_other_texts(session: Session) -> None:
    session.run("const process = require('node:process')", names=("process",))
    assert session.value("typeof process.exit") == "'function'"
    assert session.run("globalThis.process.exit(3)").exit == 3


def test_imports(session: Session) -> None:
    (session.data / "m.mjs").write_text("export default 1; export let n = 2; export function inc() { n++ }")
    (session.data / "c.cjs").write_text("module.exports = Object.assign(() => 3, {['x' + 1]: 4})")
    (session.data / "d.json").write_text('{"a": 5}')
    (session.data / "node_modules" / "esm").mkdir(parents=True)
    (session.data / "node_modules" / "esm" / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (session.data / "node_modules" / "esm" / "index.js").write_text("export const name = 'esm'")
    imports = [
        ("node:path", 1, (("join", "join"), ("default", "path"))),
        ("./m.mjs", 2, (("default", "one"), ("*", "all"), ("n", "two"))),
        ("./c.cjs", 3, (("default", "c"), ("x1", "x1"))),
        ("./d.json", 4, (("default", "json"),), {"type": "json"}),
        ("esm", 5, (("name", "name"),)),
    ]
    names = ("join", "path", "one", "all", "two", "c", "x1", "json", "name")
    last = "[join === path.join, one, all.n, two, c(), x1, json.a, name]"
    result = session.run("\n\n\n\n\n" + last, imports=imports, names=names, last=last, module=True)
    assert result.error == {}
    assert result.value["json"] == [True, 1, 2, 2, 3, 4, 5, "esm"]
    assert result.stderr == ""
    # They are there later on too.
    assert session.value("[join('a', 'b'), name].join()") == "'a/b,esm'"
    assert session.run("join = 1").error["message"] == "Assignment to constant variable."


def test_an_import_that_fails(session: Session) -> None:
    (session.data / "m.mjs").write_text("export const a = 1")
    result = session.run("\n\nconsole.log(1)", imports=[("./m.mjs", 2, (("b", "b"),))], names=("b",), module=True)
    assert result.error["name"] == "SyntaxError"
    assert result.error["message"] == "The requested module './m.mjs' does not provide an export named 'b'"
    assert (result.error["line"], result.stdout) == (2, "")
    result = session.run("\nx", imports=[("nowhere", 1, (("default", "x"),))], names=("x",), module=True)
    assert (result.error["code"], result.error["line"]) == ("ERR_MODULE_NOT_FOUND", 1)


def test_import_meta_and_dynamic_import(session: Session) -> None:
    (session.data / "m.mjs").write_text("export const a = 1")
    code = "[$importMeta.url, $importMeta.filename, $importMeta.dirname, $importMeta.resolve('./m.mjs'), $importMeta.resolve('fs')]"
    file = f"/mnt/data/cell_{session.cell + 1}.js"
    assert session.run(code, last=code, module=True).value["json"] == [
        f"file://{file}",
        file,
        "/mnt/data",
        "file:///mnt/data/m.mjs",
        "node:fs",
    ]
    result = session.run("(await import('./m.mjs')).a", last="(await import('./m.mjs')).a", module=True)
    assert (result.text, result.stderr) == ("1", "")
    assert session.value("import('./m.mjs').then(m => m.a)") == "1"


def test_places_are_those_of_the_text(session: Session) -> None:
    # What was edited before the place on the same line does not count.
    code = "export const a = 1; null.x\nnull.y"
    result = session.run(code, edits=(Edit(0, 7, ""),), names=("a",), module=True)
    assert (result.error["line"], result.error["column"]) == (1, 26)
    assert result.error["source"] == "export const a = 1; null.x"
    result = session.run(
        "f(\n  g())\nfunction f() {}\nfunction g() { return null.z }", last="f(\n  g())", names=("f", "g")
    )
    assert (result.error["line"], result.error["column"]) == (4, 28)
    cell = session.cell
    assert result.error["stack"] == (
        f"    at g (/mnt/data/cell_{cell}.js:4:28)\n    at Object.<anonymous> (/mnt/data/cell_{cell}.js:2:3)"
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_syntax_errors_have_a_place(session: Session, is_async: bool) -> None:
    for code, message, line, column in [
        ("let a = ;", "Unexpected token ';'", 1, 9),
        ("\n  let b = 5 5", "Invalid or unexpected token", 2, 13),
        ("let c; let c", "Identifier 'c' has already been declared", 1, 12),
        ("\nif (1) {", "Unexpected end of input", 2, 9),
    ]:
        for has_errors in (True, False):
            result = session.run(code, has_errors=has_errors, is_async=is_async, is_strict=is_async, is_module=is_async)
            assert result.error["name"] == "SyntaxError"
            if "5 5" not in code and not (is_async and "if" in code):
                assert result.error["message"] == message, (code, result.error)
                assert (result.error["line"], result.error["column"]) == (line, column), (code, result.error)


def test_what_only_the_parser_dislikes_runs(session: Session) -> None:
    assert session.run("console.log(1)", has_errors=True).stdout == "1\n"
    # The body does not compile, the text is a script.
    assert session.run("console.log(2)", edits=(Edit(0, 0, "return ("),)).stdout == "2\n"


def test_errors_tell_their_causes(session: Session) -> None:
    result = session.run("throw new Error('a', {cause: new TypeError('b', {cause: 'c'})})")
    assert result.error["cause"]["name"] == "TypeError"
    assert result.error["cause"]["cause"] == {"name": "string", "message": "'c'", "cell": 1}
    result = session.run("throw new AggregateError([new Error('x'), 2, 3, 4, 5, 6], 'many')")
    assert [each["message"] for each in result.error["errors"]] == ["x", "2", "3", "4", "5"]
    result = session.run("const e = new Error('round'); e.cause = e; throw e", names=("e",))
    assert result.error["cause"]["cause"]["cause"]["cause"].get("cause") is None


def test_whatever_is_thrown_is_told(session: Session) -> None:
    for code, name, message in [
        ("throw 'text'", "string", "'text'"),
        ("throw null", "object", "null"),
        ("throw undefined", "undefined", "undefined"),
        ("throw Symbol('s')", "symbol", "Symbol(s)"),
        ("throw {a: 1}", "object", "{ a: 1 }"),
        ("throw Object.assign(new Error('m'), {name: 'Own', code: 'E1'})", "Own", "m"),
        ("throw new Proxy({}, {get() { throw 1 }})", "object", None),
        ("throw new Proxy(new Error('p'), {get() { throw 1 }})", "object", None),
        ("throw {get stack() { throw 1 }, get message() { throw 2 }}", "object", None),
        ("throw Object.defineProperty(new Error('q'), 'message', {get() { throw 1 }})", "Error", ""),
        ("throw Object.defineProperty(new Error('q'), 'name', {get() { for (;;); }})", None, None),
        ("throw 10n", "bigint", "10n"),
        ("throw () => 1", "function", "[Function (anonymous)]"),
        ("throw new DOMException('d', 'AbortError')", "AbortError", "d"),
    ]:
        result = session.run(code, limit=1)
        assert (result.end, result.exit) == ("error", 1), code
        assert name is None or result.error["name"] == name, code
        assert message is None or result.error["message"] == message, code


def test_rich_values_and_displays(session: Session) -> None:
    result = session.run(
        "({_toPng() { return 'aGk=' }, _toHtml: () => '<b>', _toSvg() { throw 1 }})",
        last="({_toPng() { return 'aGk=' }, _toHtml: () => '<b>', _toSvg() { throw 1 }})",
    )
    assert result.value["mime"] == {"image/png": "aGk=", "text/html": "<b>"}
    code = "$$.png(Buffer.from('hi')); $$.html('<i>'); $$html$$ = '<p>'; $$.json({a: 1}); $$.mime({'text/x': 'y'}); $$.svg(Promise.resolve('<svg/>')); 5"
    result = session.run(code, last="5")
    assert [each["mime"] for each in result.displays] == [
        {"image/png": "aGk="},
        {"text/html": "<i>"},
        {"text/html": "<p>"},
        {"application/json": {"a": 1}},
        {"text/x": "y"},
        {"image/svg+xml": "<svg/>"},
    ]
    assert result.text == "5"
    result = session.run(
        "const d = $$.display('one'); d.text('1'); d.text('2'); $$.display().text('3'); $$.text('4'); $$.clear(); $$.text('5')",
        names=("d",),
    )
    assert [each["mime"] for each in result.displays] == [{"text/plain": "5"}]


def test_the_tutorials_way_of_waiting(session: Session) -> None:
    assert session.run("$$.async(); setTimeout(() => $$.done('done'), 20)").text == "'done'"
    assert session.run("$$.async(); (async () => 42)().then($$.sendResult).catch($$.sendError)").text == "42"
    assert session.run("$$.sendResult(Promise.resolve(1))").text == "1"
    assert session.run("$$.async(); Promise.reject(new Error('e')).catch($$.sendError)").error["message"] == "e"
    # `done` ends it, whatever goes on.
    assert session.run("$$.async(); setInterval(() => {}, 10); setTimeout($$.done, 20)").end == "ok"
    assert session.run("$$.async()").end == "ok"
    assert session.run("$$.input({prompt: '?'}).catch(e => console.log(e.message))").stdout.startswith("Nobody can")


def test_errors_own_properties(session: Session) -> None:
    shown = {
        "Object.assign(new Error('x'), { status: 500, data: { a: 1 } })": "{ status: 500, data: [Object] }",
        "Object.assign(new Error('x'), { code: 'E_MINE' })": "{ code: 'E_MINE' }",
        "new Error('x')": None,
        "fs.readFileSync('/none')": None,
        "require('none')": None,
        "require('assert').equal(1, 2)": None,
        "new Proxy(new Error('x'), { ownKeys() { throw 1 } })": None,
    }
    for code, own in shown.items():
        assert session.run(f"throw {code}").error.get("own") == own, code


def test_what_ends_a_run_gives_its_value(session: Session) -> None:
    assert session.run("$$.done(1)").text == "1"
    assert session.run("$$.sendResult(Promise.resolve(2)); 5", last="5").text == "2"
    assert session.run("$$.async(); setTimeout(() => $$.done(3), 5); 5", last="5").text == "3"
    result = session.run("$$.async(); $$.sendResult(1, true); setTimeout(() => $$.sendResult(2), 5)")
    assert (result.text, [each["mime"] for each in result.displays]) == ("2", [{"text/plain": "1"}])
