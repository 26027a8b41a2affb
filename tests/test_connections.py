"""Clients of one pool share its connections, and leave none behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import httpx
import pytest

from aca_node_interpreter import AsyncSessionPoolClient, NodeSessionsCodeExecutor, SessionPoolClient
from aca_node_interpreter.errors import ServiceUnreachableError
from aca_node_interpreter.rest import connections
from aca_node_interpreter.rest.endpoint import Endpoint
from tests.http_server import Request, Response, Server, serve


class Gate:
    """Answers with no files; calls are held up while it is closed."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def __call__(self, request: Request) -> Response:
        self.waiting.release()
        self.open.wait(10)
        return Response(body=b'{"value": []}')


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[Server]:
    with serve(gate) as server:
        yield server
        gate.open.set()


def ports(server: Server) -> set[int]:
    """Tell over which connections calls came."""
    return {request.port for request in server.requests}


def kept() -> int:
    """Tell how many blocking connections nobody uses now."""
    return sum(len(each._unused) for each in connections._blocking.values())


def test_clients_one_after_the_other_use_one_connection(server: Server) -> None:
    with SessionPoolClient(server.url, token="t") as first:
        for _ in range(3):
            first.list_files()
        with SessionPoolClient(server.url, token="u") as second:
            second.list_files()
        first.list_files()
        assert (len(ports(server)), kept()) == (1, 1)
    assert kept() == 0
    assert [request.headers["authorization"][-1] for request in server.requests] == ["t", "t", "t", "u", "t"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_ones_do_so_on_their_event_loop(server: Server, backend: str) -> None:
    async def calls() -> None:
        async with AsyncSessionPoolClient(server.url, token="t") as first:
            await first.list_files()
            async with AsyncSessionPoolClient(server.url, token="t") as second:
                await second.list_files()
            await first.list_files()

    anyio.run(calls, backend=backend)
    assert len(ports(server)) == 1
    anyio.run(calls, backend=backend)
    assert len(ports(server)) == 2


def test_calls_at_a_time_have_a_connection_each_and_leave_them_to_the_next(server: Server, gate: Gate) -> None:
    async def calls() -> None:
        async with AsyncSessionPoolClient(server.url, token="t") as client:
            for _ in range(3):
                gate.open.clear()
                async with anyio.create_task_group() as group:
                    for _ in range(20):
                        group.start_soon(client.list_files)
                    await anyio.to_thread.run_sync(lambda: [gate.waiting.acquire() for _ in range(20)])
                    gate.open.set()

    anyio.run(calls)
    assert len(server.requests) == 60
    assert len(ports(server)) == 20


def test_closing_one_client_ends_its_calls_and_not_those_of_others(server: Server, gate: Gate) -> None:
    gate.open.clear()
    outcomes: dict[str, Any] = {}

    def call(name: str, client: SessionPoolClient) -> None:
        try:
            outcomes[name] = client.list_files()
        except ServiceUnreachableError as error:
            outcomes[name] = error

    with ExitStack() as stack:
        closed, other = (stack.enter_context(SessionPoolClient(server.url, token="t")) for _ in range(2))
        threads = [threading.Thread(target=call, args=each) for each in (("closed", closed), ("other", other))]
        for thread in threads:
            thread.start()
            assert gate.waiting.acquire(timeout=5)
        closed.close()
        gate.open.set()
        for thread in threads:
            thread.join(5)
    assert isinstance(outcomes["closed"], ServiceUnreachableError)
    assert outcomes["other"] == []
    assert kept() == 0


def test_what_was_not_used_for_long_is_closed(server: Server, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    with SessionPoolClient(server.url, token="t") as client:
        gate.open.clear()
        threads = [threading.Thread(target=client.list_files) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert all(gate.waiting.acquire(timeout=5) for _ in threads)
        gate.open.set()
        for thread in threads:
            thread.join(5)
        assert kept() == 3
        monkeypatch.setattr(connections, "_KEPT_SECONDS", 0.0)
        client.list_files()
        # The one that was used just now is as old as the others then.
        assert kept() <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_connections_of_its_own(server: Server) -> None:
    with SessionPoolClient(server.url, token="t") as client:
        client.list_files()
        child = os.fork()
        if child == 0:
            try:
                with SessionPoolClient(server.url, token="t") as other:
                    other.list_files()
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        assert os.waitpid(child, 0)[1] == 0
        client.list_files()
    assert [server.requests[0].port, server.requests[2].port] == [server.requests[0].port] * 2
    assert len(ports(server)) == 2


# Python tells of the socket that it closes.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_nobody_closed_keeps_nothing_open(server: Server) -> None:
    client = SessionPoolClient(server.url, token="t")
    client.list_files()
    assert kept() == 1
    del client
    gc.collect()
    assert kept() == 0


def test_the_way_goes_through_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.invalid:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert way("https://pool.invalid").proxy == "http://proxy.invalid:3128"
    assert way("https://127.0.0.1:8443").proxy is None
    monkeypatch.setenv("NO_PROXY", "other.invalid,.pool.invalid")
    assert way("https://east.pool.invalid").proxy is None
    assert way("https://west.invalid").proxy == "http://proxy.invalid:3128"
    monkeypatch.setenv("NO_PROXY", "*")
    assert way("https://west.invalid").proxy is None


def way(endpoint: str) -> connections.Way:
    return connections.Way.to(Endpoint.parse(endpoint))


async def test_starting_an_executor_opens_the_connection_of_its_first_run(server: Server) -> None:
    executor = NodeSessionsCodeExecutor(server.url, token="t", mode="raw", session_id="a-session")
    await executor.start()
    assert [request.method for request in server.requests] == ["GET"]
    assert "identifier" not in server.requests[0].query
    await executor.alist_files()
    assert len(ports(server)) == 1
    await executor.stop()


async def test_starting_raises_nothing_when_the_pool_is_not_there() -> None:
    executor = NodeSessionsCodeExecutor("http://127.0.0.1:9", token="t")
    await executor.start()
    with pytest.raises(ServiceUnreachableError):
        await executor.aexecute("1")
    await executor.stop()


def test_the_garbage_collector_may_close_a_client_in_the_midst_of_a_call(server: Server) -> None:
    """A lock that its finalizer waits for would be held by the very thread that it runs in."""
    with SessionPoolClient(server.url, token="t") as client:
        client.list_files()
        shared = connections._blocking[way(server.url)]
        forgotten = SessionPoolClient(server.url, token="t")

        class Closing(float):
            def __lt__(self, other: object) -> bool:
                forgotten.close()
                return False

        shared._unused.appendleft((Closing(), shared._way.connection(httpx.HTTPTransport)))
        client.list_files()
        assert len(shared._users) == 1
    assert kept() == 0
