"""What a model reads of a run: compact, bounded, without base64."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.local_names import printable
from aca_node_interpreter.rest.models import Execution, Image

TIMEOUT_WORDS = "Request timed out waiting for code execution"
"""How the service's stderr ends when a run was stopped at its limit (seen on live pools)."""

# Shorter ones may be hashes or keys that the model asked for.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{60,}\r?\n){5,}[A-Za-z0-9+/_-]*={0,2}|[A-Za-z0-9+/_-]{400,}={0,2}")
# Each of base64's characters as `a`, others as a space: with it, megabytes without base64 are told in milliseconds.
_OF_BASE64 = bytes(ord("a") if re.match(r"[A-Za-z0-9+/_-]", chr(code)) else ord(" ") for code in range(256))
_LEAST_LINE = b"a" * 60


# From here down a stack is the kernel's own; `nel`, the hosted one, runs code by the same call.
_KERNEL_FRAMES = re.compile(r"\n    at Script\.runInThisContext \(node:vm:[^\n]*(\n    at [^\n]*)*")


def text_of(execution: Execution) -> str:
    """Return all that a run printed and its value, without pictures and without the kernel's part of a stack."""
    parts = [execution.stdout.rstrip("\n")]
    if stderr := _KERNEL_FRAMES.sub("", execution.stderr).strip():
        parts.append(f"stderr:\n{stderr}" if execution.succeeded else stderr)
    if value := value_text(execution.result):
        parts.append(f"=> {value}")
    return encodable("\n".join(part for part in parts if part))


def value_text(value: Any) -> str:
    """Return a run's value as JavaScript shows it; empty for none and for a picture."""
    if isinstance(value, Image):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lines_about(
    artifacts: Sequence[Artifact],
    problems: Sequence[str],
    deleted: Sequence[str] = (),
    notes: Sequence[str] = (),
    *,
    room: int | None = None,
) -> str:
    """Return a line for each file that came back, for each that did not, and for what is to be known of the session.

    Files are told with their previews, the first ones first, as long as all of it takes no more than `room` characters.
    """
    names = [f"- {replace(artifact, preview='')}" for artifact in artifacts]
    about = _lines_about(names, problems, deleted, notes)
    room = sys.maxsize if room is None else room - len(about)
    for number, artifact in enumerate(artifacts):
        line = f"- {artifact}"
        more = len(line) - len(names[number])
        if more <= max(0, room):
            names[number], room = line, room - more
    return _lines_about(names, problems, deleted, notes)


def _lines_about(names: Sequence[str], problems: Sequence[str], deleted: Sequence[str], notes: Sequence[str]) -> str:
    lines = ["Files saved:", *names] if names else []
    lines += [f"Not saved: {problem}" for problem in problems]
    if deleted:
        lines.append(f"Files deleted: {', '.join(map(printable, deleted[:20]))}{', …' if len(deleted) > 20 else ''}")
    lines += [f"Note: {note}" for note in notes]
    return encodable("\n".join(lines))


def without_base64(text: str) -> str:
    """Replace long base64 by its length: it costs a model thousands of tokens and tells it nothing."""
    if _LEAST_LINE not in text.encode("ascii", "replace").translate(_OF_BASE64):
        return text
    return _BASE64.sub(_shortened, text)


def abridged(text: str, *, limit: int) -> str:
    """Return at most about `limit` characters of a text, its head and its tail."""
    if len(text) <= limit:
        return text
    half = max(0, limit // 2)
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[len(text) - half :]}"


def _shortened(match: re.Match[str]) -> str:
    start = match.group()[:2_000]  # enough to tell
    mixed = all(re.search(kind, start) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return f"[{len(match.group()):,} characters of base64]" if mixed else match.group()


def encodable(text: str) -> str:
    """Replace lone surrogates, which JavaScript may print and no encoder takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
