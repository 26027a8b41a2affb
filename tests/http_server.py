"""A real HTTP server on loopback that a test scripts: it stands where Azure would be."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

OPENING = {"/metadata"}
"""The path that an executor which is started calls, to have a connection open."""


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    port: int = 0
    """The client's, and so which of its connections it came over."""

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Response:
    """What to answer. Without a status the connection is cut instead."""

    status: int | None = 200
    body: bytes = b""
    """As it goes, in chunks if the headers say so."""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Cut the connection after so many bytes of the body."""
    pause: float = 0.0
    """Seconds before each byte of the body."""


@dataclass
class Server:
    """A running server and what it was sent so far."""

    url: str
    requests: list[Request] = field(default_factory=list)


Answer = Callable[[Request], Response]


@contextmanager
def serve(answer: Answer, *, certificate: Path | None = None) -> Iterator[Server]:
    """Serve on a free loopback port, with TLS if there is a certificate with its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self._read_body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body, self.client_address[1])
            server.requests.append(request)
            response = answer(request)
            if response.status is None:
                self.close_connection = True
                return
            if "Date" in response.headers:
                self.send_response_only(response.status)
            else:
                self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if "Transfer-Encoding" not in response.headers:
                self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            body = response.body[: response.cut_after]
            if response.pause:
                for byte in body:
                    time.sleep(response.pause)
                    self.wfile.write(bytes([byte]))
            else:
                self.wfile.write(body)
            self.close_connection = self.close_connection or response.cut_after is not None

        def _read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  # the names that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    class QuietServer(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: tests break connections on purpose."""

    http = QuietServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    server = Server(f"{'http' if certificate is None else 'https'}://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
