"""What a model reads of an error: short, with its own line, and a hint where one is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.javascript.envelope import CodeError
from aca_node_interpreter.javascript.report import hint, report
from tests.engine import Engine


def test_the_line_is_shown_with_a_caret() -> None:
    error = CodeError("TypeError", "x is not a function", cell=3, line=2, column=7, source="\tfoo.x()")
    assert report(error, 3) == "TypeError: x is not a function\n  line 2: \tfoo.x()\n          \t     ^"


def test_a_line_of_another_run_is_named_as_such() -> None:
    error = CodeError(
        "Error", "e", "at f (/mnt/data/cell_1.js:4:5)\nat /mnt/data/cell_2.js:1:1", 1, 4, 5, "    throw e"
    )
    assert report(error, 2).splitlines() == [
        "Error: e",
        "  line 4 of run 1:     throw e",
        "                       ^",
        "    at f (line 4 of run 1)",
        "    at line 1",
    ]


def test_a_long_line_is_cut_around_the_column() -> None:
    error = CodeError("Error", "e", line=1, column=500, source="x" * 499 + "!" + "y" * 499)
    _, line, caret = report(error, 1).splitlines()
    assert line[caret.index("^")] == "!"
    assert len(line) < 200


def test_a_report_is_bounded() -> None:
    stack = "\n".join(f"at f{n} (/mnt/data/cell_1.js:{n}:1)" for n in range(1, 100))
    error = CodeError("Error", "m" * 100_000, stack, 1, 1, 1, "x" * 100_000, cause=CodeError("Error", "c" * 100_000))
    assert len(report(error, 1)) < 4_000


def test_causes_and_several_errors_are_told() -> None:
    inner = CodeError("Error", "inner", cell=1, line=3, column=1, source="deep()")
    error = CodeError("AggregateError", "two", cause=inner, errors=(CodeError("A", "a"), CodeError("B", "b")))
    assert report(error, 1).splitlines() == [
        "AggregateError: two",
        "Caused by: Error: inner",
        "  line 3: deep()",
        "          ^",
        "- A: a",
        "- B: b",
    ]


@pytest.fixture(scope="module")
def session(engine: Engine) -> Iterator[NodeSessionsCodeExecutor]:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        yield executor


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("require('lodash')", "npm install lodash"),
        ("import _ from '@scope/pkg/deep'", "npm install @scope/pkg"),
        ("await import('left-pad')", "npm install left-pad"),
        ("require('node:fss')", "did you mean node:fs?"),
        ("import x from 'node:filesystem'", "no such built-in module"),
        ("require('child_proces')", "node:child_process"),
        ("require('./missing.js')", "there is no file ./missing.js"),
        ("await fetch('https://example.com')", "reached no network"),
        ("await require('dns').promises.lookup('example.com')", "reached no network"),
        ("fs.readFileSync('data.csv.gz.none')", "files of the session are in /mnt/data"),
        ("fs.readFileSync('/home/user/data.csv')", "files of the session are in /mnt/data"),
        ("new Array(-1)", "more memory"),
        ("await new Promise(() => {})", "nothing is left that could settle"),
        ("document.title", "not a browser: there is no document."),
        ("$('p').text()", "there is no $ here"),
        ("Deno.readTextFile('a')", "there is no Deno"),
        ("print('x')", "console.log"),
        ("x = None", "write null"),
        ("if (len([1]) > 0) 1", "write .length"),
        ("for (const i of range(3)) console.log(i)", "let i = 0"),
        ("ls -la", "execSync"),
        ("cd /mnt/data && ls", "execSync"),
        ("cat <<EOF > a.txt\nhi\nEOF", "execSync"),
        ("console.log(\u201chi\u201d)", "plain quotes"),
        ("const a = \u2018hi\u2019;\na", "plain quotes"),
        ("console.log(1\uff09", "brackets"),
        ("console.log('it\u2019s'\uff0c 1)", "commas"),
        (r"const a = 1;\nconsole.log(a)", "send real line breaks"),
        ("# the sum\nx = 5\nprint(x)", "start with //"),
        ("[1].forEach(x => { await x })", "Promise.all"),
        ("[1].forEach(x => await x)", "Promise.all"),
        ("function f() { for await (const a of []) a }", "Promise.all"),
    ],
)
def test_real_errors_come_with_a_hint(session: NodeSessionsCodeExecutor, code: str, advice: str) -> None:
    run = session.execute(code)
    assert run.exit_code in (1, 13)
    assert advice in run.text
    assert len(run.text) < 900


def test_an_es_module_that_is_required_is_explained(session: NodeSessionsCodeExecutor) -> None:
    session.execute(
        """
        const folder = '/mnt/data/node_modules/esm';
        fs.mkdirSync(folder, { recursive: true });
        fs.writeFileSync(folder + '/package.json', '{"type":"module","exports":{"import":"./a.js"}}');
        fs.writeFileSync(folder + '/a.js', 'export default 1');
        """
    )
    assert "load it with import" in session.execute("require('esm')").text
    assert session.execute("import esm from 'esm'; esm").value == 1


def test_what_works_gets_no_hint() -> None:
    assert hint(CodeError("Error", "no such file or directory, open '/mnt/data/x'", code="ENOENT")) == ""
    assert hint(CodeError("Error", "mine")) == ""


NO_HINT = {
    "a variable called like a function of Python": CodeError("ReferenceError", "str is not defined", source="f(str)"),
    "a method called like one": CodeError("ReferenceError", "len is not defined", source="len + a.len(b)"),
    "a variable called like a command": CodeError("ReferenceError", "cat is not defined", source="cat.name"),
    "a variable after a command": CodeError("ReferenceError", "x is not defined", source="ls -x"),
    "one's own error": CodeError("Error", "print is not defined", source="print(1)"),
    "quotes in a string": CodeError("SyntaxError", "missing ) after argument list", source="f('\u201ca\u201d' b)"),
    "quotes in a comment": CodeError("SyntaxError", "Invalid or unexpected token", source="a @ b // don\u2019t"),
    "JSON": CodeError("SyntaxError", "Unexpected token \u201c in JSON", source="\u201c${JSON.parse(a)}"),
    "an await that no async mends": CodeError("SyntaxError", "Unexpected reserved word", column=3, source="f await g"),
    "a private name": CodeError("SyntaxError", "Private field '#a' must be declared", column=1, source="#a in b"),
    "a line break in a string": CodeError("SyntaxError", "Unexpected token ')'", column=8, source=r"f('\n'))"),
}


@pytest.mark.parametrize("name", NO_HINT)
def test_what_only_looks_alike_gets_no_hint(name: str) -> None:
    assert hint(NO_HINT[name]) == ""


def test_what_the_code_gave_an_error_is_shown() -> None:
    cause = CodeError("Error", "inner", own="{ retry: true }")
    error = CodeError("HttpError", "bad", own="{\n  status: 500 }", cause=cause)
    assert report(error, 1).splitlines() == [
        "HttpError: bad",
        "  { status: 500 }",
        "Caused by: Error: inner",
        "  { retry: true }",
    ]


def test_a_frame_is_told_once_in_a_row() -> None:
    stack = (
        "at /mnt/data/cell_1.js:1:2\nat Object.<anonymous> (/mnt/data/cell_1.js:1:9)\nat f (/mnt/data/cell_1.js:2:1)"
    )
    told = report(CodeError("Error", "x", stack=stack), 1).splitlines()
    assert told == ["Error: x", "    at line 1", "    at f (line 2)"]
