"""Code that breaks what it can reach: the runtime still answers truthfully, and the session goes on."""

from __future__ import annotations

import json

import pytest

from tests.javascript.kernels import Session

BREAKS = [
    "Array.prototype.push = Array.prototype.map = Array.prototype.join = Array.prototype.slice = () => { throw 1 }",
    "Array.prototype[Symbol.iterator] = () => { throw 1 }",
    "Array.isArray = Object.keys = Object.create = () => { throw 1 }",
    "String.prototype.slice = String.prototype.split = String.prototype.indexOf = () => { throw 1 }",
    "RegExp.prototype.exec = RegExp.prototype.test = () => { throw 1 }; RegExp.prototype[Symbol.replace] = null",
    "JSON.stringify = JSON.parse = () => { throw 1 }",
    "Object.prototype.toJSON = Array.prototype.toJSON = String.prototype.toJSON = () => 'broken'",
    "Object.defineProperty(Object.prototype, 'get', {value: () => 1, configurable: true})",
    "Object.prototype.value = Object.prototype.text = Object.prototype.mark = Object.prototype.then = 'x'",
    "Object.defineProperty(Object.prototype, 'message', {set() { throw 1 }, get() { throw 2 }, configurable: true})",
    "Promise.prototype.then = () => { throw 1 }; Promise.resolve = null",
    "Object.defineProperty(Promise.prototype, 'constructor', {get() { throw 1 }})",
    "Map.prototype.get = Map.prototype.set = Set.prototype.has = WeakMap.prototype.get = () => { throw 1 }",
    "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = () => { throw 1 }",
    "Reflect.apply = Reflect.defineProperty = () => { throw 1 }; Symbol.prototype.toString = null",
    "Math.max = Math.ceil = Date.now = performance.now = () => NaN",
    "Error.prototype.toString = () => { throw 1 }; Error.captureStackTrace = null",
    "Error.prepareStackTrace = () => { throw 1 }",
    "Error.prepareStackTrace = (e, frames) => frames; Error.stackTraceLimit = 0",
    "Buffer.from = Buffer.concat = Buffer.alloc = () => { throw 1 }",
    "fs.writeSync = fs.readdirSync = fs.lstatSync = fs.writeFileSync = () => { throw 1 }",
    "util.inspect = util.format = () => { throw 1 }; vm.Script = vm.runInThisContext = null",
    "util.inspect.defaultOptions.depth = 0",
    "globalThis.setTimeout = globalThis.setImmediate = globalThis.clearTimeout = globalThis.queueMicrotask = () => { throw 1 }",
    "process.nextTick = process.emitWarning = process.cwd = () => { throw 1 }",
    "process.removeAllListeners('beforeExit'); process.removeAllListeners('uncaughtException'); process.removeAllListeners('exit')",
    "process.stdout = process.stderr = null; console = null",
    "globalThis.console = globalThis.$$ = undefined; globalThis.global = 1",
    "process = {}; Object = Promise = null",
    "process.send = () => {}",
    "for (const k of Object.getOwnPropertyNames(console)) console[k] = null",
    "require('stream').Writable.prototype.write = () => { throw 1 }",
    "require('events').prototype.emit = require('events').prototype.on = () => { throw 1 }",
    "require('module').prototype._compile = require('module').createRequire = () => { throw 1 }",
    "Object.freeze(globalThis.console)",
    "Object.defineProperty(globalThis, 'x', {value: 1})",
    "try { globalThis.__aca = 1 } catch {} try { delete globalThis.__aca } catch {} try { Object.defineProperty(globalThis, '__aca', {value: 1}) } catch {}",
    "__aca(); try { __aca(1) } catch {}",
    "for (const h of process._getActiveHandles()) h.unref && h.unref()",
    "process.exitCode = 'x'",
    "process.on('exit', () => { throw new Error('in exit') })",
    "process.on('beforeExit', () => { process.exit(1) })",
    "process.env.NODE_OPTIONS = '--bad'",
    "process.chdir('/')",
    "process.on('uncaughtException', () => { throw new Error('again') }); setTimeout(() => { throw 1 }, 1)",
    "process.setUncaughtExceptionCaptureCallback(() => {})",
    "$$.async = $$.done = null; $$mimer$$ = () => { throw 1 }",
]


@pytest.mark.parametrize("code", BREAKS)
def test_broken_built_ins(session: Session, code: str) -> None:
    session.run("console.log('start')")
    # What the code breaks may break the code itself; how it ends is not the point.
    result = session.run(code)
    assert result.state == "done"
    result = session.run(
        "const kept = 41; console.log('out'); fs.mkdirSync; kept + 1", names=("kept",), last="kept + 1", is_strict=True
    )
    assert (result.end, result.text) == ("ok", "42")
    assert session.run("null.x").error["message"] == "Cannot read properties of null (reading 'x')"
    assert session.run("await 1; 5", last="5", module=True).text == "5"
    result = session.run("for (;;);", limit=0.2)
    assert (result.end, result.exit) == ("timeout", 124)
    assert session.ask("run-1").stdout == ""
    record = json.loads((session.data / session.fetch("run-1").file[0]).read_bytes())
    assert record["stdout"] == "start\n"


@pytest.mark.parametrize(
    "code",
    [
        "'x'.repeat(1 << 28)",
        "Array(1e6).fill('y')",
        "Array.from({length: 1e6}, (_, i) => ({i}))",
        "(() => { let a = {}; for (let i = 0; i < 1e5; i++) a = {a}; return a })()",
        "new Proxy({}, new Proxy({}, {get() { throw 1 }}))",
        "({get a() { throw 1 }, toJSON() { throw 2 }, [Symbol.toStringTag]: 'x', get then() { throw 3 }})",
        "({[util.inspect.custom]() { throw 1 }})",
        "({[util.inspect.custom]() { for (;;); }})",
        "({get _toPng() { for (;;); }})",
        "({_toMime() { return {'text/html': {toString() { throw 1 }}} }})",
        "Object.setPrototypeOf([1, 2], null)",
        "globalThis",
        "process",
        "(function* () {})()",
        "revoked = (() => { const r = Proxy.revocable({}, {}); r.revoke(); return r.proxy })()",
    ],
)
def test_values_of_every_kind(session: Session, code: str) -> None:
    result = session.run(code, last=code, limit=2)
    assert (result.state, result.end) == ("done", "ok"), result
    assert session.value("1+1") == "2"


def test_errors_of_every_kind(session: Session) -> None:
    for code in [
        "throw Object.assign(new Error('x'.repeat(1 << 24)), {stack: 'y'.repeat(1 << 24)})",
        "throw new Proxy(new Error('a'), new Proxy({}, {get() { throw 1 }}))",
        "(function f() { f() })()",
        "throw Object.defineProperty({}, 'stack', {get() { process.exit(3) }})",
        "const e = new AggregateError([]); e.errors.push(e); e.cause = e; throw e",
        "throw Array(1e6)",
        "throw {message: {}, stack: [], name: 1, cause: 2, errors: 3}",
        "throw class {}",
    ]:
        result = session.run(code, names=("e",) if "const e" in code else ())
        assert result.state == "done"
        assert (result.end, result.exit) == ("error", 1), code
    assert session.value("1+1") == "2"
