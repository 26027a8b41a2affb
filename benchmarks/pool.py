"""The embedded pool, asked over a bare kept connection, beside what else runs JavaScript on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aca_node_interpreter import LocalPool, SessionPoolClient
from benchmarks import runners
from benchmarks.connection import Connection
from benchmarks.environments import NotInstalledError
from benchmarks.machine import memory_below
from benchmarks.measuring import Times, seconds_of, times
from benchmarks.report import Cell, Row, Table
from benchmarks.setting import Setting

OURS = "the embedded pool"
WARM, NEW = "warm run", "new session to first result"
OUTPUTS = {"10 KB of output": 10_000, "10 MB of output": 10_000_000}
LARGE = 100  # megabytes
TOGETHER = (1, 16, 64)
IDLE = 64


@contextmanager
def connected(pool: LocalPool) -> Iterator[Connection]:
    """Start a pool and connect to it."""
    with pool:
        connection = Connection(pool.endpoint, pool.token)
        try:
            yield connection
        finally:
            connection.close()


def printing(count: int) -> str:
    """Return code that prints so many bytes."""
    return f"console.log('x'.repeat({count - 1}))"


def measure(setting: Setting) -> Iterator[Table]:
    """Measure the pool, and the others."""
    files, copy = _large_files(setting)
    figures = {
        OURS: _ours(setting) | files,
        "a copy on this machine": copy,
        "`node -e`, a process each": _processes(setting, runners.node_process),
    }
    with runners.command_line() as run:
        figures["AutoGen's `LocalCommandLineCodeExecutor`"] = _processes(setting, run)
    missing: list[Row] = []
    for program, theirs in {"deno": _deno, "nel@1.3.0": _nel}.items():
        try:
            figures.update(theirs(setting, setting.environments.program(program)))
        except NotInstalledError as reason:
            missing.append({"what": WARM, "who": program, "note": f"not installed: {reason}"})
    rows: list[Row] = []
    for what, ours in figures[OURS].items():
        for who, measured in figures.items():
            if found := measured.get(what):
                rows.append({"what": what, "who": who, **found.cells(), "times ours": found.median / ours.median})
    yield Table("The embedded pool: one session", ABOUT, [*rows, *missing])
    yield Table("The embedded pool: many sessions at a time", ABOUT_MANY, list(_many(setting)))
    yield Table("The embedded pool: idle sessions", ABOUT_IDLE, [_idle(4 if setting.short else IDLE)])


def _ours(setting: Setting) -> dict[str, Times]:
    figures = {
        NEW: _of_new_sessions(LocalPool(), setting.repetitions(30), pause=0.3),
        f"{NEW}, no session ready": _of_new_sessions(LocalPool(ready_sessions=0), setting.repetitions(20), pause=0),
    }
    with connected(LocalPool()) as connection:
        figures[WARM] = times(lambda: connection.run("warm"), setting.repetitions(2000))
        for what, count in OUTPUTS.items():
            run = _printed(lambda code: connection.run("warm", code), count)
            figures[what] = times(run, setting.repetitions(5 if count > 1_000_000 else 200))
    figures["start of the pool"] = times(_start_and_stop, setting.repetitions(5))
    return figures


def _start_and_stop() -> None:
    with LocalPool():
        pass


def _of_new_sessions(pool: LocalPool, count: int, *, pause: float) -> Times:
    """Measure new sessions, each `pause` seconds after the one before, in which another one gets ready."""
    seconds = []
    with connected(pool) as connection:
        for number in range(count):
            time.sleep(pause)
            seconds.append(seconds_of(lambda: connection.run(f"new-{number}")))  # noqa: B023  # called at once
            connection.delete(f"new-{number}")
    return Times.of(seconds)


def _large_files(setting: Setting) -> tuple[dict[str, Times], dict[str, Times]]:
    """Measure a large file both ways, by our own client, and its copy beside both."""
    size, count = (1 if setting.short else LARGE), setting.repetitions(5)
    up, down = f"upload of {size} MB", f"download of {size} MB"
    with tempfile.TemporaryDirectory() as folder, LocalPool() as pool:
        file, back = Path(folder, "large.bin"), Path(folder, "back.bin")
        file.write_bytes(os.urandom(size * 1_000_000))
        copy = times(lambda: shutil.copyfile(file, back), count)
        with SessionPoolClient(pool.endpoint, token=pool.token) as client:
            ours = {
                up: times(lambda: client.upload_file(file), count),
                down: times(lambda: client.download_file_to(back, file.name), count),
            }
    return ours, {up: copy, down: copy}


def _printed(run: Callable[[str], bytes], count: int) -> Callable[[], None]:
    """Return a call that prints, and sees that all of it came."""

    def call() -> None:
        assert len(run(printing(count))) >= count

    return call


def _processes(setting: Setting, run: runners.Run) -> dict[str, Times]:
    """Measure what starts a process for every run; it has no session."""
    count = setting.repetitions(20)
    each = times(lambda: run("1+1"), count)
    printed = {what: times(_printed(run, size), min(count, 10)) for what, size in OUTPUTS.items()}
    return {NEW: each, WARM: each, **printed}


def _deno(setting: Setting, package: Path) -> dict[str, dict[str, Times]]:
    with runners.deno_repl(package) as run:
        warm = times(lambda: run("1+1"), setting.repetitions(500))
    processes = _processes(setting, runners.deno_process(package))
    return {"Deno, a process each": processes, "Deno, one `deno repl`": {WARM: warm}}


def _nel(setting: Setting, package: Path) -> dict[str, dict[str, Times]]:
    figures = {
        NEW: runners.nel(package, "fresh", setting.repetitions(20)),
        WARM: runners.nel(package, "warm", setting.repetitions(2000)),
    }
    for what, size in OUTPUTS.items():
        figures[what] = runners.nel(package, "warm", setting.repetitions(10), printing(size), size)
    return {"genuine nel, its own pipe": figures}


def _many(setting: Setting) -> Iterator[Row]:
    """Give how many runs a second there are, the pool's asked from a process of their own."""
    seconds = "0.2" if setting.short else "3"
    for sessions in TOGETHER[:2] if setting.short else TOGETHER:
        with LocalPool(max_sessions=sessions, ready_sessions=sessions) as pool:
            command = [sys.executable, "-m", "benchmarks.load", pool.endpoint, str(sessions), seconds]
            ours = float(subprocess.check_output(command, input=pool.token.encode()))
        cells: dict[str, Cell] = {"sessions": sessions, f"{OURS}, runs a second": ours}
        with ThreadPoolExecutor(sessions) as threads:
            runs = setting.repetitions(100)
            started = time.perf_counter()
            list(threads.map(runners.node_process, ["1+1"] * runs))
            cells["`node -e`, runs a second"] = runs / (time.perf_counter() - started)
        try:
            floor = runners.nel(setting.environments.program("nel@1.3.0"), "together", sessions).median
            cells.update({"genuine nel, runs a second": floor, "ratio to nel": ours / floor})
        except NotInstalledError as reason:
            cells["note"] = f"nel is not installed: {reason}"
        yield cells


