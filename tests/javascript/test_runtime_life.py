"""How a run ends: as a process does, but the session goes on; and that nothing runs twice."""

from __future__ import annotations

import socket
import time

from aca_node_interpreter.javascript import runtime_calls
from tests.javascript.kernels import Session


def test_a_run_waits_for_what_it_started(session: Session) -> None:
    result = session.run(
        """
setTimeout(() => console.log('timer'), 60);
setImmediate(() => process.nextTick(() => console.log('tick')));
fs.promises.readFile('none').catch(() => console.log('file'));
zlib.gzip('x', () => console.log('gzip'));
require('crypto').pbkdf2('a', 'b', 1000, 8, 'sha1', () => console.log('hash'));
Promise.resolve().then(() => console.log('promise'));
const s = http.createServer((q, r) => r.end('hello')).listen(0, () => http.get({port: s.address().port, agent: false}, r => {
  r.on('data', d => console.log(d + '')); r.on('end', () => s.close()); }));
""",
        names=("s",),
    )
    assert sorted(result.stdout.split()) == sorted(["timer", "tick", "file", "gzip", "hash", "promise", "hello"])
    assert (result.end, result.left) == ("ok", [])


def test_a_server_that_stays_is_left_behind(session: Session) -> None:
    result = session.run("const s = http.createServer((q, r) => r.end('hello')).listen(0)", names=("s",))
    assert (result.end, result.left) == ("ok", ["server"])
    # Later runs end though it is there, and reach it.
    assert session.run("1").ms < 200
    code = "const r = await fetch('http://localhost:' + s.address().port); await r.text()"
    assert session.run(code, names=("r",), last="await r.text()", module=True).text == "'hello'"
    assert session.run("s.close()").end == "ok"


def test_exit_ends_the_run_and_not_the_session(session: Session) -> None:
    for code, exit_code in [
        ("process.exit()", 0),
        ("process.exit(3)", 3),
        ("process.exitCode = 4; process.exit()", 4),
        ("try { process.exit(5) } catch { console.log('caught') } finally { console.log('finally') }", 5),
        ("try { process.exit(5) } finally { process.exit(6) }", 5),
        ("Promise.resolve().then(() => process.exit(7))", 7),
        ("setTimeout(() => process.exit(8), 10); setTimeout(() => console.log('never'), 50)", 8),
        ("setInterval(() => console.log('tick'), 500); setImmediate(() => process.exit(8))", 8),
        ("process.on('exit', () => process.exit(9))", 9),
        ("process.nextTick(() => process.exit(10)); setImmediate(() => console.log('never'))", 10),
        ("process.exit(11); console.log('never')", 11),
        ("(async () => { try { process.exit(12) } catch { await 1; console.log('never') } })()", 12),
        ("const { exit } = require('process'); exit(13)", 13),
        ("process.abort()", 134),
        ("process.kill(process.pid, 'SIGKILL')", 137),
        ("process.kill(process.pid)", 143),
        ("process.on('uncaughtException', () => console.log('never')); process.exit(14)", 14),
        ("process.on('exit', c => process.exitCode = c + 1); process.exit(15)", 16),
    ]:
        result = session.run(code, names=("exit",) if "const" in code else ())
        assert (result.end, result.exit, result.stdout) == ("exit", exit_code, ""), code
        assert result.error == {}
    assert session.value("1+1") == "2"
    assert session.run("1").late == {"out": "", "err": "", "errors": []}


def test_exit_codes_and_listeners(session: Session) -> None:
    result = session.run("process.exitCode = 2; process.on('exit', code => console.log('exit', code))")
    assert (result.end, result.exit, result.stdout) == ("ok", 2, "exit 2\n")
    result = session.run(
        "let n = 0; process.on('beforeExit', () => { if (n++ < 2) setTimeout(() => console.log(n), 5) })", names=("n",)
    )
    assert (result.end, result.exit, result.stdout) == ("ok", 0, "1\n2\n")
    result = session.run("process.on('exit', code => console.log('bye', code)); throw new Error('e')")
    assert (result.end, result.exit, result.stdout) == ("error", 1, "bye 1\n")
    assert session.run("console.log(process.listenerCount('exit') < 2)").stdout == "true\n"


def test_uncaught_errors(session: Session) -> None:
    for code in (
        "setTimeout(() => { throw new Error('e') }, 5)",
        "Promise.reject(new Error('e'))",
        "process.nextTick(() => { throw new Error('e') })",
        "fs.readFile('/', () => { throw new Error('e') })",
        "new (require('events'))().emit('error', new Error('e'))",
        "setImmediate(() => { throw new Error('e') })",
        "queueMicrotask(() => { throw new Error('e') })",
    ):
        result = session.run(code + "; setTimeout(() => console.log('never'), 300)")
        assert (result.end, result.exit, result.error["message"], result.stdout) == ("error", 1, "e", ""), code
        assert result.error["line"] == 1
    result = session.run(
        "process.on('uncaughtException', e => console.log(e.message)); setTimeout(() => { throw new Error('mine') }, 5); throw new Error('first')"
    )
    assert (result.end, result.stdout) == ("ok", "first\nmine\n")
    result = session.run(
        "process.on('unhandledRejection', e => console.log(e.message)); Promise.reject(new Error('r'))"
    )
    assert (result.end, result.stdout) == ("ok", "r\n")
    assert session.run("Promise.reject(1)").error["message"] == "1"


def test_late_errors_belong_to_the_run_that_caused_them(session: Session) -> None:
    session.run(
        "globalThis.s = http.createServer(() => {}).listen(0); setTimeout(() => { throw new Error('late') }, 600).unref()"
    )
    time.sleep(0.8)
    result = session.run("1")
    assert (result.end, [(e["cell"], e["message"]) for e in result.late["errors"]]) == ("ok", [(1, "late")])
    assert session.run("s.close()").late["errors"] == []


