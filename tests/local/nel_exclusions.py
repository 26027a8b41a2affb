"""Which snippets genuine nel and the embedded kernel answer differently, and why that stays."""

from __future__ import annotations

_NEL_IS_LOST = "nel's process dies or never answers again; here the run ends with an error and the session goes on"
_NEL_IS_STUCK = "what the code replaced breaks every later run of nel; here the next run works"
_PROTECTED = "nel shows values with the code's own util.inspect; here the kernel keeps its own"
_PROCESS = "shows how the process was started and is spoken to: arguments, memory, pipes instead of IPC"

EXCLUDED: dict[str, str] = {
    **dict.fromkeys(
        (
            "throw {get name() { throw 1 }}",
            "throw {get message() { throw new Error('no message') }}",
            "throw {name: 'N', message: 'M', get stack() { throw 1 }}",
            "throw {stack: 5}",
            "throw {stack: ['a']}",
            "throw {name: 5n, message: 'big'}",
            "throw new Proxy({}, {get() { throw new Error('trap') }})",
            "throw {[util.inspect.custom]() { throw new Error('inspect') }}",
            "process.send = null; 1",
            "$$.mime({big: 1n})",
            "'after the call'",
            "setTimeout(() => { throw 'text' }, 10); 1",
            "'alive after text'",
            "setTimeout(() => { throw null }, 10); 1",
            "'alive after null'",
        ),
        _NEL_IS_LOST,
    ),
    **dict.fromkeys(("'after the stream'", "'after the array method'"), _NEL_IS_STUCK),
    **dict.fromkeys(("util.inspect = () => 'mine'; 1", "[1, 'tampered']", "throw 'tampered text'"), _PROTECTED),
    **dict.fromkeys(
        (
            "process",
            "Object.getOwnPropertyNames(process).sort().join()",
            "process.execArgv",
            "process.memoryUsage().rss",
            "process.emit('message', 'x'); 1",
        ),
        _PROCESS,
    ),
    "process.stdout": "nel's is piped into the process's own stream, which shows in its insides",
    "process.listenerCount('exit')": "one listener tells the pool that the process exits, so that nobody waits for it",
    "$$.display(undefined).text('u')": "nel's client takes the message without a name for a result",
    "console.time('a'); console.timeEnd('a')": "tells a duration",
    "Function.prototype.call = null; 1": "may break the kernel's own pipe while it reads",
}
