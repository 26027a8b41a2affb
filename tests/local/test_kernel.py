"""What code means in a session: the hosted kernel's semantics, one row each."""

from __future__ import annotations

from typing import Any

import pytest

from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.behaviour import Behaviour
from tests.local.remote import Remote, http_client

VALUES = [
    ("1+3", "4"),
    ("'hello'", "'hello'"),
    ("({a:1})", "{ a: 1 }"),
    ("[1,2,3]", "[ 1, 2, 3 ]"),
    ("null", "null"),
    ("undefined", ""),
    ("var x = 1", ""),
    ("// only a comment", ""),
    ("10n", "10n"),
    ("NaN", "NaN"),
    ("new Map([[1,2]])", "Map(1) { 1 => 2 }"),
    ("Promise.resolve(42)", "Promise { 42 }"),
    ("new Promise(() => {})", "Promise { <pending> }"),
    ("for (const x of [1,2,3]) x*2", "6"),
    ("path.join('a', 'b')", "'a/b'"),
    (
        "[typeof require, typeof module, typeof exports, __filename, __dirname].join()",
        "'function,function,object,[eval],.'",
    ),
    ("[typeof fs, typeof os, typeof child_process, typeof util, typeof crypto.randomUUID].join()", None),
    ("module.paths === undefined || Array.isArray(module.paths)", "true"),
    (
        "Object.keys($$).sort().join()",
        "'async,clear,display,done,html,input,jpeg,json,mime,png,sendError,sendResult,svg,text'",
    ),
    ("process.argv.length", "1"),
    ("$$.text('plain')", "plain"),
    ("$$.html('<b>')", "<b>"),
    ("$$.svg('<svg/>')", "<svg/>"),
    ("$$.json({a:[1]})", '{"a": [1]}'),
    ("$$.png('aGk=')", {"type": "image", "format": "png", "base64_data": "aGk="}),
    ("$$.jpeg('aGk=')", {"type": "image", "format": "jpeg", "base64_data": "aGk="}),
    ("$$.mime({'text/plain': 'x', 'image/png': 'aGk='})", {"type": "image", "format": "png", "base64_data": "aGk="}),
    ("$$html$$ = '<i>'", "<i>"),
    ("$$svg$$ = '<svg/>'", "<svg/>"),
    ("$$mime$$ = {'text/plain': 'x'}", "x"),
    ("$$png$$ = 'aGk='", {"type": "image", "format": "png", "base64_data": "aGk="}),
    ("$$jpeg$$ = 'aGk='", {"type": "image", "format": "jpeg", "base64_data": "aGk="}),
    ("$$.display().png('aGk='); undefined", {"type": "image", "format": "png", "base64_data": "aGk="}),
    ("$$.display('id').text('a'); $$.display('id').text('b'); undefined", "b"),
    ("$$.display().text('a'); 5", "5"),
    ("$$.async(); setTimeout($$.done, 10)", ""),
    ("$$.async(); setTimeout(() => $$.done(7), 10)", "7"),
    ("$$async$$ = true; setTimeout($$done$$, 10, 8)", "8"),
    ("$$.async(); (async () => { await 0; return 9 })().then($$.sendResult).catch($$.sendError)", "9"),
    ("$$.sendResult(new Promise(done => setTimeout(done, 10, 'late')))", "'late'"),
    ("$$.sendResult(1); 2", "1"),
    ("$$.sendResult(1, true); setTimeout(() => $$.sendResult(2), 10)", "2"),
    ("({_toMime() { return {'text/plain': 'mine'} }})", "mine"),
    (
        "({_toHtml() { return '<b>' }, _toPng() { return 'aGk=' }})",
        {"type": "image", "format": "png", "base64_data": "aGk="},
    ),
    ("({_toMime() { throw 1 }, valueOf: 1})", "{ _toMime: [Function: _toMime], valueOf: 1 }"),
    ("$$mimer$$ = value => ({'text/plain': `<${value}>`}); 3", "<3>"),
    ("$$defaultMimer$$(1)", "{ 'text/plain': '1' }"),
    ("$$.config.awaitExecution = true; Promise.resolve(11)", "11"),
    ("'\\0'.length", "1"),
    ("'\0'.length", "1"),
    ("'é😀'", "'é😀'"),
]


@pytest.mark.parametrize(("code", "value"), VALUES)
def test_a_run_has_the_value(remote: Remote, code: str, value: Any) -> None:
    assert remote.value(code) == (value or "" if value is not None else "'object,object,object,object,function'")


def test_variables_and_functions_stay(remote: Remote) -> None:
    remote.value("var kept = 20; implicit = 1; function add(n) { return kept + implicit + n }; let fixed = 1")
    assert remote.value("add(fixed)") == "22"