def test_loops_are_stopped_and_variables_kept(session: Session) -> None:
    session.run("let kept = 1", names=("kept",))
    for code, is_async in [
        ("while (true) {}", False),
        ("console.log('x'); for (;;) try { for (;;); } finally { for (;;); }", False),
        ("await 0; while (true) {}", True),
        ("await new Promise(r => setTimeout(r, 20)); while (true) {}", True),
        ("await fs.promises.readFile('/etc/passwd'); while (true) {}", True),
        ("await new Promise(r => setTimeout(r, 10000))", True),
        ("setTimeout(() => { while (true) {} }, 10)", False),
        ("setImmediate(() => { while (true) {} })", False),
        ("fs.readFile('/etc/passwd', () => { while (true) {} })", False),
        ("Promise.resolve().then(() => { while (true) {} })", False),
        ("process.nextTick(() => { while (true) {} })", False),
        ("setInterval(() => {}, 10)", False),
        ("(function f() { setImmediate(f) })()", False),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b')", False),
        ("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", False),
    ]:
        result = session.run(code, limit=0.4, is_async=is_async, is_strict=is_async)
        assert (result.end, result.exit) == ("timeout", 124), (code, result)
        assert result.ms < 3000, code
        assert session.value("kept") == "1", code
        assert session.run("await 1; setTimeout(() => console.log('fine'), 5)", module=True).stdout == "fine\n", code


def test_names_of_a_stopped_run_are_published(session: Session) -> None:
    session.run("let a = 1; while (true) {}; let b = 2", names=("a", "b"), limit=0.2)
    assert session.value("a + typeof b") == "'1undefined'"


def test_a_promise_that_nothing_can_settle(session: Session) -> None:
    for _ in range(3):
        result = session.run("console.log('x');\nawait new Promise(() => {})", module=True)
        assert (result.end, result.exit, result.stdout) == ("error", 13, "x\n")
        assert (result.error["name"], result.error["line"]) == ("PendingPromise", 2)
    session.run(
        "const v8 = require('v8'); v8.setFlagsFromString('--expose-gc'); const gc = vm.runInNewContext('gc')",
        names=("v8", "gc"),
    )
    result = session.run("setTimeout(() => gc(), 50); await new Promise(() => {})", module=True)
    assert result.exit == 13
    for _ in range(3):
        session.run("new Promise(() => {}); (async () => { await new Promise(() => {}) })(); gc()")
    assert session.value("1+1") == "2"


def test_timers_of_what_ended_end_too(session: Session) -> None:
    session.run("setInterval(() => console.log('tick'), 5); setTimeout(() => { throw new Error('end') }, 20)")
    session.run("setInterval(() => console.log('tick'), 5)", limit=0.1)
    session.run("(function f() { setTimeout(f, 1) })(); setImmediate(() => process.exit())")
    time.sleep(0.1)
    result = session.run("1")
    assert (result.late["out"], result.left) == ("", [])
    # And the port of a server is free again.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = f"http.createServer(() => {{}}).listen({port}, '127.0.0.1', () => {{ throw new Error('listening') }})"
    for _ in range(2):
        assert session.run(code).error["message"] == "listening"


def test_a_run_never_runs_twice(session: Session) -> None:
    request = session.request(
        "globalThis.count = (globalThis.count || 0) + 1; console.log('once'); count", last="count"
    )
    first = session.call(request)
    again = session.call({**request, "mark": "other-"})
    assert (first.stdout, again.stdout) == ("once\n", "")
    assert first.envelope == again.envelope
    assert session.value("count") == "1"
    assert session.ask("run-1").envelope == first.envelope


def test_asking_bars_what_was_not_there(session: Session) -> None:
    session.run("1")
    assert session.ask("run-2").state == "never"
    result = session.run("globalThis.ran = true")
    assert result.state == "never"
    assert session.value("typeof ran") == "'undefined'"


def test_asking_while_it_runs(session: Session) -> None:
    session.run("1")
    # A kernel without `$$` answers at once; the client asks.
    hide = "const own = globalThis.$$; globalThis.$$ = undefined; "
    request = session.request("await new Promise(r => setTimeout(r, 500)); 'end'", last="'end'", module=True)
    session.kernel.execute(f"(() => {{ {hide} {runtime_calls.later_code(request)} }})()", 5)
    assert session.ask("run-2", wait=0.05).state == "running"
    assert session.ask("run-2", wait=5).text == "'end'"
    assert session.fetch("run-2").state == "file"


def test_a_second_run_waits_for_the_first(session: Session) -> None:
    session.run("1")
    requests = [
        session.request("await new Promise(r => setTimeout(r, 300)); globalThis.order = ['first']", module=True),
        session.request("order.push('second')"),
    ]
    for request in requests:
        session.kernel.execute(f"(() => {{ globalThis.$$ = undefined; {runtime_calls.later_code(request)} }})()", 5)
    assert session.ask("run-3").end == "ok"
    assert session.value("order") == "[ 'first', 'second' ]"


def test_without_a_runtime_the_answer_says_so(session: Session) -> None:
    heard = session.kernel.execute(
        runtime_calls.later_code(runtime_calls.ask_request(mark="M-", run_id="x", wait=0)), 5
    )
    assert heard.stdout == '\nM-{"v": 1, "state": "none"}\n'


def test_many_runs(session: Session) -> None:
    for number in range(300):
        result = session.run(f"const x = {number}; x", names=("x",), last="x")
        assert result.text == str(number)
    # The first ones are forgotten, which costs only what nobody asks for any more.
    assert session.ask("run-299").end == "ok"
