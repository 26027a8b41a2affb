"""Drive one client through one scenario, in an environment that has it; print the seconds of each repetition as JSON.

`python -m benchmarks.clients MODULE:CLASS SCENARIO ENDPOINT REPETITIONS < token`
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from .conversation import Conversation, MaybeAwaitable, Pool, T

CODE = "1+1"
FILES = 5
FILE_BYTES = 100_000
UPLOADS = 20
AT_A_TIME = 32
PAUSE = 0.3
"""Seconds before a new session, in which the pool gets another one ready."""

Seconds = dict[str, list[float]]


async def done(promised: MaybeAwaitable[T]) -> T:
    """Wait for what an asynchronous client promises; a blocking one has it already."""
    return await promised if inspect.isawaitable(promised) else promised


async def timed(call: Callable[[], MaybeAwaitable[object]]) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    await done(call())
    return time.perf_counter() - started


async def run(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Run code that leaves no files, in turns with a bare call of the same transport on a kept connection."""
    conversation: Conversation = client(pool)
    bare = await done(client.bare(pool, CODE))
    seconds: Seconds = {"run": [], "bare": []}
    for _ in range(3):
        await done(conversation.run(CODE))
        await done(bare())
    for _ in range(repetitions):
        seconds["run"].append(await timed(lambda: conversation.run(CODE)))
        seconds["bare"].append(await timed(bare))
    await done(conversation.end())
    return seconds


async def first(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Make a client and run code in a new session, in a program that had no connection before; then run it again."""
    seconds: Seconds = {"first": []}
    for _ in range(repetitions):
        await asyncio.sleep(PAUSE)
        started = time.perf_counter()
        conversation: Conversation = client(replace(pool))
        await done(conversation.run(CODE))
        seconds["first"].append(time.perf_counter() - started)
        await done(conversation.end())
    return seconds


async def started(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Run code in a new session after `start`, which opened the connection."""
    seconds: Seconds = {"first": []}
    for _ in range(repetitions):
        await asyncio.sleep(PAUSE)
        conversation = client(replace(pool))
        await conversation.start()
        seconds["first"].append(await timed(lambda: conversation.run(CODE)))  # noqa: B023  # called at once
        await conversation.end()
    return seconds


async def bring(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Run code that writes files, and have them all on this machine."""
    conversation: Conversation = client(pool)
    seconds: Seconds = {"bring": []}
    names = [f"file-{number}.bin" for number in range(FILES)]
    code = f"""
for (const name of {json.dumps(names)})
  require('fs').writeFileSync('/mnt/data/' + name, require('crypto').randomBytes({FILE_BYTES}))
"""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repetitions + 1):
            seconds["bring"].append(await timed(lambda: conversation.bring(code, names, Path(folder))))
    await done(conversation.end())
    # The first one opened the connections.
    return {"bring": seconds["bring"][1:]}


async def upload(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Upload small files, then run code."""
    conversation: Conversation = client(pool)
    seconds: Seconds = {"upload": []}

    async def upload_and_run() -> None:
        await done(conversation.upload(files))
        await done(conversation.run(CODE))

    with tempfile.TemporaryDirectory() as made:
        files = [Path(made, f"small-{number}.txt") for number in range(UPLOADS)]
        for each in files:
            each.write_text("a small file\n" * 20)
        for _ in range(repetitions + 1):
            seconds["upload"].append(await timed(upload_and_run))
    await done(conversation.end())
    return {"upload": seconds["upload"][1:]}


async def conversations(client: Any, pool: Pool, repetitions: int) -> Seconds:
    """Have many conversations of one run each, some at a time, each with a session of its own that it ends."""

    async def converse() -> None:
        conversation: Conversation = client(pool)
        await done(conversation.run(CODE))
        await done(conversation.end())

    # What is loaded once a process is not the conversations' cost.
    await converse()
    began = time.perf_counter()
    if inspect.iscoroutinefunction(client.run):
        places = asyncio.Semaphore(AT_A_TIME)

        async def in_place() -> None:
            async with places:
                await converse()

        await asyncio.gather(*(in_place() for _ in range(repetitions)))
    else:
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            list(threads.map(lambda _: asyncio.run(converse()), range(repetitions)))
    return {"conversations": [time.perf_counter() - began]}


SCENARIOS: dict[str, Callable[[Any, Pool, int], Coroutine[Any, Any, Seconds]]] = {
    each.__name__: each for each in (run, first, started, bring, upload, conversations)
}

if __name__ == "__main__":
    _client, _scenario, _endpoint, _repetitions = sys.argv[1:]
    _module, _class = _client.split(":")
    _made = getattr(importlib.import_module(f"benchmarks.clients.{_module}"), _class)
    _pool = Pool(_endpoint, sys.stdin.read())
    print(json.dumps(asyncio.run(SCENARIOS[_scenario](_made, _pool, int(_repetitions)))))
