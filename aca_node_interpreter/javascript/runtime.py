"""The calls on the runtime inside a session: `runtime.js`'s source, and the request that each call is.

Pure: what is sent, and how the answer is read, others decide.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from .prepared import Prepared

# A string, template or regular expression stays as it is; of other space only what parts two words.
_SQUEEZED = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=\()/(?:[^/\\\n]|\\.)+/)|(?<=[\w$])(\s)\s*(?=[\w$])|\s+"""
)


@cache
def source() -> str:
    """Return the runtime without comment lines, and without space that JavaScript does not need."""
    text = files(__package__).joinpath("runtime.js").read_text("utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
    return _SQUEEZED.sub(lambda match: match[1] or match[2] or "", code)


# Base 85 in characters that JSON leaves as they are: from `#` on, without the backslash.
_DIGITS = [chr(code) for code in range(ord("#"), ord("#") + 86) if code != ord("\\")]
_UNPACK = (
    'require("zlib").inflateRawSync(Buffer.from("%s".match(/.{5}/g).flatMap(g=>{let n=0;for(const c of Buffer.from(g))'
    "n=n*85+c-35-(c>92);return[n>>>24,n>>16,n>>8,n]}))).toString()"
)


@cache
def _packed() -> str:
    """Compress the runtime, so that what reads well also travels well."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, memLevel=9)
    packed = compressor.compress(source().encode()) + compressor.flush()
    packed += bytes(-len(packed) % 4)
    groups = (int.from_bytes(packed[start : start + 4], "big") for start in range(0, len(packed), 4))
    return "".join(_DIGITS[group // 85**place % 85] for group in groups for place in (4, 3, 2, 1, 0))


def run_request(
    prepared: Prepared, *, mark: str, run_id: str, cell: int, limit: float, seen: Sequence[str] = ()
) -> dict[str, Any]:
    """Word the call that runs a text.

    Args:
        prepared: the text.
        mark: what the answer's line starts with; nobody can guess it.
        run_id: the run's own; it never runs twice.
        cell: the run's number, as in `cell_3.js`.
        limit: seconds that it may take.
        seen: paths below /mnt/data that the client has put there itself.
    """
    return {
        "op": "run",
        "mark": mark,
        "id": run_id,
        "cell": cell,
        "limit": limit * 1000,
        "code": prepared.code,
        "edits": [[edit.start, edit.end, edit.text] for edit in prepared.edits],
        "names": prepared.names,
        "vars": prepared.vars,
        "imports": [[i.specifier, i.line, i.bindings, dict(i.attributes)] for i in prepared.imports],
        "async": prepared.is_async,
        "strict": prepared.is_strict,
        "module": prepared.is_module,
        "errors": prepared.has_errors,
        "seen": seen,
    }


def ask_request(*, mark: str, run_id: str, wait: float) -> dict[str, Any]:
    """Word the call that asks what became of a run, waiting up to `wait` seconds for its end."""
    return {"op": "ask", "mark": mark, "id": run_id, "wait": wait * 1000}


def fetch_request(*, mark: str, run_id: str) -> dict[str, Any]:
    """Word the call that has a run's whole record written to a file."""
    return {"op": "fetch", "mark": mark, "id": run_id}


# The first call prints it between the installation and the code: so a runtime that could not be installed is told from
# code that ended its process.
_INSTALLED = "+"


def was_installed(stdout: str, mark: str) -> bool:
    """Tell whether a session's first call got as far as running code."""
    return stdout.startswith(mark + _INSTALLED)


def without_sign(stdout: str, mark: str) -> str:
    """Return what the code itself printed."""
    return stdout.removeprefix(f"{mark}{_INSTALLED}\n")


def first_code(boot: str, request: dict[str, Any]) -> str:
    """Return the code that installs the runtime, unless that is done already, and makes a call."""
    sign = json.dumps(request["mark"] + _INSTALLED)
    # Named so, its frames are left out of stacks like those of Node.js's own modules.
    install = f'require("vm").runInThisContext({_UNPACK % _packed()},{{filename:"node:aca"}})({json.dumps(boot)})'
    return f'typeof __aca=="function"||{install};console.log({sign});__aca({json.dumps(request)})'


def later_code(request: dict[str, Any]) -> str:
    """Return the code that makes a call; where there is no runtime, the answer says so."""
    none = "\n" + request["mark"] + json.dumps({"v": 1, "state": "none"})
    return f'typeof __aca=="function"?__aca({json.dumps(request)}):console.log({json.dumps(none)})'
