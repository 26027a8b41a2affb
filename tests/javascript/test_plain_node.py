"""The whole way against plain Node.js: the same program as a file for `node`, and sent by a model, on both engines.

Compared are stdout, stderr and the exit code. Of an uncaught error, which Node.js words with paths and inner frames, the
line `Name: message` is compared.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.local.node import find_node
from tests.engine import Engine
from tests.javascript.test_prepare_runs import COUNTER, MODULES, SCRIPTS

# A run's file is called `.js`, whatever it is.
MODULES = {name: code for name, code in MODULES.items() if name != "own filename"}

# Programs whose end, exit code and output past `console` are the point.
PROCESSES = {
    "timers end a run": "setTimeout(() => console.log('b'), 30); console.log('a')",
    "an interval that clears itself": "let n = 0; const t = setInterval(() => { console.log(n); if (++n > 2) clearInterval(t) }, 5)",
    "order of queues": "setImmediate(() => console.log(4)); process.nextTick(() => console.log(2)); "
    "Promise.resolve().then(() => console.log(3)); console.log(1)",
    "exit code": "process.exitCode = 3; console.log('a')",
    "exit": "console.log('a'); process.exit(4); console.log('never')",
    "exit in try": "try { console.log(1); process.exit(0) } catch (e) { console.log('caught'); process.exit(1) }",
    "exit in finally": "try { process.exit(2) } finally { console.log('never') }",
    "exit in a promise": "Promise.resolve().then(() => process.exit(5)).catch(() => console.log('never'))",
    "exit in a timer": "setTimeout(() => process.exit(6), 5); setTimeout(() => console.log('never'), 50)",
    "exit listeners": "process.on('exit', code => console.log('exit', code)); process.exitCode = 7",
    "beforeExit": "let n = 0; process.on('beforeExit', () => { if (n++ < 2) setTimeout(() => console.log(n), 1) })",
    "uncaught": "console.log(1); throw new TypeError('bad')",
    "uncaught in a callback": "setTimeout(() => { throw new RangeError('late') }, 5); setTimeout(() => console.log('never'), 40)",
    "unhandled": "Promise.reject(new Error('nobody')); setTimeout(() => console.log('never'), 40)",
    "handled by the program": "process.on('uncaughtException', e => console.log('got', e.message)); "
    "setTimeout(() => { throw new Error('x') }, 1)",
    "child": "const { execSync, spawnSync } = require('child_process'); execSync('echo out; echo err >&2', { stdio: 'inherit' }); "
    "spawnSync('echo', ['two'], { stdio: 'inherit' }); console.log(execSync('echo three') + '')",
    "descriptors": "require('fs').writeSync(1, 'a\\n'); require('fs').writeSync(2, 'b\\n'); process.stdout.write('c\\n')",
    "server": "const s = require('http').createServer((q, r) => r.end('hi')).listen(0, async () => { "
    "console.log(await (await fetch('http://localhost:' + s.address().port)).text()); s.close(); s.closeAllConnections() })",
    "worker": "const { Worker } = require('worker_threads'); "
    "new Worker(\"require('worker_threads').parentPort.postMessage(6*7)\", { eval: true }).on('message', m => console.log(m))",
    "itself in a thread": "const { Worker, isMainThread, parentPort } = require('worker_threads'); "
    "if (isMainThread) new Worker(__filename).on('message', m => console.log(m)); else parentPort.postMessage(42)",
    "itself in a process": "if (process.argv[2]) process.send('hi'); "
    "else require('child_process').fork(__filename, ['child']).on('message', m => console.log(m))",
    "itself in a cluster": "const cluster = require('cluster'); if (!cluster.isPrimary) process.send('hi'); "
    "else { const w = cluster.fork(); w.on('message', m => { console.log(m); w.kill() }) }",
    "itself as a text": "console.log(require('fs').readFileSync(__filename, 'utf8').length)",
    "promised timers": "const { setTimeout: sleep, setImmediate: turn } = require('timers/promises'); "
    "(async () => { console.log(await sleep(5, 'a'), await turn('b')); await sleep(50); console.log('never') })(); "
    "setTimeout(() => { throw new Error('x') }, 30)",
    "zlib": "require('zlib').gzip('x', (e, b) => console.log(b.length > 10))",
    "console": "console.table([{ a: 1 }]); console.group('g'); console.log('in'); console.groupEnd(); console.count(); "
    "console.assert(false, 'no'); console.dir({ a: { b: { c: {} } } }); console.error('e'); console.trace === undefined",
}


@pytest.fixture
def session(engine: Engine) -> Iterator[NodeSessionsCodeExecutor]:
    """A new session for each program, as each file has a new process."""
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, timeout=20) as executor:
        executor.upload(COUNTER.encode(), name="counter.mjs")
        executor.upload(b'{"a": 1}', name="data.json")
        yield executor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counter.mjs").write_text(COUNTER)
    (tmp_path / "data.json").write_text('{"a": 1}')
    return tmp_path


def plain(folder: Path, code: str, kind: str) -> tuple[str, str, int]:
    file = folder / f"program.{kind}"
    file.write_text(code, encoding="utf-8")
    command = [str(find_node().executable), "--no-warnings", str(file)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout, ended.stderr, ended.returncode


def headline(stderr: str) -> str:
    """Return the line of an uncaught error that names it."""
    found = re.search(r"^(?:Uncaught )?\[?(\w*(?:Error|Exception)\b[^\n]*)", stderr, re.MULTILINE)
    return found[1] if found else ""


def compare(session: NodeSessionsCodeExecutor, folder: Path, code: str, kind: str) -> None:
    out, err, status = plain(folder, code, kind)
    run = session.execute(code)
    assert run.mode == "managed"
    assert (run.execution.stdout, run.exit_code) == (out, status), run.text
    if "Node.js v" in err:
        assert headline(run.execution.stderr).split(" [")[0] == headline(err).split(" [")[0]
    else:
        assert run.execution.stderr == err


BOTH_WHERE_THERE_IS_TIME = pytest.mark.parametrize(
    "engine", ["embedded", pytest.param("nel", marks=pytest.mark.long)], indirect=True, scope="module"
)


@BOTH_WHERE_THERE_IS_TIME
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script(session: NodeSessionsCodeExecutor, folder: Path, name: str) -> None:
    compare(session, folder, SCRIPTS[name], "cjs")


@BOTH_WHERE_THERE_IS_TIME
@pytest.mark.parametrize("name", MODULES)
def test_a_module(session: NodeSessionsCodeExecutor, folder: Path, name: str) -> None:
    compare(session, folder, MODULES[name], "mjs")


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process(session: NodeSessionsCodeExecutor, folder: Path, name: str) -> None:
    compare(session, folder, PROCESSES[name], "cjs")
