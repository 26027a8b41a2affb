"""A session of its own for each test, in the pool of all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from aca_node_interpreter.local import LocalPool
from tests.local.remote import Remote, http_client
from tests.machine import unavailable, why_no_sandbox


@pytest.fixture
def needs_bubblewrap() -> None:
    """Keep a test for machines that can isolate."""
    if reason := why_no_sandbox():
        unavailable(reason)


@pytest.fixture(scope="session")
def http(pool: LocalPool) -> Iterator[httpx.Client]:
    """An HTTP client that knows the pool's token."""
    with http_client(pool) as http:
        yield http


@pytest.fixture
def remote(http: httpx.Client) -> Iterator[Remote]:
    """A session that nobody else uses, ended after the test."""
    remote = Remote(http, f"test-{uuid.uuid4()}")
    yield remote
    remote.call("DELETE", "/session", version="2025-10-02-preview")
