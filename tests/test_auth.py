"""Tokens: one for both clients, renewed in time, never in the open, never in the way of the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from aca_node_interpreter import AsyncSessionPoolClient, SessionPoolClient
from aca_node_interpreter.errors import AuthenticationError, ConfigurationError
from aca_node_interpreter.rest.auth import SCOPE, TokenSource
from tests.http_server import Request, Response, serve


@dataclass
class Token:
    token: str
    expires_on: int


@dataclass
class Credential:
    """Hands out t1, t2, … and notes where it was asked."""

    lifetime: float = 3600
    delay: float = 0
    scopes: list[str] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def get_token(self, *scopes: str) -> Token:
        time.sleep(self.delay)
        self.scopes += scopes
        self.threads.append(threading.get_ident())
        return Token(f"t{len(self.scopes)}", int(time.time() + self.lifetime))


class AsyncCredential(Credential):
    async def get_token(self, *scopes: str) -> Token:  # type: ignore[override]  # the asynchronous kind
        await asyncio.sleep(0)
        return super().get_token(*scopes)


def empty_list(request: Request) -> Response:
    return Response(200, b'{"value": []}')


def tokens(requests: list[Request]) -> list[str]:
    return [request.headers["authorization"] for request in requests]


@pytest.mark.parametrize("kind", [Credential, AsyncCredential])
async def test_one_token_serves_both_clients(kind: type[Credential]) -> None:
    credential = kind()
    with serve(empty_list) as server:
        async with AsyncSessionPoolClient(server.url, credential=credential) as client:
            await client.list_files()
            with SessionPoolClient(server.url, credential=credential) as sync_client:
                await asyncio.to_thread(sync_client.list_files)
    assert tokens(server.requests) == ["Bearer t1", "Bearer t1"]
    assert credential.scopes == [SCOPE] == ["https://dynamicsessions.io/.default"]


@pytest.mark.parametrize("kind", [Credential, AsyncCredential])
def test_a_token_that_soon_expires_is_renewed(kind: type[Credential], client_class: Any) -> None:
    credential = kind(lifetime=60)
    with serve(empty_list) as server, client_class(server.url, credential=credential) as client:
        client.list_files()
        client.list_files()
    assert tokens(server.requests) == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("kind", [Credential, AsyncCredential])
def test_a_401_is_answered_once_with_a_new_token(kind: type[Credential], client_class: Any) -> None:
    credential = kind()

    def answer(request: Request) -> Response:
        return empty_list(request) if request.headers["authorization"] == "Bearer t2" else Response(401)

    with serve(answer) as server, client_class(server.url, credential=credential) as client:
        assert client.list_files() == []
        assert client.list_files() == []
    assert tokens(server.requests) == ["Bearer t1", "Bearer t2", "Bearer t2"]


def test_a_401_for_good_is_a_typed_error_that_says_what_to_do(client_class: Any) -> None:
    with (
        serve(lambda _: Response(401)) as server,
        client_class(server.url, credential=Credential()) as client,
        pytest.raises(AuthenticationError, match="az login") as caught,
    ):
        client.list_files()
    assert len(server.requests) == 2
    assert caught.value.status == 401


def test_a_ready_token_is_not_tried_twice(client_class: Any) -> None:
    with (
        serve(lambda _: Response(401)) as server,
        client_class(server.url, token="ready") as client,
        pytest.raises(AuthenticationError),
    ):
        client.list_files()
    assert tokens(server.requests) == ["Bearer ready"]


@pytest.mark.parametrize("provider", ["function", "coroutine"])
def test_a_function_that_returns_a_token_will_do(provider: str, client_class: Any) -> None:
    async def later() -> str:
        return "provided"

    credential = (lambda: "provided") if provider == "function" else later
    with serve(empty_list) as server, client_class(server.url, credential=credential) as client:
        client.list_files()
    assert tokens(server.requests) == ["Bearer provided"]


async def test_a_slow_credential_does_not_hold_up_the_event_loop() -> None:
    credential = Credential(delay=0.5)
    with serve(empty_list) as server:
        async with AsyncSessionPoolClient(server.url, credential=credential) as client:
            longest = await _longest_pause_during(client.list_files())
    assert longest < 0.25
    assert credential.threads[0] != threading.get_ident()


async def _longest_pause_during(call: Any) -> float:
    task = asyncio.ensure_future(call)
    longest = 0.0
    while not task.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    await task
    return longest


async def test_many_callers_share_one_renewal() -> None:
    credential = Credential(delay=0.05)
    source = TokenSource.of(credential)
    assert set(await asyncio.gather(*(source.aget() for _ in range(20)))) == {"t1"}


@pytest.mark.parametrize("failure", [RuntimeError("tenant 1234 secret"), OSError("no network")])
def test_a_credential_that_fails_is_a_typed_error_without_its_words(failure: Exception, client_class: Any) -> None:
    class Broken:
        def get_token(self, *scopes: str) -> Token:
            raise failure

    with (
        serve(empty_list) as server,
        client_class(server.url, credential=Broken()) as client,
        pytest.raises(AuthenticationError, match="az login") as caught,
    ):
        client.list_files()
    assert str(failure) not in str(caught.value)
    assert caught.value.__cause__ is failure
    assert server.requests == []


def test_no_token_is_shown_by_repr() -> None:
    with SessionPoolClient("http://127.0.0.1:1", token="hunter2", session_id="my-session") as client:
        shown = repr(client) + repr(vars(client))
    assert "hunter2" not in shown
    assert "my-session" not in shown


def test_a_credential_and_a_token_together_are_refused(client_class: Any) -> None:
    with pytest.raises(ConfigurationError, match="either"):
        client_class("http://127.0.0.1:1", token="t", credential=Credential())


def test_a_proxy_of_the_environment_never_sees_a_loopback_token(
    monkeypatch: pytest.MonkeyPatch, client_class: Any
) -> None:
    with serve(empty_list) as proxy, serve(empty_list) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with client_class(server.url, token="secret") as client:
            client.list_files()
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_a_redirect_is_not_followed_with_the_token(client_class: Any) -> None:
    from aca_node_interpreter.errors import AcaNodeError

    with serve(empty_list) as other:
        redirect = Response(307, headers={"Location": other.url})
        with (
            serve(lambda _: redirect) as server,
            client_class(server.url, token="secret") as client,
            pytest.raises(AcaNodeError),
        ):
            client.list_files()
    assert other.requests == []


def test_the_default_is_azures_default_credential_and_its_token_never_goes_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, client_class: Any
) -> None:
    from aca_node_interpreter.rest import auth

    credential = Credential()
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda: credential)
    monkeypatch.delenv("ACA_POOL_TOKEN", raising=False)
    auth._default_credential.cache_clear()
    try:
        with client_class(
            "https://eastasia.dynamicsessions.io/subscriptions/s/resourceGroups/g/sessionPools/p"
        ) as client:
            assert client._auth._source.get() == "t1"
        with serve(empty_list) as server:
            for endpoint in (server.url, f"{server.url}/subscriptions/s/resourceGroups/g/sessionPools/p"):
                with pytest.raises(AuthenticationError, match="ACA_POOL_TOKEN"), client_class(endpoint) as client:
                    client.list_files()
    finally:
        auth._default_credential.cache_clear()
    assert server.requests == []


@pytest.mark.parametrize("token", ["", " ", "two words", "line\nbreak", "na\u00efve"])
def test_what_can_not_be_a_token_is_refused_before_sending_and_not_repeated(token: str, client_class: Any) -> None:
    with pytest.raises(AuthenticationError) as caught:
        client_class("http://127.0.0.1:1", token=token)
    with client_class("http://127.0.0.1:1", credential=lambda: token) as client, pytest.raises(AuthenticationError):
        client.list_files()
    assert not token.strip() or token not in str(caught.value)


def test_the_line_end_that_a_shell_adds_is_no_part_of_a_token(client_class: Any) -> None:
    with serve(empty_list) as server, client_class(server.url, token="sekret\n") as client:
        client.list_files()
    assert tokens(server.requests) == ["Bearer sekret"]


async def test_many_callers_share_one_renewal_of_an_asynchronous_credential() -> None:
    source = TokenSource.of(AsyncCredential())
    assert set(await asyncio.gather(*(source.aget() for _ in range(20)))) == {"t1"}


def test_the_token_in_the_environment_is_for_loopback_only(monkeypatch: pytest.MonkeyPatch, client_class: Any) -> None:
    monkeypatch.setenv("ACA_POOL_TOKEN", "loopback-token")
    with serve(empty_list) as server, client_class(server.url) as client:
        client.list_files()
    assert tokens(server.requests) == ["Bearer loopback-token"]
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Credential)
    pool = "https://eastasia.dynamicsessions.io/subscriptions/s/resourceGroups/g/sessionPools/p"
    with client_class(pool) as client:
        assert isinstance(client._auth._source, TokenSource)
