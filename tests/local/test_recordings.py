"""The recorded calls to the real service, asked of the embedded pool: same status, same shape."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.local.remote import Remote


def shape(value: Any) -> Any:
    """Reduce a body to its keys, in order, and the types of its values."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def resend(http: httpx.Client, call: dict[str, Any], identifier: str) -> httpx.Response:
    """Send a recorded request to the session `identifier`."""
    url = urlsplit(call["url"])
    recorded = re.search(r"identifier=(\w+)", url.query)
    assert recorded is not None
    body = (call["request_body"] or "").replace(recorded[1], identifier).replace("print(", "console.log(")
    kind = "application/json"
    if body.startswith("--"):
        kind = f"multipart/form-data; boundary={body[2 : body.index(chr(13))]}"
    target = f"{url.path}?{url.query.replace(recorded[1], identifier)}"
    return http.request(call["method"], target, content=body.encode() or None, headers={"content-type": kind})


def test_every_recorded_call_is_answered_alike(remote: Remote, recordings: list[dict[str, Any]]) -> None:
    assert len(recordings) == 42
    for call in recordings:
        answer = resend(remote.http, call, remote.identifier)
        where = f"{call['method']} {call['url']}"
        assert answer.status_code == call["status"]["code"], where
        recorded = call["response_body"]
        if recorded.startswith("{"):
            assert shape(answer.json()) == shape(json.loads(recorded)), where
            for key in (
                '"stdout":"Hello world',
                '"size":7',
                '"sizeInBytes":7',
                '"type":"file"',
                '"type":"",',
                "text/plain; charset=utf-8",
            ):
                assert (key in answer.text.replace(": ", ":")) == (key in recorded), (where, key)
        else:
            assert answer.text == recorded, where
        timing = {name for name in call["headers"] if name.startswith("x-ms-")}
        assert timing <= set(answer.headers), where
        assert answer.headers.get("content-type", "") == call["headers"].get("content-type", ""), where
