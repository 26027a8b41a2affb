"""What the embedded pool costs, as ratios within one run: `python -m benchmarks.pool [RUNS]`.

A bare keep-alive socket asks it, so that no client's cost is counted. Genuine `nel` over its own pipe is the floor of a
warm run when npm can install it; it is otherwise the cheapest answer of the pool.
"""

from __future__ import annotations

import concurrent.futures
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aca_node_interpreter import LocalPool
from aca_node_interpreter.local.node import Node, find_node
from benchmarks.measuring import Row, median, show

VERSION = "2025-10-02-preview"
TOGETHER = 64

NEL = """
const { Session } = require(process.argv[1]);
const session = new Session({ cwd: process.argv[2] });
const times = [];
(function next(left) {
  const started = process.hrtime.bigint();
  session.execute("1+1", { afterRun() {
    times.push(Number(process.hrtime.bigint() - started) / 1e9);
    if (left) return setImmediate(next, left - 1);
    session.kill("SIGKILL");
    console.log(JSON.stringify(times.sort((a, b) => a - b)[times.length >> 1]));
  }});
})(Number(process.argv[3]));
"""


class Connection:
    """One kept connection to a pool."""

    def __init__(self, pool: LocalPool) -> None:
        address = urlsplit(pool.endpoint)
        self._socket = socket.create_connection((address.hostname, address.port or 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: localhost\r\nAuthorization: Bearer {pool.token}\r\nContent-Type: application/json\r\n"

    def ask(self, method: str, path: str, identifier: str, body: object = None) -> int:
        """Send one request; gives the status of its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        target = f"{method} {path}?api-version={VERSION}&identifier={identifier} HTTP/1.1\r\n"
        self._socket.sendall(f"{target}{self._head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = b""
        while True:
            answer += self._socket.recv(65536)
            head, end, received = answer.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if end and len(received) >= int(length or 0):
                return int(answer[9:12])

    def run(self, identifier: str) -> None:
        """Run `1+1`."""
        status = self.ask("POST", "/executions", identifier, {"code": "1+1", "timeoutInSeconds": 60})
        assert status == 200, status

    def delete(self, identifier: str) -> None:
        """End a session."""
        assert self.ask("DELETE", "/session", identifier) == 204

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@contextmanager
def connected(pool: LocalPool) -> Iterator[Connection]:
    """Start a pool and connect to it."""
    with pool:
        connection = Connection(pool)
        try:
            yield connection
        finally:
            connection.close()


def measure_nel(node: Node, runs: int) -> float | None:
    """Return the median seconds of a warm run in genuine nel, or nothing when it can't be installed."""
    if node.npm_cli is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        install: list[str | Path] = [
            node.executable,
            node.npm_cli,
            "install",
            "--silent",
            "--prefix",
            folder,
            "nel@1.3.0",
        ]
        if subprocess.run(install, check=False).returncode != 0:
            return None
        package = str(Path(folder, "node_modules", "nel"))
        command: list[str | Path] = [node.executable, "-e", NEL, package, folder, str(runs)]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)


def median_of_new_sessions(pool: LocalPool, runs: int, *, pause: float) -> float:
    """Return the median seconds to a new session's first result, `pause` seconds after the one before."""
    times = []
    with connected(pool) as connection:
        for number in range(runs):
            time.sleep(pause)
            started = time.perf_counter()
            connection.run(f"session-{number}")
            times.append(time.perf_counter() - started)
            connection.delete(f"session-{number}")
    return sorted(times)[len(times) // 2]


def measure(runs: int) -> list[Row]:
    """Measure each figure against its floor."""
    node = find_node()
    few = max(3, runs // 20)
    with connected(LocalPool()) as connection:
        warm = median(lambda: connection.run("warm"), runs)
        cheapest = median(lambda: connection.ask("GET", "/nothing", "warm"), runs)
    nel = measure_nel(node, runs)
    process = median(lambda: subprocess.run([node.executable, "-e", ""], check=True), few)
    ready = median_of_new_sessions(LocalPool(), few, pause=0.3)
    cold = median_of_new_sessions(LocalPool(ready_sessions=0), few, pause=0.0)
    started = time.perf_counter()
    with LocalPool():
        start = time.perf_counter() - started
    floor = ("genuine nel, warm run", nel) if nel else ("the pool's cheapest answer", cheapest)
    return [
        Row("warm run", warm, *floor),
        Row("the pool's cheapest answer", cheapest, *floor),
        Row("new session to first result, ready process", ready, "node -e ''", process),
        Row("new session to first result, none ready", cold, "node -e ''", process),
        Row("start of the pool", start, "node -e ''", process),
    ]


def available_bytes() -> int:
    """Return the memory that this machine has left."""
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def crowd() -> str:
    """Start many sessions at once; tell how many failed, how long it took, and what an idle one takes."""
    with LocalPool(max_sessions=TOGETHER) as pool:
        before = available_bytes()

        def one(number: int) -> bool:
            connection = Connection(pool)
            try:
                connection.run(f"together-{number}")
            except (AssertionError, OSError):
                return False
            finally:
                connection.close()
            return True

        started = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(TOGETHER) as threads:
            succeeded = sum(threads.map(one, range(TOGETHER)))
        seconds = time.perf_counter() - started
        time.sleep(1)
        each = (before - available_bytes()) / TOGETHER
    idle = f"an idle session takes {each / 2**20:.1f} MiB: {2**30 / each:.0f} in a GiB"
    return f"{TOGETHER} sessions at once: {TOGETHER - succeeded} failed, {seconds:.2f} s; {idle}"


if __name__ == "__main__":
    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
    print(crowd())
