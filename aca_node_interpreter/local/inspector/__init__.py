"""The inspector: a page at `/` of the pool that shows its sessions, their runs and files.

The page itself holds nothing secret and is given to anybody on this machine; what it asks for needs the pool's token.
Looking allocates no session and keeps none alive, which the API's own calls do.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse

from aca_node_interpreter.local import file_names
from aca_node_interpreter.local.api_errors import ApiError
from aca_node_interpreter.local.files import FileEntry, chunks
from aca_node_interpreter.local.pool import SessionPool
from aca_node_interpreter.local.session import RunRecord, Session

PREFIX = "/.inspector/"

_MAX_FILES = 1000
_PAGES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/inspector.css": ("inspector.css", "text/css; charset=utf-8"),
    "/inspector.js": ("inspector.js", "text/javascript; charset=utf-8"),
    "/inspector.svg": ("inspector.svg", "image/svg+xml"),
}
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page(method: str, path: str) -> Response | None:
    """Give a part of the page, `None` when the path is none."""
    if method != "GET" or path not in _PAGES:
        return None
    name, media_type = _PAGES[path]
    return Response(Path(__file__).with_name(name).read_bytes(), media_type=media_type, headers=_HEADERS)


class Inspector:
    """What the page asks for. `facts` are the pool's: isolation, egress, Node.js."""

    def __init__(self, pool: SessionPool, facts: dict[str, str]) -> None:
        self._pool = pool
        self._facts = facts

    async def answer(self, path: str, query: dict[str, str]) -> Response:
        """Answer one question of the page.

        Raises:
            ApiError: there is no such question, session or file.
        """
        name = path.removeprefix(PREFIX)
        if name == "pool":
            return _json(self._describe_pool())
        session = self._pool.find(file_names.read_identifier(query.get("identifier")))
        if session is None:
            raise ApiError(404, "SessionWithIdentifierNotFound", "The session has ended.")
        if name == "runs":
            if query.get("known") == str(session.version):
                return _json({"version": session.version})
            return _json({"version": session.version, "runs": [_describe_run(run) for run in session.runs]})
        folder = file_names.read_folder(query.get("path") or None)
        try:
            if name == "files":
                entries = await asyncio.to_thread(session.files.list, folder)
                files = [_describe_file(entry) for entry in entries[:_MAX_FILES]]
                return _json({"files": files, "cut": len(entries) > _MAX_FILES})
            if name == "content":
                file, size = await asyncio.to_thread(session.files.open, folder, query.get("name", ""))
                headers = {**_HEADERS, "content-length": str(size), "content-disposition": "attachment"}
                return StreamingResponse(chunks(file, size), media_type="application/octet-stream", headers=headers)
        except (OSError, ValueError):
            raise ApiError(404, "FileNotFound", "The file or folder is gone.") from None
        raise ApiError(404, "NotFound", "There is no such call.")

    def _describe_pool(self) -> dict[str, Any]:
        return {
            **self._facts,
            "maxSessions": self._pool.max_sessions,
            "ready": self._pool.ready,
            "sessions": [self._describe_session(session) for session in self._pool.list()],
        }

    def _describe_session(self, session: Session) -> dict[str, Any]:
        now = time.time()
        return {
            "identifier": session.identifier,
            "age": now - session.created,
            "idleLeft": max(0.0, session.accessed + self._pool.cooldown - now),
            "running": session.running > 0,
            "runs": session.run_count,
        }


def _describe_run(run: RunRecord) -> dict[str, Any]:
    result = run.result
    described = {"number": run.number, "code": run.code, "started": run.started, "status": "Running"}
    if result is None:
        return {**described, "stdout": "", "stderr": "", "value": "", "milliseconds": None}
    return {
        **described,
        "status": "Succeeded" if result.succeeded else "Failed",
        "stdout": result.stdout,
        "stderr": result.stderr,
        "value": result.value,
        "milliseconds": result.milliseconds,
    }


def _describe_file(entry: FileEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "isDirectory": entry.is_directory,
        "size": entry.size,
        "modified": entry.modified_ns / 1e9,
    }


def _json(body: dict[str, Any]) -> Response:
    # Only ASCII leaves: so a lone surrogate in a run's output is harmless.
    return Response(json.dumps(body), media_type="application/json", headers=_HEADERS)