def _idle(count: int) -> Row:
    """Begin many sessions at once; tell how long it took, and what an idle one takes of the memory."""
    with LocalPool(max_sessions=count, ready_sessions=0) as pool, ExitStack() as undo:
        connections = [Connection(pool.endpoint, pool.token) for _ in range(count)]
        for each in connections:
            undo.callback(each.close)
        before = memory_below(os.getpid())
        started = time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda number: connections[number].run(f"idle-{number}"), range(count)))
        seconds = time.perf_counter() - started
        # Until garbage is collected and what came with the start is gone.
        time.sleep(2)
        each_bytes = (memory_below(os.getpid()) - before) / count
    return {
        "sessions begun at once": count,
        "seconds": seconds,
        "MiB each": each_bytes / 2**20,
        "idle sessions per GiB": int(2**30 / each_bytes),
    }


ABOUT = (
    "The pool is asked over one kept connection by a bare client, through its sandbox; a new session comes with a "
    "process that was ready, or without. `node -e` and AutoGen's executor, adapted by a block of shell that pipes the "
    "code into `node`, start a process for every run and isolate nothing; Deno's process may read, write and reach "
    "nothing. Files go by our client; nobody else here has a call for that, so that a copy stands beside."
)
ABOUT_MANY = "Each session runs `1+1` again and again. `node -e` starts as many processes at a time."
ABOUT_IDLE = "The memory of all processes of the sessions; a page that several share counts once (`Pss`)."
