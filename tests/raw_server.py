"""A listening socket that breaks off at any byte, for what no HTTP server would do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

# With it, closing a socket resets its connection.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Caller:
    """A connection, from the side of who was called."""

    connection: socket.socket
    over: threading.Event
    """Set when the test is over."""

    def read_byte(self) -> None:
        """Read what has come at least."""
        self.connection.recv(1)

    def read_head(self) -> bytes:
        """Read as far as the empty line."""
        head = b""
        while b"\r\n\r\n" not in head and (more := self.connection.recv(65536)):
            head += more
        return head

    def read_all(self) -> bytes:
        """Read a request, and return its head."""
        head, _, body = self.read_head().partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        left = length - len(body)
        while left > 0 and (more := self.connection.recv(65536)):
            left -= len(more)
        return head

    def say(self, words: bytes) -> None:
        self.connection.sendall(words)

    def stall(self) -> None:
        """Do nothing more."""
        self.over.wait(60)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


@dataclass
class RawServer:
    """Where it listens, and how often it was called."""

    address: str
    calls: int = 0


@contextmanager
def listening(talk: Callable[[Caller], None]) -> Iterator[RawServer]:
    """Call `talk` with each connection, in a thread of its own, and close that then."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        # Who called may have gone.
        with connection, suppress(OSError):
            talk(Caller(connection, over))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.calls += 1
            thread = threading.Thread(target=answer, args=(connection,))
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(f"127.0.0.1:{listener.getsockname()[1]}")
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield server
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


@contextmanager
def full_backlog() -> Iterator[str]:
    """Give an address where a connection is neither accepted nor refused."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
