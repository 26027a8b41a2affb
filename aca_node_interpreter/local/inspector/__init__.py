"""The inspector page: its files, which anyone may read, and what it shows, which needs the token.

`GET /` is the page; it takes the token from the address's fragment, which never leaves the browser, and sends it with
each call below `/.inspector/`. Those calls look at sessions without keeping them alive. All that comes from a session
is hostile: it travels as JSON, text or octets, and the page shows it as text or, pictures, from `blob:` addresses.
"""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

from starlette.responses import Response

from aca_node_interpreter.local.executions import Execution
from aca_node_interpreter.local.pool import SessionPool
from aca_node_interpreter.local.routing import INSPECTOR
from aca_node_interpreter.local.session import Session

_SHOWN_CHARACTERS = 16_000

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    f"/{INSPECTOR}/inspector.js": ("inspector.js", "text/javascript; charset=utf-8"),
    f"/{INSPECTOR}/inspector.css": ("inspector.css", "text/css; charset=utf-8"),
    f"/{INSPECTOR}/icon.svg": ("icon.svg", "image/svg+xml"),
}

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def page(path: str) -> Response | None:
    """Give one of the page's files; `None` when the path is none of them."""
    if path not in _FILES:
        return None
    name, media_type = _FILES[path]
    return Response(_read(name), media_type=media_type, headers=_HEADERS)


@functools.cache
def _read(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


def describe_pool(pool: SessionPool) -> dict[str, Any]:
    """Shape the pool and its sessions. Times are seconds since the epoch, durations seconds."""
    now = time.time()
    return {
        "now": now,
        "isolation": pool.isolation,
        "egress": pool.egress,
        "nodeVersion": pool.node_version,
        "maxSessions": pool.max_sessions,
        "readySessions": pool.ready,
        "cooldown": pool.cooldown,
        "sessions": [
            {
                "identifier": session.identifier,
                "guid": session.guid,
                "created": session.created,
                "idleLeft": None if session.running else max(0.0, session.accessed + pool.cooldown - now),
            }
            for session in pool.list()
        ],
    }


def list_runs(session: Session) -> dict[str, Any]:
    """Shape the list of runs, oldest first, small enough to be asked for again and again."""
    return {"guid": session.guid, "runs": [_summarize(execution) for execution in session.executions]}


def describe_run(execution: Execution) -> dict[str, Any]:
    """Shape one run: the beginning of each text with the length of the whole, and a picture if that is its value."""
    body = _summarize(execution)
    for part, text in texts(execution).items():
        body[part] = {"text": text[:_SHOWN_CHARACTERS], "length": len(text)}
    if execution.result is not None and isinstance(execution.result.value, dict):
        body["image"] = execution.result.value
    return body


def texts(execution: Execution) -> dict[str, str]:
    """Give what a run consists of as whole texts."""
    result = execution.result
    if result is None:
        return {"code": execution.code}
    value = result.value
    if isinstance(value, dict):
        value = ""
    elif not isinstance(value, str):
        value = json.dumps(value)
    return {"code": execution.code, "stdout": result.stdout, "stderr": result.stderr, "value": value}


def _summarize(execution: Execution) -> dict[str, Any]:
    result = execution.result
    status = "Running" if result is None else "Succeeded" if result.succeeded else "Failed"
    return {
        "number": execution.number,
        "status": status,
        "started": execution.started,
        "milliseconds": None if result is None else result.milliseconds,
    }