@pytest.mark.parametrize("keyword", ["let", "const", "class"])
def test_declaring_again_is_an_error(remote: Remote, keyword: str) -> None:
    declaration = "class twice {}" if keyword == "class" else f"{keyword} twice = 1"
    remote.value(declaration)
    run = remote.run(declaration)
    assert run["status"] == "Failed"
    assert "SyntaxError: Identifier 'twice' has already been declared" in run["stderr"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("await 1", "await is only valid in async functions and the top level bodies of modules"),
        ("import fs from 'fs'", "Cannot use import statement outside a module"),
        ("nothing.here", "ReferenceError: nothing is not defined"),
        ("throw 'text'", "string: 'text'"),
        ("throw {a: 1}", "object: { a: 1 }"),
        ("throw null", "object: null"),
        ("throw {get name() { throw 1 }}", "object: "),
        ("$$.async(); Promise.reject(new Error('late')).catch($$.sendError)", "Error: late"),
        ("$$mimer$$ = () => { throw new Error('mimer') }; 1", "Error: mimer"),
        ("$$.mime({big: 1n})", "BigInt"),
    ],
)
def test_an_error_is_told_on_stderr(remote: Remote, code: str, words: str) -> None:
    run = remote.run(code)
    assert run["status"] == "Failed"
    assert words in run["stderr"]
    assert run["executionResult"] == ""


def test_a_traceback_has_the_hosted_kernels_shape_and_no_path_of_the_host(remote: Remote) -> None:
    stderr = remote.run("1;\nthrow new Error('boom')")["stderr"]
    assert stderr.splitlines()[:6] == [
        "evalmachine.<anonymous>:2",
        "throw new Error('boom')",
        "^",
        "",
        "Error: boom",
        "    at evalmachine.<anonymous>:2:7",
    ]
    assert "kernel.js" not in stderr


def test_output_goes_to_its_stream_and_stays_when_the_run_fails(remote: Remote) -> None:
    run = remote.run(
        "console.log('a'); console.error('b'); process.stdout.write('c'); console.warn('d'); throw new Error('e')"
    )
    assert run["stdout"] == "a\nc"
    assert run["stderr"].startswith("b\nd\nevalmachine.<anonymous>:1\n")


@pytest.mark.parametrize(
    "code",
    [
        "setTimeout(() => { throw new Error('late') }, 5); $$.async(); setTimeout($$.done, 60)",
        "Promise.reject(new Error('late')); $$.async(); setTimeout($$.done, 60)",
    ],
)
def test_a_late_error_is_told_and_the_session_lives(remote: Remote, code: str) -> None:
    remote.value("var kept = 1")
    run = remote.run(code)
    assert run["status"] == "Succeeded"
    assert "Error: late" in run["stderr"]
    assert remote.value("kept") == "1"


def test_dynamic_import_fails_as_hosted(remote: Remote) -> None:
    run = remote.run("import('fs'); $$.async(); setTimeout($$.done, 60)")
    assert "ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING" in run["stderr"]


def test_what_bypasses_the_streams_is_lost_as_hosted(remote: Remote) -> None:
    run = remote.run(
        "fs.writeSync(1, 'lost'); fs.writeSync(2, 'lost');"
        "child_process.spawnSync('echo', ['lost'], {stdio: 'inherit'}).status"
    )
    assert (run["stdout"], run["stderr"], run["executionResult"]) == ("", "", "0")


def test_code_that_tampers_with_built_ins_harms_nothing(remote: Remote) -> None:
    remote.value("JSON.stringify = JSON.parse = () => 'forged'; 1")
    remote.value("Promise.prototype.then = util.inspect = fs.writeSync = null; 1")
    assert remote.value("console.log('x'); [1]") == "[ 1 ]"


def test_very_long_code_and_lone_surrogates_run(remote: Remote) -> None:
    assert remote.value("/*" + "x" * 5_000_000 + "*/ 1") == "1"
    body = '{"code": "console.log(\\"\\ud800\\".length); \\"\\ud800\\"", "timeoutInSeconds": 9}'
    answer = remote.call("POST", "/executions", version="2025-10-02-preview", content=body)
    assert answer.json()["result"]["stdout"] == "1\n"
    assert answer.json()["result"]["executionResult"] == "'\\ud800'"


def test_much_output_arrives_whole(remote: Remote) -> None:
    body = {"properties": {"code": "process.stdout.write('é'.repeat(25_000_000))"}}
    answer = remote.call("POST", "/code/execute", json=body)
    assert len(answer.json()["properties"]["stdout"]) == 25_000_000


def test_primitives_travel_as_json_when_asked_to(isolation: Any) -> None:
    with LocalPool(isolation=isolation, behaviour=Behaviour(values="json")) as pool:
        with http_client(pool) as http:
            remote = Remote(http, "json-values")
            values = [remote.value(code) for code in ("4", "1.5", "true", "null", "'text'", "[1]", "NaN", "undefined")]
    assert values == [4, 1.5, True, None, "text", "[ 1 ]", "NaN", ""]
