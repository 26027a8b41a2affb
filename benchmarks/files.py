"""Large files by our client, beside `curl` on the same server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.local import Limits
from benchmarks.connection import VERSION
from benchmarks.measuring import Times
from benchmarks.report import Cell, Row, Table
from benchmarks.setting import Setting
from benchmarks.transfer import SESSION

SIZES = {"down": 1024, "up": 128}  # MiB
SHORT = 8
LEAST = 0.8
MOST_MEMORY = 64  # MiB above idle

_FILE = "large.bin"
_WRITE = """{{
const fs = require('fs'), piece = Buffer.alloc(1 << 20, 7), file = fs.openSync('/mnt/data/{name}', 'w');
for (let i = 0; i < {count}; i++) fs.writeSync(file, piece);
fs.closeSync(file);
}}"""


def measure(setting: Setting) -> Iterator[Table]:
    """Measure both ways, ours and `curl` in turns."""
    with tempfile.TemporaryDirectory() as folder, LocalPool(limits=Limits(data=2 << 30)) as pool:
        rows = []
        for way, size in SIZES.items():
            size = SHORT if setting.short else size
            file = Path(folder, _FILE)
            with SessionPoolClient(pool.endpoint, token=pool.token, session_id=SESSION) as client:
                made = client.execute(_WRITE.format(name=_FILE, count=size))
                assert made.status == "Succeeded", made
                client.download_file_to(file, _FILE)
            rows.append(_row(setting, pool, way, size, file))
    yield Table("Large files", ABOUT, rows)


def _row(setting: Setting, pool: LocalPool, way: str, size: int, file: Path) -> Row:
    ours, memory, curls = [], 0, []
    for _ in range(setting.repetitions(5)):
        command = [sys.executable, "-m", "benchmarks.transfer", pool.endpoint, way, str(file)]
        seconds, more = json.loads(subprocess.check_output(command, input=pool.token.encode()))
        ours.append(seconds)
        memory = max(memory, more)
        if shutil.which("curl"):
            curls.append(_curl(pool, way, file))
    cells: dict[str, Cell] = {
        "way": way,
        "MiB": size,
        "ours, MiB/s": size / Times.of(ours).median,
        "memory above idle, MiB": memory / 2**20,
        "constant": memory < MOST_MEMORY * 2**20,
    }
    if not curls:
        return {**cells, "note": "curl is not installed"}
    ratio = Times.of(curls).median / Times.of(ours).median
    return {
        **cells,
        "`curl`, MiB/s": size / Times.of(curls).median,
        "ratio": ratio,
        "at least": LEAST,
        "limit": ratio >= LEAST,
    }


def _curl(pool: LocalPool, way: str, file: Path) -> float:
    """Return the seconds that curl says it took: without its own start, as ours."""
    query = f"api-version={VERSION}&identifier={SESSION}"
    what = ["--form", f"file=@{file}", "--output", "/dev/null", f"{pool.endpoint}/files?{query}"]
    if way == "down":
        what = ["--output", str(file), f"{pool.endpoint}/files/{_FILE}/content?{query}"]
    # The token is nobody's business who looks at the list of processes.
    header = f'header = "Authorization: Bearer {pool.token}"'.encode()
    command = ["curl", "--silent", "--show-error", "--fail", "--write-out", "%{time_total}", "--config", "-", *what]
    return float(subprocess.check_output(command, input=header))


ABOUT = (
    "Over plain HTTP from the embedded pool, the file lying on this machine's disk on either side; ours and `curl` in "
    "turns. Both files are written. The memory of ours is the most that its process had above what it had before, at "
    f"most {MOST_MEMORY} MiB."
)
