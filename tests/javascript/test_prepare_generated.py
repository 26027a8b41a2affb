"""Generated programs: a small grammar of statements that print, run plainly and prepared."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aca_node_interpreter.javascript.prepare import prepare_code
from tests.javascript.oracle import Oracle, body

NAMES = st.sampled_from(["a", "b", "f"])
NUMBERS = st.integers(0, 9).map(str)
ENDS = st.sampled_from([";", "\n", ";\n", " // c\n", " /* c\n */ "])
AWAITS = st.sampled_from(["await {}", "await ({})", "await [{}]", "(await {})", "`${{await {}}}`"])


def expressions(waits: bool) -> st.SearchStrategy[str]:
    """Return expressions that may throw, but not fail to parse."""
    simple = st.one_of(NUMBERS, NAMES, NAMES.map("typeof {}".format), st.just("(this === undefined)"))

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        shapes = [
            st.tuples(inner, inner).map("({0[0]} + {0[1]})".format),
            inner.map("[{}, 1]".format),
            inner.map("(() => {})()".format),
            inner.map("(function () {{ var b = 5; return {} }})()".format),
            st.tuples(NAMES, inner).map("{0[0]} = {0[1]}".format).map("({})".format),
            inner.map("log({})".format),
            st.tuples(NAMES, inner).map("(({0[0]}) => {0[1]})(3)".format),
        ]
        if waits:
            shapes.append(st.tuples(AWAITS, inner).map(lambda pair: pair[0].format(pair[1])))
        return st.one_of(shapes)

    return st.recursive(simple, larger, max_leaves=4)


def statements(waits: bool) -> st.SearchStrategy[str]:
    """Return statements, each with its end."""
    value = expressions(waits)
    simple = st.one_of(
        st.tuples(st.sampled_from(["var", "let", "const"]), NAMES, value, ENDS).map(
            "{0[0]} {0[1]} = {0[2]}{0[3]}".format
        ),
        st.tuples(NAMES, value, ENDS).map("var {{ {0[0]} = {0[1]} }} = {{}}{0[2]}".format),
        st.tuples(NAMES, value).map("function {0[0]}() {{ return {0[1]} }}\n".format)
        if not waits
        else NAMES.map("function {}() {{ return 1 }}\n".format),
        st.tuples(NAMES).map("class {0[0]} {{ static s = 1 }}\n".format),
        st.tuples(value, ENDS).map("{0[0]}{0[1]}".format),
        st.tuples(value, ENDS).map("log({0[0]}){0[1]}".format),
        st.just("log(typeof a, typeof b, typeof f)\n"),
        st.tuples(NAMES, NUMBERS).map("{{{0[0]}: {0[1]}}}\n".format),
        st.sampled_from(["'use strict'\n", "return;", ";", "// export\n", "[1].map(log)\n", "(1)\n", "`a`\n", "++a\n"]),
    )

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        block = st.lists(inner, max_size=3).map("".join).map("{{ {} }}\n".format)
        return st.one_of(
            block,
            st.tuples(value, block, block).map("if ({0[0]}) {0[1]} else {0[2]}".format),
            st.tuples(NAMES, block).map("for (let {0[0]} of [1, 2]) {0[1]}".format),
            st.tuples(NAMES, block).map("for (var {0[0]} in [1, 2]) {0[1]}".format),
            st.tuples(block, NAMES, block).map("try {0[0]} catch ({0[1]}) {0[2]}".format),
            st.tuples(block, NAMES, block).map("try {0[0]} catch ({{ {0[1]} }}) {0[2]}".format),
            st.tuples(block, block).map("try {0[0]} finally {0[1]}".format),
            st.tuples(value, inner).map("switch (1) {{ case 1: {0[1]} default: log({0[0]}) }}\n".format),
            block.map("label: {}".format),
            st.just("if (true) function f() { return 2 }\n") if not waits else block,
        )

    return st.recursive(simple, larger, max_leaves=5)


def programs(waits: bool) -> st.SearchStrategy[str]:
    """Return whole programs; each prints what is left in the end."""
    start = "const log = (...all) => (console.log(...all), 1)\n"
    late = "setImmediate(() => { try { console.log(a) } catch (e) { console.log(e.message) } })\n"
    return st.lists(statements(waits), min_size=1, max_size=6).map("".join).map(lambda text: start + late + text)


# Of an error that is printed, the stack tells how it was run.
_FRAMES = re.compile(r"\n +at .*")
COUNTS = {"same": 0, "does not run": 0, "makes globals, which no module may": 0}


def compare(oracle: Oracle, code: str, kind: str) -> None:
    prepared = prepare_code(code)
    plain = oracle.plain(code, kind)
    if str(plain["error"]).startswith("SyntaxError"):
        COUNTS["does not run"] += 1
        return
    assert not prepared.has_errors, code
    if prepared.is_async and not prepared.is_strict:
        COUNTS["makes globals, which no module may"] += 1
        return
    ours = oracle.prepared(prepared, kind)
    printed = [_FRAMES.sub("", each["out"]) for each in (ours, plain)]
    assert (printed[0], ours["error"]) == (printed[1], plain["error"]), f"{code}\n---\n{body(prepared)}"
    COUNTS["same"] += 1


SETTINGS = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_generated_programs_print_the_same(oracle: Oracle) -> None:
    @SETTINGS
    @given(programs(waits=False))
    def scripts(code: str) -> None:
        compare(oracle, code, "cjs")

    @SETTINGS
    @given(programs(waits=True), st.booleans())
    def modules(code: str, exports: bool) -> None:
        compare(oracle, code.replace("return;", ";") + ("\nexport {}" if exports else "\nawait 1"), "mjs")

    scripts()
    modules()
    print(COUNTS)
    assert COUNTS["same"] > 100
