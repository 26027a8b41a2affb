"""What the tests of pools that fail on purpose share: a session without faults afterwards, and runs that may fail."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from aca_node_interpreter.local import LocalPool
from tests.local.remote import NEWEST, Remote, http_client

COUNT = "globalThis.count = (globalThis.count ?? 0) + 1; console.log('one'); console.log('\u00e4\u20actwo'); count"


@contextmanager
def session_of(pool: LocalPool) -> Iterator[Remote]:
    """Give a session; it ends with the pool's faults, by a client that repeats nothing."""
    with http_client(pool) as http:
        session = Remote(http, f"test-{uuid.uuid4()}")
        try:
            yield session
        finally:
            pool.faults.clear()
            session.call("DELETE", "/session", version=NEWEST)


def attempt(session: Remote, code: str = COUNT, **options: Any) -> str:
    """Run code; gives its value, the answer's status or the client's error."""
    try:
        body = {"code": code, "timeoutInSeconds": 30}
        answer = session.call("POST", "/executions", version=NEWEST, json=body, **options)
        return str(answer.json()["result"]["executionResult"]) if answer.status_code == 200 else str(answer.status_code)
    except (httpx.TransportError, json.JSONDecodeError) as error:
        return type(error).__name__


def count(pool: LocalPool, session: Remote) -> str:
    """Tell how often `COUNT` ran, when the faults are over."""
    pool.faults.clear()
    with http_client(pool) as http:
        return str(Remote(http, session.identifier).value("globalThis.count ?? 0"))
