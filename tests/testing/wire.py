"""Asking a scripted model by hand, and holding what it sends against the types of the `openai` package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter

from aca_node_interpreter.errors import ScriptError
from aca_node_interpreter.testing import ScriptedModel

TOOLS = [{"type": "function", "function": {"name": "node_interpreter", "parameters": {"type": "object"}}}]
FLAT_TOOLS = [{"type": "function", "name": "node_interpreter", "parameters": {"type": "object"}, "strict": True}]


def strictly(kind: Any, value: Any) -> Any:
    """Read a value as that type: no field may be missing, of another type, or one that the type does not have."""
    read = TypeAdapter(kind).validate_python(value, strict=True)
    assert list(unknown_fields(read)) == []
    return read


def unknown_fields(read: Any, where: str = "") -> Any:
    """Name every field that a read value has and its type has not."""
    if isinstance(read, BaseModel):
        yield from (f"{where}.{name}" for name in read.model_extra or {})
        for name in type(read).model_fields:
            yield from unknown_fields(getattr(read, name), f"{where}.{name}")
    elif isinstance(read, list):
        for number, item in enumerate(read):
            yield from unknown_fields(item, f"{where}[{number}]")


@contextmanager
def unfollowed(script: Any, told: list[str] | None = None) -> Iterator[ScriptedModel]:
    """Run a model whose check must fail, and keep the lines of what it tells."""
    with pytest.raises(ScriptError) as caught:
        with ScriptedModel(script) as model:
            yield model
    if told is not None:
        told += str(caught.value).splitlines()


def post(model: ScriptedModel, path: str, body: Any, *, key: str | None = None, headers: Any = None) -> httpx.Response:
    """Send what no client would let one send."""
    given = {"Authorization": f"Bearer {key or model.api_key}"} if headers is None else headers
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(model.azure_endpoint + path, content=content, headers=given, trust_env=False, timeout=30)


def chat(model: ScriptedModel, messages: Any, **settings: Any) -> httpx.Response:
    """Ask for a chat completion."""
    return post(model, "/v1/chat/completions", {"model": model.name, "messages": messages, **settings})


def respond(model: ScriptedModel, sent: Any, **settings: Any) -> httpx.Response:
    """Ask for a response."""
    return post(model, "/v1/responses", {"model": model.name, "input": sent, **settings})


def events(response: httpx.Response) -> list[tuple[str, str]]:
    """Return a stream's events, each with its name and data."""
    assert response.headers["content-type"].startswith("text/event-stream")
    read = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert fields.keys() <= {"event", "data"}
        read.append((fields.get("event", ""), fields["data"]))
    return read
