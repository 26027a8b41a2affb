"""What a client meets where a session pool should be: servers, sockets and credentials that fail in one exact way."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from tests.certificates import self_signed
from tests.http_server import Request, Response, serve
from tests.raw_server import Caller, full_backlog, listening

TOKEN = "a-secret-token"


@dataclass(frozen=True)
class Met:
    """What a client meets."""

    endpoint: str
    calls: Callable[[], int] | None = None
    """Counts how often it was called, where it can."""
    client: Mapping[str, Any] = field(default_factory=lambda: {"token": TOKEN})
    """What the client is made with."""
    environment: Mapping[str, str] = field(default_factory=dict)


Meeting = Callable[[Path], AbstractContextManager[Met]]


def answering(status: int, body: bytes = b"", **headers: str) -> Meeting:
    """Return an HTTP server that always says the same."""
    return scripted(
        lambda _: Response(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
    )


def scripted(answer: Callable[[Request], Response], **client: Any) -> Meeting:
    @contextmanager
    def meeting(_: Path) -> Iterator[Met]:
        with serve(answer) as server:
            yield Met(server.url, lambda: len(server.requests), client or {"token": TOKEN})

    return meeting


def talking(talk: Callable[[Caller], None], scheme: str = "http") -> Meeting:
    @contextmanager
    def meeting(_: Path) -> Iterator[Met]:
        with listening(talk) as server:
            yield Met(f"{scheme}://{server.address}", lambda: server.calls)

    return meeting


def speaking_tls(*, host: str = "127.0.0.1", days_old: int = 1, is_trusted: bool = True) -> Meeting:
    """Return a server whose certificate is for 127.0.0.1 and is good for a month."""

    @contextmanager
    def meeting(folder: Path) -> Iterator[Met]:
        certificate = self_signed(folder, days_old=days_old)
        with serve(good, certificate=certificate) as server:
            trust = {"SSL_CERT_FILE": str(certificate)} if is_trusted else {}
            yield Met(server.url.replace("127.0.0.1", host), environment=trust)

    return meeting


@contextmanager
def unknown_host(_: Path) -> Iterator[Met]:
    yield Met("https://pool.invalid")


@contextmanager
def nobody(_: Path) -> Iterator[Met]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Met(f"http://127.0.0.1:{taken.getsockname()[1]}")


@contextmanager
def no_answer_to_connecting(_: Path) -> Iterator[Met]:
    with full_backlog() as address:
        yield Met(f"http://{address}")


def proxy_saying(status: bytes) -> Meeting:
    def refuse(caller: Caller) -> None:
        caller.read_head()
        caller.say(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    @contextmanager
    def meeting(_: Path) -> Iterator[Met]:
        with listening(refuse) as server:
            proxy = {"HTTPS_PROXY": f"http://{server.address}"}
            yield Met("https://pool.invalid", lambda: server.calls, environment=proxy)

    return meeting


def broken_after(words: bytes, *, reads: Literal["a byte", "the head", "all"] = "all", stalls: bool = False) -> Meeting:
    """Return what says these bytes, then resets the connection or stalls."""

    def talk(caller: Caller) -> None:
        {"a byte": caller.read_byte, "the head": caller.read_head, "all": caller.read_all}[reads]()
        caller.say(words)
        caller.stall() if stalls else caller.reset()

    return talking(talk)


def good(request: Request) -> Response:
    """Answer as a session pool."""
    return Response(200, good_body(request.method, request.path))


def good_body(method: str, path: str) -> bytes:
    if path.endswith("/content"):
        return b"content"
    if path.endswith("/executions"):
        return b'{"status":"Succeeded","result":{"stdout":""}}'
    return b'{"name":"a.bin","sizeInBytes":1}' if method == "POST" else b'{"value":[]}'


def informing(caller: Caller) -> None:
    """Answer with early hints before the answer."""
    method, target = caller.read_all().decode().split(" ")[:2]
    body = good_body(method, target.partition("?")[0])
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    caller.say(hints + head + body)


def tokens(*, lifetime: float = 3600, good_ones: bool = True) -> Callable[[Path], AbstractContextManager[Met]]:
    """Return a pool that knows the credential's second token only, or none."""

    @contextmanager
    def meeting(path: Path) -> Iterator[Met]:
        given: list[str] = []

        def get_token(*_: str) -> Any:
            given.append(f"{TOKEN}-{len(given)}")
            return SimpleNamespace(token=given[-1], expires_on=time.time() + lifetime)

        def answer(request: Request) -> Response:
            is_known = good_ones and not request.headers["authorization"].endswith("-0")
            return good(request) if is_known else Response(401, b"")

        with scripted(answer, credential=SimpleNamespace(get_token=get_token))(path) as met:
            yield met

    return meeting


@contextmanager
def clock_ahead(path: Path) -> Iterator[Met]:
    """Give tokens that have expired by this machine's clock, and a pool that takes them."""
    token = SimpleNamespace(token=TOKEN, expires_on=time.time() - 3600)
    with scripted(good, credential=SimpleNamespace(get_token=lambda *_: token))(path) as met:
        yield met


def failing(code: str, message: str = "Some words.") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()
