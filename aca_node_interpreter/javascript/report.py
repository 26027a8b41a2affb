"""Word what the code threw so that a model can repair it: what, where, the line itself, and one hint if any."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches

from .envelope import CodeError

_STACK_LINES = 6
_MESSAGE_CHARS = 1_500
_SOURCE_CHARS = 160

_TOP_LEVEL = re.compile(r"at Object\.<anonymous> \(([^()]*)\)")
_FRAME = re.compile(r"/mnt/data/cell_(\d+)\.js:(\d+)(?::(\d+))?")


def report(error: CodeError, cell: int) -> str:
    """Return an error in a few hundred characters.

    Args:
        error: what was thrown.
        cell: the number of the run that it is told with; a line of another run's text is named as such.
    """
    lines = [_headline(error), *_own(error), *_place(error, cell), *_stack(error, cell)]
    cause = error.cause
    while cause is not None:
        lines += [f"Caused by: {_headline(cause)}", *_own(cause), *_place(cause, cell)]
        cause = cause.cause
    lines += [f"- {_headline(each)}" for each in error.errors]
    if advice := hint(error):
        lines.append(f"Hint: {advice}")
    return "\n".join(lines)


def _headline(error: CodeError) -> str:
    message = error.message.partition("\nRequire stack:")[0]
    if len(message) > _MESSAGE_CHARS:
        message = f"{message[:_MESSAGE_CHARS]}… ({len(message):,} characters)"
    if not error.name or message.startswith(f"{error.name}: "):
        return message or error.name or "The code threw something that can't be shown."
    return f"{error.name}: {message}" if message else error.name


def _own(error: CodeError) -> list[str]:
    """Show what else the code gave the error."""
    return [f"  {' '.join(error.own.split())}"] if error.own else []


def _place(error: CodeError, cell: int) -> list[str]:
    """Name the line that the error happened in, and show it with a caret below the column."""
    if not error.line:
        return []
    where = f"line {error.line}" if error.cell in (0, cell) else f"line {error.line} of run {error.cell}"
    if not error.source.strip():
        return [f"  at {where}"]
    # A long line is cut around the column.
    start = max(0, error.column - 1 - _SOURCE_CHARS // 2) if len(error.source) > _SOURCE_CHARS else 0
    shown = error.source[start : start + _SOURCE_CHARS].rstrip()
    prefix = f"  {where}: {'…' if start else ''}"
    lines = [prefix + shown]
    if 0 < error.column <= len(error.source):
        before = shown[: error.column - 1 - start]
        blank = "".join("\t" if character == "\t" else " " for character in before)
        lines.append(" " * len(prefix) + blank + "^")
    return lines


def _stack(error: CodeError, cell: int) -> list[str]:
    """Return who called, beyond the line that is shown already; frames are named by line instead of by file."""

    def named(match: re.Match[str]) -> str:
        run, line = int(match[1]), match[2]
        return f"line {line}" if run == cell else f"line {line} of run {run}"

    lines = (line.strip() for line in error.stack.splitlines())
    frames = [_TOP_LEVEL.sub(r"at \1", _FRAME.sub(named, line)) for line in lines if line.startswith("at ")]
    # A function that is called where it stands has its caller's line.
    frames = [frame for number, frame in enumerate(frames) if number == 0 or frame != frames[number - 1]]
    if len(frames) == 1 and error.line and re.fullmatch(rf"at line {error.line}(?: of run \d+)?", frames[0]):
        return []
    left_out = len(frames) - _STACK_LINES
    shown = [f"    {frame}" for frame in frames[:_STACK_LINES]]
    return [*shown, f"    … {left_out} more"] if left_out > 0 else shown


# The names that models know; what they get wrong is near one of these.
_BUILT_INS = (
    *("assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram", "dns"),
    *("events", "fs", "http", "http2", "https", "inspector", "module", "net", "os", "path", "perf_hooks", "process"),
    *("punycode", "querystring", "readline", "repl", "sqlite", "stream", "string_decoder", "test", "timers", "tls"),
    *("tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib"),
)

_NO_NETWORK = (
    "the session reached no network: a session pool has egress only when it was made with it. Work with what is in "
    "the session."
)
_MISSING = re.compile(r"Cannot find (?:module|package) '([^']+)'")
_WRONG_BUILT_IN = re.compile(r"(?:No such built-in module: |node:)([\w/:.-]+)")
_NO_FILE = re.compile(r"no such file or directory, \w+ '([^']*)'")


def hint(error: CodeError) -> str:
    """Return what to do next, for what is known; else nothing."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    return next((advice for each in chain for known in _HINTS if (advice := known(each))), "")


def _wrong_built_in(error: CodeError) -> str:
    if error.code != "ERR_UNKNOWN_BUILTIN_MODULE" or not (match := _WRONG_BUILT_IN.search(error.message)):
        return ""
    near = get_close_matches(match[1].removeprefix("node:"), _BUILT_INS, n=1)
    return f"Node.js has no such built-in module{f'; did you mean node:{near[0]}?' if near else '.'}"


def _missing_package(error: CodeError) -> str:
    match = _MISSING.search(error.message)
    if error.code not in ("MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND") or not match:
        return ""
    name = match[1]
    if re.match(r"\w+:", name):
        return ""
    if name.startswith((".", "/")):
        return f"there is no file {name}; files of the session are in /mnt/data."
    package = "/".join(name.split("/")[: 2 if name.startswith("@") else 1])
    near = get_close_matches(package, _BUILT_INS, n=1, cutoff=0.8)
    if near and package != near[0]:
        return f"did you mean the built-in module node:{near[0]}?"
    return (
        f"the package is not installed. Where the session has a network: "
        f"require('child_process').execSync('npm install {package}'); else do without it."
    )


