"""Many sessions of a pool that run at a time: `python -m benchmarks.load ENDPOINT SESSIONS SECONDS < token`.

It prints how many runs a second they got through, in a process of its own: the pool shares none of its work. Each
session has a bare connection and sends the same bytes again and again, so that nearly all the work is the pool's.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from urllib.parse import urlsplit

from benchmarks.connection import VERSION


async def runs_a_second(endpoint: str, token: str, sessions: int, seconds: float) -> float:
    """Return how many runs a second so many sessions get through, one after another in each."""
    address = urlsplit(endpoint)
    body = json.dumps({"code": "1+1", "timeoutInSeconds": 60})

    async def begin(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = (
            f"POST /executions?api-version={VERSION}&identifier=together-{number} HTTP/1.1\r\n"
            f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        await run(reader, writer, (head + body).encode())
        return reader, writer, (head + body).encode()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert length is not None
        await reader.readexactly(int(length[1]))

    async def keep_running(begun: tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes], end: float) -> int:
        count = 0
        while time.perf_counter() < end:
            await run(*begun)
            count += 1
        return count

    begun = [await begin(number) for number in range(sessions)]
    started = time.perf_counter()
    counts = await asyncio.gather(*(keep_running(each, started + seconds) for each in begun))
    taken = time.perf_counter() - started
    for _, writer, _ in begun:
        writer.close()
    return sum(counts) / taken


if __name__ == "__main__":
    _endpoint, _sessions, _seconds = sys.argv[1:]
    print(asyncio.run(runs_a_second(_endpoint, sys.stdin.read(), int(_sessions), float(_seconds))))
