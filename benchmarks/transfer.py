"""Move one large file by our client: `python -m benchmarks.transfer ENDPOINT up|down FILE < token`.

It prints the seconds and the bytes of memory that it took above what it had when it was idle, in a process of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aca_node_interpreter import SessionPoolClient
from benchmarks.machine import peak_bytes
from benchmarks.measuring import seconds_of

SESSION = "large-files"


def move(endpoint: str, token: str, way: str, file: Path) -> tuple[float, int]:
    """Return the seconds, and the bytes of memory above idle."""
    with SessionPoolClient(endpoint, token=token, session_id=SESSION) as client:
        client.upload_file(b"small", name="small")
        client.download_file("small")
        idle = peak_bytes()
        if way == "up":
            seconds = seconds_of(lambda: client.upload_file(file))
        else:
            seconds = seconds_of(lambda: client.download_file_to(file, file.name))
    return seconds, peak_bytes() - idle


if __name__ == "__main__":
    _endpoint, _way, _file = sys.argv[1:]
    print(json.dumps(move(_endpoint, sys.stdin.read(), _way, Path(_file))))
