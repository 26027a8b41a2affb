"""A session pool that is far away: TLS, and the network's round trips, in front of an embedded pool.

Two servers in one process, both of loopback. The nearer one is the distance: it holds a new connection back for one
round trip, as TCP's handshake would, and every byte for half of one each way; bandwidth is unlimited. Behind it TLS
ends, and the plain bytes go on to the pool.

What passes towards the pool is changed in place, its length kept, where clients made for Python pools need it: their
set-up code becomes JavaScript that answers the same. With `slots`, a pool that always has a session ready is
played as well: starting Node.js would take the processors from the clients that are to be measured, so a conversation
is given the session of one that is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aca_node_interpreter import LocalPool
from tests.certificates import self_signed

_PIECE = 256 * 1024  # bytes

PYTHON = {
    rb"\nimport pkg_resources\n[d.project_name for d in pkg_resources.working_set]\n": b"['numpy', 'pandas']",
    b"import os; os.chdir('/mnt/data')": b"undefined",
}
"""What a client runs in Python before the first code of a session, as JSON has it, and the same in JavaScript."""

_IDENTIFIER = re.compile(rb"(?<=identifier=)[^& ]+(?=[& ])")
# Ending a session leaves its process to the next conversation.
_END, _LOOK = b"DELETE /session?", b"GET /session?x=&"

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class FarPool:
    """Where a pool answers, and what a client needs to call it."""

    endpoint: str
    token: str
    certificate: str
    """The file with the certificate to trust."""


def in_javascript(piece: bytes) -> bytes:
    """Put JavaScript in the place of a Python client's set-up code."""
    for python, javascript in PYTHON.items():
        piece = piece.replace(python, javascript.ljust(len(python)))
    return piece


class Slots:
    """The sessions of a pool, given out again, the one that was idle longest first."""

    def __init__(self, count: int) -> None:
        self._free = [b"%04d" % number for number in range(count)]
        self._slots: OrderedDict[bytes, bytes] = OrderedDict()

    def assigned(self, piece: bytes) -> bytes:
        """Have a request go to a session of ours, whatever its identifier."""
        return _IDENTIFIER.sub(self._slot, piece).replace(_END, _LOOK)

    def _slot(self, found: re.Match[bytes]) -> bytes:
        identifier = found[0]
        if identifier not in self._slots:
            self._slots[identifier] = self._free.pop() if self._free else self._slots.popitem(last=False)[1]
        self._slots.move_to_end(identifier)
        # As long as it was, for nothing else may move.
        return self._slots[identifier].rjust(len(identifier), b"s")


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay: float, since: float, change: Change
) -> None:
    """Pass bytes on, each after `delay` seconds, and none from before `since`."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, piece = await under_way.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    arriving = asyncio.ensure_future(arrive())
    try:
        while True:
            piece = await reader.read(_PIECE)
            under_way.put_nowait((max(loop.time(), since) + delay, change(piece)))
            if not piece:
                break
        await arriving
    finally:
        arriving.cancel()


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    address: tuple[str, int],
    *,
    round_trip: float = 0,
    change: Change = bytes,
) -> None:
    """Connect to an address, and pass bytes both ways until either side ends."""
    since = asyncio.get_running_loop().time() + round_trip
    delay = round_trip / 2
    with contextlib.suppress(OSError):
        there, back = await asyncio.open_connection(*address, limit=_PIECE)
        both = [
            asyncio.ensure_future(_carry(reader, back, delay=delay, since=since, change=change)),
            asyncio.ensure_future(_carry(there, writer, delay=delay, since=since, change=bytes)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back.close()
            writer.close()


@contextlib.asynccontextmanager
async def _serving(
    address: tuple[str, int], *, tls: ssl.SSLContext | None = None, round_trip: float = 0, change: Change = bytes
) -> AsyncIterator[tuple[str, int]]:
    # An event loop itself knows its tasks by weak references only.
    connections = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(task := asyncio.current_task())
        try:
            # It stops: the error of a connection that is cancelled would be logged.
            with contextlib.suppress(asyncio.CancelledError):
                await _pass(reader, writer, address, round_trip=round_trip, change=change)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=_PIECE, backlog=1024)
    async with server:
        yield server.sockets[0].getsockname()


async def _stand(pool: tuple[str, int], certificate: str, round_trip: float, slots: int) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    sessions = Slots(slots) if slots else None

    def change(piece: bytes) -> bytes:
        piece = in_javascript(piece)
        return piece if sessions is None else sessions.assigned(piece)

    async with (
        _serving(pool, tls=tls, change=change) as end_of_tls,
        _serving(end_of_tls, round_trip=round_trip) as near,
    ):
        print(json.dumps(near[1]), flush=True)
        # Until whoever started this closes the pipe.
        await asyncio.to_thread(sys.stdin.read)
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for each in connections:
        each.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


@contextmanager
def far_pool(pool: LocalPool, folder: Path, *, round_trip: float, slots: int = 0) -> Iterator[FarPool]:
    """Put TLS and a distance, in seconds, in front of a running pool, in a process of their own."""
    certificate = str(self_signed(folder))
    address = urlsplit(pool.endpoint)
    arguments = [str(address.hostname), str(address.port), certificate, str(round_trip), str(slots)]
    command = [sys.executable, "-m", "benchmarks.distance", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())
            yield FarPool(f"https://127.0.0.1:{port}", pool.token, certificate)
        finally:
            process.stdin.close()


if __name__ == "__main__":
    _host, _port, _certificate, _round_trip, _slots = sys.argv[1:]
    asyncio.run(_stand((_host, int(_port)), _certificate, float(_round_trip), int(_slots)))
