"""A bare kept connection to a pool, so that no client's cost is counted."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

VERSION = "2025-10-02-preview"


class Connection:
    """One kept connection to a pool over plain HTTP."""

    def __init__(self, endpoint: str, token: str) -> None:
        address = urlsplit(endpoint)
        self._http = http.client.HTTPConnection(str(address.hostname), address.port)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, identifier: str, body: object = None) -> tuple[int, bytes]:
        """Send one request; gives the status and the body of its answer."""
        content = None if body is None else json.dumps(body)
        target = f"{path}?api-version={VERSION}&identifier={identifier}"
        self._http.request(method, target, content, self._headers)
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def run(self, identifier: str, code: str = "1+1") -> bytes:
        """Run code."""
        body: dict[str, Any] = {"code": code, "timeoutInSeconds": 60, "outputStreamsMaxLength": 1 << 30}
        status, answer = self.ask("POST", "/executions", identifier, body)
        assert status == 200, answer
        return answer

    def delete(self, identifier: str) -> None:
        """End a session."""
        status, answer = self.ask("DELETE", "/session", identifier)
        assert status == 204, answer

    def close(self) -> None:
        """Close it."""
        self._http.close()
