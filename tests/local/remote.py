"""What the tests of the embedded pool share: one HTTP client with the pool's calls as methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import httpx

LEGACY = "2024-02-02-preview"
CURRENT = "2024-10-02-preview"
NEWEST = "2025-10-02-preview"


class Address(Protocol):
    """A pool, or what stands before one."""

    @property
    def endpoint(self) -> str: ...

    @property
    def token(self) -> str: ...


def http_client(pool: Address) -> httpx.Client:
    """Make an HTTP client that knows where the pool is, and its token."""
    return httpx.Client(base_url=pool.endpoint, headers={"Authorization": f"Bearer {pool.token}"}, timeout=60)


@dataclass
class Remote:
    """A session of a running pool, spoken to over HTTP."""

    http: httpx.Client
    identifier: str

    def call(self, method: str, path: str, *, version: str | None = None, **options: Any) -> httpx.Response:
        """Send one call; `params` are added to identifier and api-version."""
        params = {"identifier": self.identifier, **({"api-version": version} if version else {})}
        params |= options.pop("params", {})
        return self.http.request(method, path, params=params, **options)

    def run(self, code: str, **fields: Any) -> dict[str, Any]:
        """Run code with the newest call; gives the flat answer with `status` and the keys of `result`."""
        body = {"code": code, "timeoutInSeconds": 30, "outputStreamsMaxLength": 10_000_000, **fields}
        answer = self.call("POST", "/executions", version=NEWEST, json=body)
        assert answer.status_code == 200, answer.text
        execution: dict[str, Any] = answer.json()
        return {"status": execution["status"], **execution["result"]}

    def value(self, code: str) -> Any:
        """Run code that must succeed; gives its value."""
        run = self.run(code)
        assert run["status"] == "Succeeded", run
        return run["executionResult"]

    def upload(self, name: str, content: bytes, **options: Any) -> httpx.Response:
        """Upload with the current call."""
        return self.call("POST", "/files", version=NEWEST, files={"file": (name, content)}, **options)

    def names(self, **params: str) -> list[str]:
        """List the names of a folder."""
        answer = self.call("GET", "/files", version=NEWEST, params=params)
        assert answer.status_code == 200, answer.text
        return [entry["name"] for entry in answer.json()["value"]]
