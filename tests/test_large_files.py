"""Large files go up and come down in constant memory, by both faces of the client, and too large ones never begin."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import PayloadTooLargeError
from aca_node_interpreter.rest.models import MAX_UPLOAD_BYTES
from tests.engine import Engine
from tests.fault_proxy import FaultProxy
from tests.faults import CutReply

MEGABYTE = 1024 * 1024
MOST_MEMORY = 64  # megabytes above idle

# It tells how much memory it came to have, in megabytes.
PROGRAM = """
import asyncio, json, resource, sys
from aca_node_interpreter import NodeSessionsCodeExecutor

endpoint, token, is_async, file, directory, code = sys.argv[1:]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))

async def asynchronously(executor):
    await executor.aexecute("fs.writeFileSync('/mnt/data/small', 'x')")
    await executor.aupload(b"x", name="tiny")
    idle = peak()
    await executor.aupload(file, name="large.bin")
    return idle, await executor.aexecute(code)

def blocking(executor):
    executor.execute("fs.writeFileSync('/mnt/data/small', 'x')")
    executor.upload(b"x", name="tiny")
    idle = peak()
    executor.upload(file, name="large.bin")
    return idle, executor.execute(code)

settings = {"token": token, "max_artifact_bytes": 2 << 30, "artifacts_dir": directory, "timeout": 200}
with NodeSessionsCodeExecutor(endpoint, **settings) as executor:
    idle, run = asyncio.run(asynchronously(executor)) if is_async == "True" else blocking(executor)
print(json.dumps([peak() - idle, [artifact.size for artifact in run.artifacts], run.value, list(run.problems)]))
"""


def check(pool: LocalPool, tmp_path: Path, is_async: bool, megabytes: int) -> None:
    """Send 128 MB up, have so many come down, and see what it took."""
    file = tmp_path / "large.bin"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_UPLOAD_BYTES)
    code = f"""
        const piece = Buffer.alloc(1 << 20, 7), out = fs.openSync('/mnt/data/out.bin', 'w')
        for (let i = 0; i < {megabytes}; i++) fs.writeSync(out, piece)
        fs.closeSync(out)
        const sent = fs.statSync('/mnt/data/large.bin').size
        fs.rmSync('/mnt/data/large.bin')
        sent"""
    arguments = [pool.endpoint, pool.token, str(is_async), str(file), str(tmp_path / "out"), code]
    told = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    memory, sizes, sent, problems = json.loads(told.stdout)
    assert (sizes, sent, problems) == ([megabytes * MEGABYTE], MAX_UPLOAD_BYTES, [])
    assert memory < MOST_MEMORY
    print(f"{memory:.1f} MB above idle")


@pytest.mark.parametrize("is_async", [False, True])
def test_128_mb_go_up_and_more_comes_down_in_constant_memory(pool: LocalPool, tmp_path: Path, is_async: bool) -> None:
    check(pool, tmp_path, is_async, 200)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_gigabyte_comes_down_in_constant_memory(tmp_path: Path, isolation: Any, is_async: bool) -> None:
    from aca_node_interpreter.local import Limits

    with LocalPool(isolation=isolation, limits=Limits(data=2 << 30)) as pool:
        check(pool, tmp_path, is_async, 1024)


def test_what_is_too_large_is_refused_before_it_is_sent(isolation: Any, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_UPLOAD_BYTES + 1)
    with Engine(isolation=isolation) as pool, FaultProxy(pool) as proxy:
        with NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token) as executor:
            with pytest.raises(PayloadTooLargeError, match="134,217,729 bytes"):
                executor.upload(file)
            assert proxy.seen == []


def test_a_large_download_that_breaks_goes_on(isolation: Any) -> None:
    with Engine(isolation=isolation) as pool, FaultProxy(pool) as proxy:
        with NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token) as executor:
            proxy.plan(*[CutReply(piece * MEGABYTE, "length") for piece in (1, 3, 7, 9)], kind="download")
            began = time.monotonic()
            run = executor.execute("fs.writeFileSync('/mnt/data/a.bin', Buffer.alloc(10 << 20, 7))")
            assert time.monotonic() - began < 30
            assert (run.problems, [artifact.size for artifact in run.artifacts]) == ((), [10 * MEGABYTE])
            assert proxy.planned == []
