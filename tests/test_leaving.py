"""However a program with an executor ends, and whatever is under way when one is closed, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError, ClientClosedError
from aca_node_interpreter.local import faults
from aca_node_interpreter.rest.client import SessionPoolClient
from tests.http_server import Response, serve
from tests.left_behind import gone

SCRIPT = """
import asyncio, os, signal, sys, threading, time
# A job in a shell's background is started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from aca_node_interpreter import NodeSessionsCodeExecutor
executor = NodeSessionsCodeExecutor(isolation=sys.argv[1])
executor.execute("fs.writeFileSync('/mnt/data/a.txt', 'a')")
ENDLESS = "await new Promise(r => setTimeout(r, 50_000))"

def soon(*arguments):
    threading.Timer(0.5, os.kill, [os.getpid(), *arguments]).start()

async def leave():
    asyncio.ensure_future(executor.aexecute(ENDLESS))
    await asyncio.sleep(0.5)

{ending}
"""
ENDINGS = {
    "its end": "",
    "an error": "raise RuntimeError",
    "Ctrl-C": "signal.raise_signal(signal.SIGINT)",
    "Ctrl-C in a run": "soon(signal.SIGINT); executor.execute(ENDLESS)",
    "Ctrl-C in a run of an event loop": "soon(signal.SIGINT); asyncio.run(executor.aexecute(ENDLESS))",
    "a run in another thread": (
        "threading.Thread(target=executor.execute, args=[ENDLESS], daemon=True).start(); time.sleep(0.5)"
    ),
    "a run in a task": "asyncio.run(leave())",
    "a closing at the end": "import atexit; atexit.register(executor.close)",
    "a child's end": "os.fork() or sys.exit(); os.wait(); executor.execute('1')",
    "a child's sudden end": "os.fork() or os._exit(0); os.wait(); executor.execute('1')",
}
KILLED = {
    "SIGTERM": "signal.raise_signal(signal.SIGTERM)",
    "SIGTERM in a run": "soon(signal.SIGTERM); executor.execute(ENDLESS)",
    "a sudden end": "os._exit(0)",
}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that only this test uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def end(scratch: Path, isolation: str, ending: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT.format(ending=ending), isolation]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, timeout=60, check=False)
    assert gone(scratch)


@pytest.mark.long
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_that_ends_leaves_nothing(scratch: Path, isolation: str, ending: str) -> None:
    end(scratch, isolation, ENDINGS[ending])
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("ending", KILLED)
def test_what_a_killed_program_leaves_goes_with_the_next(scratch: Path, isolation: Any, ending: str) -> None:
    kept = scratch / "aca-node-artifacts-kept"
    kept.mkdir()
    end(scratch, isolation, KILLED[ending])
    left = {each.name for each in scratch.iterdir()} - {kept.name}
    # No process is there any more that could remove its artifacts.
    assert len(left) == 1
    with NodeSessionsCodeExecutor("http://127.0.0.1:9", token="t") as living:
        assert living.artifacts_path.is_dir()
        with NodeSessionsCodeExecutor("http://127.0.0.1:9", token="t") as another:
            assert another.artifacts_path.is_dir()
            assert living.artifacts_path.is_dir()
        assert not left & {each.name for each in scratch.iterdir()}
    assert [each.name for each in scratch.iterdir()] == [kept.name]


def own_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("aca-node")]


@pytest.fixture
def slow_to_end(isolation: Any) -> Iterator[LocalPool]:
    """A pool that takes its time to end a session."""
    with LocalPool(isolation=isolation, faults=[faults.Stall(0.7, at="before", on="delete_session")]) as running:
        yield running


async def test_closing_waits_for_what_ends_a_session(slow_to_end: LocalPool) -> None:
    before = own_threads()
    async with NodeSessionsCodeExecutor(slow_to_end.endpoint, token=slow_to_end.token) as executor:
        await executor.aexecute("1", thread_id="a")
        ending = asyncio.ensure_future(executor.aclose("a"))
        await asyncio.sleep(0.1)
        ending.cancel()
        await asyncio.wait([ending])
        assert own_threads() != before
    assert own_threads() == before
    with SessionPoolClient(slow_to_end.endpoint, token=slow_to_end.token) as client:
        assert client.list_sessions() == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_that_ends_after_the_closing_leaves_nothing(
    scratch: Path, slow_to_end: LocalPool, is_async: bool
) -> None:
    executor = NodeSessionsCodeExecutor(slow_to_end.endpoint, token=slow_to_end.token)
    before, threads = set(scratch.iterdir()), own_threads()
    begun = threading.Event()
    outcomes: list[Any] = []
    code = "await new Promise(r => setTimeout(r, 1500)); 'x'.repeat(50_000)"

    async def run() -> None:
        await executor.aexecute("1")
        begun.set()
        outcomes.append(await executor.aexecute(code))

    def work() -> None:
        try:
            if is_async:
                asyncio.run(run())
            else:
                executor.execute("1")
                begun.set()
                outcomes.append(executor.execute(code))
        except AcaNodeError as error:
            outcomes.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    directory = executor.artifacts_path
    executor.close()
    assert own_threads() == threads
    thread.join(60)
    assert own_threads() == threads
    assert len(outcomes) == 1
    assert not directory.exists()
    assert set(scratch.iterdir()) == before
    with SessionPoolClient(slow_to_end.endpoint, token=slow_to_end.token) as client:
        assert client.list_sessions() == []


def open_sockets(pool: LocalPool) -> int:
    """Count the connections to a pool that their clients have not closed."""
    port, still_open = f":{urlsplit(pool.endpoint).port:04X}", ("01", "08")
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
    return sum(line[2].endswith(port) and line[3] in still_open for line in lines)


@pytest.fixture
def another_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that goes on in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_closing_leaves_no_socket_on_any_event_loop(
    another_loop: asyncio.AbstractEventLoop, isolation: Any
) -> None:
    with LocalPool(isolation=isolation) as pool:
        async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
            await executor.aexecute("1", thread_id="here")
            there = executor.aexecute("1", thread_id="there")
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there, another_loop))
            connection = executor._runner._connected(0)
            assert open_sockets(pool) == 2
        assert open_sockets(pool) == 0
        with pytest.raises(ClientClosedError):
            asyncio.run_coroutine_threadsafe(connection.client_of_running_loop(), another_loop).result(5)


def test_a_directory_that_was_removed_is_not_made_again(scratch: Path) -> None:
    executor = NodeSessionsCodeExecutor("http://127.0.0.1:9", token="t")
    directory = executor._runner._place.directory
    assert directory.save("a.txt", b"a").path.parent == executor.artifacts_path
    executor.close()
    with pytest.raises(FileNotFoundError):
        directory.save("charts/b.txt", b"b")
    assert list(scratch.iterdir()) == []


def test_a_directory_is_made_for_the_first_artifact_and_not_after_closing(scratch: Path) -> None:
    executor = NodeSessionsCodeExecutor("http://127.0.0.1:9", token="t")
    directory = executor._runner._place.directory
    assert list(scratch.iterdir()) == []
    executor.close()
    with pytest.raises(FileNotFoundError):
        directory.save("a.txt", b"a")
    assert list(scratch.iterdir()) == []
    assert executor.artifacts_path.is_dir()
    executor.close()
    assert list(scratch.iterdir()) == []


async def test_an_executor_that_has_a_connection_ends_its_sessions_over_it_and_needs_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(lambda _: Response(body=b'{"value": []}')) as server:
        executor = NodeSessionsCodeExecutor(server.url, token="t", mode="raw")
        for thread in ("a", "b"):
            executor._runner._conversations.of(thread).session.was_used = True
            await executor.alist_files(thread_id=thread)
        monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail(f"{thread.name} was started"))
        await executor.aclose("a")
        await executor.stop()
        monkeypatch.undo()
    assert [request.method for request in server.requests] == ["GET", "GET", "DELETE", "DELETE"]
    assert len({request.port for request in server.requests}) == 1
