"""A stand-in for Azure OpenAI and for the identity service before it, on loopback.

It gives a token to who asks as an app in Azure does, and has a conversation with who brings that token: first it sends
code, then it looks for what only that code, run by a real Node.js, could have printed. Without that the answer is
HTTP 400, which ends any client.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.http_server import Request, Response, serve

RESOURCE = "https://cognitiveservices.azure.com"
DEPLOYMENT = "my-deployment"
CHAT = f"/openai/deployments/{DEPLOYMENT}/chat/completions"
TOKEN = "/msi/token"
CALL_ID = "call_5eL"

# What V8 and Node.js make of this is not in the text; the nonce keeps it from being known beforehand.
_CODE = """\
var parts = [process.versions.node, 2n ** 64n, [10, 9, 1].sort(), 0.1 + 0.2, typeof null, Math.max];
console.log(require('crypto').createHmac('sha256', '{nonce}').update(parts.join('|')).digest('hex'))"""
_PARTS = "{node}|18446744073709551616|1,10,9|0.30000000000000004|object|function max() {{ [native code] }}"


def seal(nonce: str, node_version: str) -> str:
    """Return what the code prints when it runs in that version of Node.js."""
    return hmac.digest(nonce.encode(), _PARTS.format(node=node_version).encode(), "sha256").hex()


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class AzureOpenAI:
    """What the stand-in is, and how far it got with its client."""

    url: str = ""
    expected: str = ""
    code: str = ""
    token: str = field(default_factory=lambda: f"entra-{secrets.token_hex(16)}")
    identity_header: str = field(default_factory=secrets.token_hex)
    tokens_given: int = 0
    openai_versions: set[str] = field(default_factory=set)
    """What the client says it is; only the `openai` package sends that."""
    refusals: list[str] = field(default_factory=list)
    answer: str = ""
    """The last thing it said; empty until it got the proof."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that an app in Azure would have."""
        return {
            "AZURE_OPENAI_ENDPOINT": self.url,
            "AZURE_OPENAI_DEPLOYMENT": DEPLOYMENT,
            "IDENTITY_ENDPOINT": self.url + TOKEN,
            "IDENTITY_HEADER": self.identity_header,
        }

    def respond(self, request: Request) -> Response:
        """Answer any request."""
        try:
            answer = self._token(request) if request.path == TOKEN else self._completion(request)
        except _RefusedError as refused:
            self.refusals.append(str(refused))
            answer = {"error": {"code": str(refused.status), "message": str(refused)}}
            return _json(answer, refused.status)
        return _json(answer)

    def _token(self, request: Request) -> dict[str, str]:
        """The token endpoint that App Service gives its apps."""
        _check(request.headers.get("x-identity-header") == self.identity_header, "a wrong X-IDENTITY-HEADER", 401)
        _check(request.query.get("resource") == RESOURCE, f"a token for {request.query.get('resource')}")
        self.tokens_given += 1
        expiry = str(int(time.time()) + 3600)
        return {"access_token": self.token, "expires_on": expiry, "resource": RESOURCE, "token_type": "Bearer"}

    def _completion(self, request: Request) -> dict[str, Any]:
        _check((request.method, request.path) == ("POST", CHAT), f"nothing at {request.method} {request.path}", 404)
        _check(re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", request.query.get("api-version", "")), "no api-version", 404)
        _check(request.headers.get("authorization") == f"Bearer {self.token}", "a wrong token", 401)
        self.openai_versions.add(request.headers.get("x-stainless-package-version", ""))
        body = json.loads(request.body)
        _check(not body.get("stream"), "this stand-in does not stream")
        messages: list[dict[str, Any]] = body["messages"]
        turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        if not turns:
            return self._first(body)
        results = messages[turns[-1] + 1 :]
        if messages[turns[-1]].get("tool_calls"):
            _check([r["role"] for r in results] == ["tool"], "a tool call without its tool message")
            _check(results[0]["tool_call_id"] == CALL_ID, "the result of an unknown tool call")
        else:
            _check([r["role"] for r in results] == ["user"], "no message after the code")
        _check(self.expected in json.dumps(results), "the tool result lacks what Node.js would have computed")
        self.answer = f"Node.js said {self.expected}, and that is right."
        return _chat_completion({"content": self.answer}, "stop")

    def _first(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send code: as a tool call to who offers the tool, else as a block in Markdown."""
        if "tools" not in body:
            _check("```javascript" in json.dumps(body["messages"]), "nobody said how to write code")
            return _chat_completion({"content": f"Let me see.\n\n```javascript\n{self.code}\n```"}, "stop")
        (tool,) = body["tools"]
        _check(tool["type"] == "function" and tool["function"]["name"] == "node_interpreter", "another tool")
        _check(tool["function"]["parameters"]["properties"].keys() == {"code"}, "other parameters than `code`")
        function = {"name": "node_interpreter", "arguments": json.dumps({"code": self.code})}
        call = {"id": CALL_ID, "type": "function", "function": function}
        return _chat_completion({"content": None, "tool_calls": [call]}, "tool_calls")


@contextmanager
def azure_openai(node_version: str, *, expected: str | None = None) -> Iterator[AzureOpenAI]:
    """Serve until the block ends.

    Args:
        node_version: of the Node.js that will run the code.
        expected: what the tool result must hold, instead of what the code really prints.
    """
    nonce = secrets.token_hex(16)
    made = AzureOpenAI(expected=expected or seal(nonce, node_version), code=_CODE.format(nonce=nonce))
    with serve(made.respond) as server:
        made.url = server.url
        yield made


def _check(holds: object, problem: str, status: int = 400) -> None:
    if not holds:
        raise _RefusedError(status, problem)


def _chat_completion(message: dict[str, Any], finish_reason: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish_reason, "logprobs": None, "content_filter_results": {}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        # Never the deployment's name.
        "model": "gpt-4.1-2025-04-14",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        "choices": [choice | {"message": {"role": "assistant", "refusal": None} | message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }


def _json(answer: dict[str, Any], status: int = 200) -> Response:
    return Response(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})
