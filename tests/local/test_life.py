"""Starting and stopping: nothing is left, whatever happens."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local import LocalPool
from tests.left_behind import gone, processes
from tests.local.remote import Remote, http_client
from tests.machine import unavailable, why_no_sandbox


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory that only this test's pools use."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def count_descriptors() -> int:
    """Count this process's open descriptors when they stay as they are: the pool of other tests may get ready yet."""
    counts = [0, 1]
    while counts[-1] != counts[-2]:
        time.sleep(0.5)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    return counts[-1]


def use(pool: LocalPool) -> None:
    with http_client(pool) as http:
        assert (
            Remote(http, "life").value(
                "fs.mkdirSync('/mnt/data/a/b', {recursive: true}); fs.chmodSync('/mnt/data/a', 0); 1"
            )
            == "1"
        )


def test_stopping_leaves_nothing_and_the_pool_starts_again(scratch: Path, isolation: Any) -> None:
    threads = set(threading.enumerate())
    descriptors = count_descriptors()
    pool = LocalPool(isolation=isolation)
    for _ in range(2):
        pool.start()
        pool.start()
        use(pool)
        assert len(processes(scratch)) >= 2
        pool.stop()
        pool.stop()
        assert list(scratch.iterdir()) == []
        assert gone(scratch)
        assert set(threading.enumerate()) == threads
        assert count_descriptors() == descriptors


def test_stopping_ends_what_runs(scratch: Path, isolation: Any) -> None:
    with LocalPool(isolation=isolation) as pool:
        http = http_client(pool)
        thread = threading.Thread(target=lambda: answers.append(Remote(http, "life").run("while (true) {}")))
        answers: list[dict[str, Any]] = []
        thread.start()
        time.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    thread.join(5)
    http.close()
    assert [answer["stderr"] for answer in answers] == ["Execution aborted"]
    assert gone(scratch)


def test_stopping_waits_for_nobody(isolation: Any, caplog: pytest.LogCaptureFixture) -> None:
    with LocalPool(isolation=isolation) as pool:
        with http_client(pool) as http:
            Remote(http, "life").value("fs.writeFileSync('/mnt/data/big', Buffer.alloc(64 << 20))")
        query = "?api-version=2025-10-02-preview&identifier=life HTTP/1.1\r\n"
        head = f"{query}Host: localhost\r\nAuthorization: Bearer {pool.token}\r\n"
        upload = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x\r\n"
        port = int(pool.endpoint.rpartition(":")[2])
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        connections[0].sendall(f"GET /files/big/content{head}\r\n".encode())
        connections[1].sendall(f"POST /files{head}{upload}".encode())
        assert connections[0].recv(12) == b"HTTP/1.1 200"
        started = time.monotonic()
    assert time.monotonic() - started < 1.8
    for connection in connections:
        connection.close()
    assert caplog.records == []


async def test_the_callers_event_loop_is_not_blocked(isolation: Any) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    ticking = asyncio.create_task(tick())
    async with LocalPool(isolation=isolation) as pool:
        assert pool.endpoint.startswith("http://127.0.0.1:")
        started = ticks
    ticking.cancel()
    assert started > 5


