"""Which call a request is: its path, in both API families, with or without the pool's ARM prefix.

Matching is done on the raw path, part by part, so that an encoded slash in a file name stays part of the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

INSPECTOR = ".inspector"

NEWEST = "2025-10-02-preview"
LEGACY_VERSIONS = ("", "2023-08-01-preview", "2024-02-02-preview", "2024-08-02-preview")
CURRENT_VERSIONS = ("2024-10-02-preview", "2025-02-02-preview", NEWEST)
"""The api-versions whose answers have the older and the current family's shapes; the empty one is none at all."""

# These answer in the shape of their path; the others in that of the api-version.
CURRENT_ONLY = frozenset(
    {"execute", "get_execution", "upload", "get_session", "delete_session", "list_sessions", "get_metadata"}
)

_ROUTES: tuple[tuple[str, str, str], ...] = (
    # The older family.
    ("POST", "execute", "execute_legacy"),
    ("POST", "code/execute", "execute_legacy"),
    ("POST", "files/upload", "upload_legacy"),
    ("GET", "files/content/{name}", "download"),
    # The current family, and what both share.
    ("POST", "executions", "execute"),
    ("GET", "executions/{name}", "get_execution"),
    ("GET", "files", "list_files"),
    ("POST", "files", "upload"),
    ("GET", "files/{name}/content", "download"),
    ("GET", "files/{name}", "get_file"),
    ("DELETE", "files/{name}", "delete_file"),
    ("GET", "session", "get_session"),
    ("DELETE", "session", "delete_session"),
    ("GET", "listSessions", "list_sessions"),
    ("GET", "metadata", "get_metadata"),
    ("POST", ".management/stopSession", "refuse_management"),
    # The inspector page's own, which the service does not have: they only look, see `Match.is_looking`.
    ("GET", f"{INSPECTOR}/pool", "inspect_pool"),
    ("GET", f"{INSPECTOR}/runs", "inspect_runs"),
    ("GET", f"{INSPECTOR}/runs/{{name}}", "inspect_run"),
    ("GET", f"{INSPECTOR}/files", "list_files"),
    ("GET", f"{INSPECTOR}/files/{{name}}/content", "download"),
    ("DELETE", f"{INSPECTOR}/files/{{name}}", "delete_file"),
)

_PATTERNS = tuple((method, pattern.lower().split("/"), call) for method, pattern, call in _ROUTES)

_PREFIX = ("subscriptions", None, "resourceGroups", None, "sessionPools", None)


@dataclass(frozen=True)
class Match:
    """What a path stands for: a call, or the methods that the path knows when this one is not among them."""

    call: str = ""
    name: str = ""
    """The file or execution that the path names."""
    prefix: str = ""
    """The pool's part of the path, as sent."""
    allowed: tuple[str, ...] = ()
    is_looking: bool = False
    """It neither allocates a session nor restarts its idle timer."""


def match(method: str, raw_path: str) -> Match | None:
    """Find the call; `None` when there is no such path."""
    parts = raw_path.strip("/").split("/")
    prefix = ""
    if len(parts) >= len(_PREFIX) and all(
        part and (known is None or known.lower() == part.lower()) for known, part in zip(_PREFIX, parts, strict=False)
    ):
        prefix = "/" + "/".join(parts[: len(_PREFIX)])
        parts = parts[len(_PREFIX) :]
    allowed = []
    for known_method, pattern, call in _PATTERNS:
        name = _match_parts(pattern, parts)
        if name is None:
            continue
        if method == known_method:
            return Match(call, name, prefix, is_looking=pattern[0] == INSPECTOR)
        allowed.append(known_method)
    return Match(allowed=tuple(dict.fromkeys(allowed)), prefix=prefix) if allowed else None


def _match_parts(pattern: list[str], parts: list[str]) -> str | None:
    if len(pattern) != len(parts):
        return None
    name = ""
    for known, part in zip(pattern, parts, strict=True):
        if known == "{name}":
            # surrogateescape: a name that isn't UTF-8 is looked up as the bytes that were sent.
            name = unquote(part, errors="surrogateescape")
            if not name:
                return None
        elif known != part.lower():
            return None
    return name