def _esm_only(error: CodeError) -> str:
    by_code = error.code in ("ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE")
    no_main = error.code == "ERR_PACKAGE_PATH_NOT_EXPORTED" and 'No "exports" main' in error.message
    return "the package is an ES module only: load it with import, or await import(...)." if by_code or no_main else ""


def _no_network(error: CodeError) -> str:
    codes = ("ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN")
    return _NO_NETWORK if error.code in codes else ""


def _no_file(error: CodeError) -> str:
    match = _NO_FILE.search(error.message)
    if error.code != "ENOENT" or not match or match[1].startswith("/mnt/data"):
        return ""
    return "files of the session are in /mnt/data: use that path, and list it to see what is there."


def _read_only(error: CodeError) -> str:
    if error.code not in ("EROFS", "EACCES", "EPERM") or "/mnt/data" in error.message or "'" not in error.message:
        return ""
    return "write files to /mnt/data."


def _memory(error: CodeError) -> str:
    too_much = re.search(r"allocation failed|Invalid (?:string|array|typed array) length|out of memory", error.message)
    is_limit = (error.name == "RangeError" and too_much) or error.code in ("ENOMEM", "ERR_WORKER_OUT_OF_MEMORY")
    return "that is more memory than there is: work in smaller pieces, or in a file." if is_limit else ""


def _pending(error: CodeError) -> str:
    if error.name != "PendingPromise":
        return ""
    return "nothing is left that could settle the promise: see that resolve or reject is called."


_BROWSER = "this is Node.js, not a browser: there is no {}."
_PYTHON = "this is Node.js, not Python: write {}."
_RUNTIME = "this is Node.js: there is no {}. Use node:fs, process and the like."
_NOT_NODE = {
    **dict.fromkeys(("document", "window", "alert", "prompt", "confirm", "XMLHttpRequest", "DOMParser"), _BROWSER),
    **dict.fromkeys(("localStorage", "sessionStorage", "FileReader"), _BROWSER),
    **dict.fromkeys(("Deno", "Bun"), _RUNTIME),
    "$": "there is no $ here, neither jQuery's nor a shell's.",
    "None": _PYTHON.format("null"),
    "True": _PYTHON.format("true"),
    "False": _PYTHON.format("false"),
    "print(": _PYTHON.format("console.log(...)"),
    "len(": _PYTHON.format(".length"),
    "str(": _PYTHON.format("String(...)"),
    "int(": _PYTHON.format("parseInt(...)"),
    "float(": _PYTHON.format("Number(...)"),
    "range(": _PYTHON.format("for (let i = 0; i < n; i++)"),
    "input(": "nobody can answer the code: write the values into it.",
    "echo(": "this is Node.js: write console.log(...).",
}
"""What other places have and Node.js has not; with `(`, only where it is called, for the name may be a variable."""

_UNDEFINED = re.compile(r"([\w$]+) is not defined")
_COMMAND = re.compile(
    r"\s*(?:ls|cd|pwd|cat|echo|whoami|df|du|ps|git|npm|npx|node|pip3?|python3?)(?:\s+(?:[-/<|&]|>[^=]).*)?\s*"
)


def _not_node(error: CodeError) -> str:
    match = _UNDEFINED.fullmatch(error.message)
    if error.name != "ReferenceError" or not match:
        return ""
    name = match[1]
    if _COMMAND.fullmatch(error.source) and error.source.split()[0] == name:
        return "if that is a shell command, use require('child_process').execSync('...'): this is Node.js."
    is_called = re.search(rf"(?<![\w$.]){re.escape(name)}\s*\(", error.source)
    return (_NOT_NODE.get(name) or (_NOT_NODE.get(f"{name}(", "") if is_called else "")).format(name)


# What V8 says, or what the line has where V8 stopped, which \0 marks.
_STOPPED_AT = (
    (
        re.compile(r"^await is only valid|(?:=>[\s(]*|\bfor\s+)\0await\b"),
        "make the function around this await async. To wait for each of a list, use for (const x of list) or "
        "await Promise.all(list.map(async (x) => ...)).",
    ),
    (re.compile(r"\0\\[nrt]"), "line breaks arrived as the two characters \\n: send real line breaks."),
    (re.compile(r"\n\s*\0#(?!\w)"), "comments start with //, not with #."),
)
_NOT_CODE = re.compile(r"""(["'`])(?:\\.|(?!\1).)*\1|//.*|/\*.*?\*/""")
_LOOKALIKE = re.compile(
    "[\u2018-\u201f\u00ab\u00bb\u2032\u2033\u3001\u3002\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff5e]"
)


def _wrong_character(error: CodeError) -> str:
    if error.name != "SyntaxError":
        return ""
    at = max(0, error.column - 1)
    stopped = f"{error.message}\n{error.source[:at]}\0{error.source[at:]}"
    for pattern, advice in _STOPPED_AT:
        if pattern.search(stopped):
            return advice
    is_token = error.message in ("Invalid or unexpected token", "missing ) after argument list")
    if is_token and (match := _LOOKALIKE.search(_NOT_CODE.sub("", error.source))):
        return f"{match[0]} is no character of JavaScript: write plain quotes, brackets and commas (' \" ( ) , ;)."
    return ""


_HINTS: tuple[Callable[[CodeError], str], ...] = (
    _wrong_built_in,
    _missing_package,
    _esm_only,
    _no_network,
    _no_file,
    _read_only,
    _memory,
    _pending,
    _not_node,
    _wrong_character,
)
