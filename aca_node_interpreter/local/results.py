"""Turn how a run ended into what the service answers: a verdict, two streams and a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .behaviour import ValueEncoding
from .kernel import Outcome

TIMED_OUT = "Request timed out waiting for code execution to complete"
ABORTED = "Execution aborted"

# `process.exit()` leaves the hosted service waiting until the limit; these are then its words. Here they come at once.
_SERVICE_WORDS = {"timed out": TIMED_OUT, "exited": TIMED_OUT, "aborted": ABORTED}

_MAX_TRACEBACK_LINES = 10_000

_TEXTS = ("text/plain", "text/html", "image/svg+xml")


@dataclass(frozen=True)
class Result:
    """A finished run as the service words it."""

    succeeded: bool
    stdout: str
    stderr: str
    value: Any
    """JSON: text, the image object, or "" for undefined."""
    milliseconds: int

    @property
    def size(self) -> int:
        """Characters of its streams and its value."""
        value = self.value.get("base64_data", "") if isinstance(self.value, dict) else self.value
        return len(self.stdout) + len(self.stderr) + (len(value) if isinstance(value, str) else 0)


def word_outcome(outcome: Outcome, *, encoding: ValueEncoding, output_limit: int | None) -> Result:
    """Word an outcome; `output_limit` cuts each stream silently, in bytes."""
    stderr = bytes(outcome.stderr)
    if outcome.ending == "raised":
        stderr += _traceback(outcome.message.get("error"))
    # The service's own words are never cut: without them nobody could tell what happened.
    words = _SERVICE_WORDS.get(outcome.ending, "")
    if words and outcome.reason:
        words = f"{outcome.reason}\n{words}"
    kept = _cut(stderr, output_limit)
    if words and kept and not kept.endswith("\n"):
        kept += "\n"
    return Result(
        succeeded=outcome.ending == "returned",
        stdout=_cut(bytes(outcome.stdout), output_limit),
        stderr=kept + words,
        value=_value(outcome, encoding) if outcome.ending == "returned" else "",
        milliseconds=round(outcome.seconds * 1000),
    )


def _cut(stream: bytes, limit: int | None) -> str:
    return stream[:limit].decode("utf-8", "replace")


def _traceback(error: Any) -> bytes:
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {}
    given = fields.get("traceback")
    lines = given[:_MAX_TRACEBACK_LINES] if isinstance(given, list) else []
    lines = [line for line in lines if isinstance(line, str)]
    if not lines:
        lines = [f"{_text(fields.get('ename'))}: {_text(fields.get('evalue'))}"]
    # A lone surrogate has no UTF-8.
    return "\n".join(map(_text, lines)).encode("utf-8", "replace")


def _value(outcome: Outcome, encoding: ValueEncoding) -> Any:
    bundle = outcome.message.get("mime")
    if not isinstance(bundle, dict):
        bundle = {}
    primitive = outcome.message.get("primitive", ...)
    if encoding == "json" and (primitive is None or isinstance(primitive, (str, int, float))):
        return primitive
    # The hosted kernel hides a value that shows itself as `undefined`.
    if bundle.get("text/plain") == "undefined":
        bundle = {key: value for key, value in bundle.items() if key != "text/plain"}
    return _show(bundle or outcome.display or {})


def _show(bundle: Mapping[str, Any]) -> Any:
    for kind in ("png", "jpeg"):
        data = bundle.get(f"image/{kind}")
        if data is not None:
            return {"type": "image", "format": kind, "base64_data": _text(data)}
    for media_type in (*_TEXTS, *bundle):
        content = bundle.get(media_type)
        if content is not None:
            return _text(content)
    return ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    try:
        return json.dumps(content)
    except RecursionError:
        return "[nested too deeply]"
