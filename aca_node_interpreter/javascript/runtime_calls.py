"""The calls on the runtime inside a session: the request that each one is, and the code that makes it.

Pure: what is sent, and how the answer is read, others decide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import packing
from .prepared import Prepared


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
        "constants": prepared.constants,
        "atOnce": prepared.at_once,
        "declared": prepared.declared,
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


# In a process without the runtime, before code runs there: a request may arrive twice, and what came with the first may
# have ended the process that knew of it. Then this one ends as that did.
_END_IF_KNOWN = """{{
let ids="";try{{ids=require("fs").readFileSync(require("os").homedir()+"/.aca-runs","utf8")}}catch{{}}
if(ids.includes({id}))process.reallyExit(1)
}}"""


def _end_if_known(request: dict[str, Any]) -> str:
    """Return an expression that ends the process if an earlier one has begun the run that is asked for."""
    if request["op"] != "run":
        return "0"
    return "(()=>" + _END_IF_KNOWN.replace("\n", "").format(id=json.dumps(request["id"] + "\n")) + ")()"


def first_code(boot: str, request: dict[str, Any]) -> str:
    """Return the code that installs the runtime, unless that is done already, and makes a call."""
    sign = json.dumps(request["mark"] + _INSTALLED)
    # Named so, its frames are left out of stacks like those of Node.js's own modules.
    install = f'require("vm").runInThisContext({packing.expression()},{{filename:"node:aca"}})({json.dumps(boot)})'
    install = f"({_end_if_known(request)},{install})"
    return f'typeof __aca=="function"||{install};console.log({sign});__aca({json.dumps(request)})'


def later_code(request: dict[str, Any]) -> str:
    """Return the code that makes a call; where there is no runtime, the answer says so."""
    none = "\n" + request["mark"] + json.dumps({"v": 1, "state": "none"})
    otherwise = f"({_end_if_known(request)},console.log({json.dumps(none)}))"
    return f'typeof __aca=="function"?__aca({json.dumps(request)}):{otherwise}'
