"""One running pool for all tests, and a session of its own for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local import LocalPool
from tests.local.remote import Remote, unavailable


@pytest.fixture(scope="session")
def bubblewrap_failure() -> str:
    """Say why bubblewrap does not run here; empty when it does."""
    try:
        with LocalPool(isolation="bubblewrap", ready_sessions=0):
            return ""
    except LocalPoolError as error:
        return str(error)


@pytest.fixture(scope="session")
def isolation(bubblewrap_failure: str) -> Literal["bubblewrap", "none"]:
    """The strongest isolation that this machine has."""
    return "none" if bubblewrap_failure else "bubblewrap"


@pytest.fixture
def needs_bubblewrap(bubblewrap_failure: str) -> None:
    """Keep a test for machines that can isolate."""
    if bubblewrap_failure:
        unavailable(bubblewrap_failure)


@pytest.fixture(scope="session")
def pool(isolation: Literal["bubblewrap", "none"]) -> Iterator[LocalPool]:
    """A running pool."""
    with LocalPool(isolation=isolation) as pool:
        yield pool


@pytest.fixture(scope="session")
def http(pool: LocalPool) -> Iterator[httpx.Client]:
    """An HTTP client that knows the pool's token."""
    headers = {"Authorization": f"Bearer {pool.token}"}
    with httpx.Client(base_url=pool.endpoint, headers=headers, timeout=60) as http:
        yield http


@pytest.fixture
def remote(http: httpx.Client) -> Iterator[Remote]:
    """A session that nobody else uses, ended after the test."""
    remote = Remote(http, f"test-{uuid.uuid4()}")
    yield remote
    remote.call("DELETE", "/session", version="2025-10-02-preview")