SCRIPT = """
import os, signal, sys, threading
# A job in a shell's background is started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from aca_node_interpreter.local import LocalPool
pool = LocalPool(isolation=sys.argv[1]); pool.start()
print("ready", flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError", 1), ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT)],
)
def test_the_end_of_the_interpreter_stops_the_pool(scratch: Path, isolation: str, ending: str, code: int) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT.format(ending=ending), isolation]
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.returncode) == ("ready\n", code), done.stderr
    assert "ResourceWarning" not in done.stderr
    assert list(scratch.iterdir()) == []
    assert gone(scratch)


def killed_pool(scratch: Path, isolation: str, *, with_launcher: bool) -> None:
    """Start a pool in a process of its own and kill that, with the helper or without."""
    command = [sys.executable, "-c", SCRIPT.format(ending="threading.Event().wait()"), isolation]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        helpers = [int(child) for file in children for child in file.read_text().split()]
        assert len(helpers) == 1
        if with_launcher:
            os.kill(process.pid, signal.SIGSTOP)
            os.kill(helpers[0], signal.SIGKILL)
        process.kill()


def test_a_killed_pool_leaves_no_process_and_no_directory(scratch: Path, isolation: str) -> None:
    killed_pool(scratch, isolation, with_launcher=False)
    assert gone(scratch)
    assert list(scratch.iterdir()) == []


def test_what_a_pool_killed_with_its_helper_leaves_is_removed_by_the_next(scratch: Path, isolation: str) -> None:
    killed_pool(scratch, isolation, with_launcher=True)
    assert gone(scratch)
    abandoned = list(scratch.iterdir())
    assert len(abandoned) == 1
    with LocalPool(isolation=isolation), LocalPool(isolation=isolation):  # type: ignore[arg-type]
        assert abandoned[0] not in scratch.iterdir()
        # But not that of a pool that lives.
        assert len(list(scratch.iterdir())) == 2


def test_a_pool_whose_helper_was_killed_starts_another(scratch: Path, isolation: Any) -> None:
    with LocalPool(isolation=isolation) as pool:
        use(pool)
        helpers = [pid for pid in processes(scratch) if "launcher" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(helpers) == 1
        os.kill(int(helpers[0]), signal.SIGKILL)
        with http_client(pool) as http:
            assert Remote(http, "another").run("1")["status"] in ("Succeeded", "Failed")
            assert Remote(http, "another").value("1") == "1"
            assert Remote(http, "life").value("fs.existsSync('/mnt/data/a')") == "true"
    assert list(scratch.iterdir()) == []
    assert gone(scratch)


def test_a_taken_port_is_told() -> None:
    with LocalPool(isolation="none") as pool:
        port = int(pool.endpoint.rpartition(":")[2])
        with pytest.raises(LocalPoolError, match=f"can't listen on port {port}"):
            LocalPool(isolation="none", port=port).start()


def test_a_chosen_port_and_token_are_used() -> None:
    with LocalPool(isolation="none") as pool:
        port = int(pool.endpoint.rpartition(":")[2])
    with LocalPool(isolation="none", port=port, token="chosen", ready_sessions=0) as pool:
        assert (pool.endpoint, pool.token) == (f"http://127.0.0.1:{port}", "chosen")


def test_a_pool_that_is_not_running_has_no_endpoint() -> None:
    with pytest.raises(LocalPoolError, match="not running"):
        _ = LocalPool().endpoint


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setattr("aca_node_interpreter.local.isolation.levels.find_programs", list)
    with pytest.raises(LocalPoolError, match=r'bubblewrap: it is not installed.*isolation="none"'):
        LocalPool(least_isolation="bubblewrap").start()
    monkeypatch.setattr("aca_node_interpreter.local.isolation.levels.find_programs", lambda: ["/bin/false"])
    with pytest.raises(LocalPoolError, match=r"bubblewrap: Node\.js did not start"):
        LocalPool(isolation="bubblewrap").start()
    assert list(scratch.iterdir()) == []


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LocalPoolError, match=r'pip install "aca-node-interpreter\[local\]"'):
        LocalPool()


def test_importing_the_package_is_cheap() -> None:
    heavy = "{'asyncio', 'starlette', 'uvicorn', 'httpx'}"
    check = f"import sys, aca_node_interpreter.local; print(list({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("level", "place"), [("none", "unmounted"), ("bubblewrap", "bubblewrap")])
def test_a_start_that_fails_leaves_nothing(
    level: Any, place: str, scratch: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level == "bubblewrap" != isolation:
        unavailable(why_no_sandbox())
    broken = scratch / "kernel.js"
    broken.write_text("throw new Error('broken kernel')")
    monkeypatch.setattr(f"aca_node_interpreter.local.isolation.{place}.KERNEL", broken)
    threads, descriptors = set(threading.enumerate()), count_descriptors()
    with pytest.raises(LocalPoolError, match="broken kernel"):
        LocalPool(isolation=level, egress=True).start()
    assert [path.name for path in scratch.iterdir()] == ["kernel.js"]
    assert set(threading.enumerate()) == threads
    assert count_descriptors() == descriptors
    # Sockets of a session's network that nobody closed would be complained about.
    gc.collect()


def test_windows_is_told_that_it_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(LocalPoolError, match="not available on Windows yet"):
        LocalPool()
