"""What else runs JavaScript on this machine, each in the way that is its own; none of it is a sandbox but Deno."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor

from aca_node_interpreter.local.node import find_node
from benchmarks.measuring import Times

_NEL = Path(__file__).with_name("nel.js")

Run = Callable[[str], bytes]
"""Runs code and returns what it printed."""


def node_process(code: str) -> bytes:
    """Run code in a new Node.js."""
    return subprocess.check_output([find_node().executable, "-e", code])


def deno_process(deno: Path) -> Run:
    """Return what runs code in a new Deno, which may do nothing but compute."""
    program = deno / "deno"
    return lambda code: subprocess.check_output([program, "run", "--quiet", "-"], input=code.encode())


@contextmanager
def deno_repl(deno: Path) -> Iterator[Run]:
    """Keep one Deno with its read-eval-print loop, which takes a line and prints what it is worth."""
    command: list[str | Path] = [deno / "deno", "repl", "--quiet"]
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line, answers = process.stdin, process.stdout

        def run(code: str) -> bytes:
            line.write(code.encode() + b"\n")
            line.flush()
            return answers.readline()

        try:
            yield run
        finally:
            line.close()


@contextmanager
def command_line() -> Iterator[Run]:
    """Keep AutoGen's executor for command lines, which knows no JavaScript: a block of shell hands it to `node`."""
    # Its block runs in a file, which it writes, with `sh`; so Node.js reads the code from the block itself.
    block = f"{find_node().executable} - <<'END_OF_CODE'\n%s\nEND_OF_CODE"
    with tempfile.TemporaryDirectory() as folder, closing(asyncio.new_event_loop()) as loop:
        with warnings.catch_warnings():
            # It warns that it is no sandbox.
            warnings.simplefilter("ignore")
            executor = LocalCommandLineCodeExecutor(work_dir=folder)

        async def execute(code: str) -> bytes:
            result = await executor.execute_code_blocks([CodeBlock(block % code, "sh")], CancellationToken())
            assert result.exit_code == 0, result.output
            return result.output.encode()

        loop.run_until_complete(executor.start())
        yield lambda code: loop.run_until_complete(execute(code))
        loop.run_until_complete(executor.stop())


def nel(package: Path, what: str, count: int, code: str = "1+1", output: int = 0) -> Times:
    """Return the figures of genuine nel, see `nel.js`."""
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [find_node().executable, _NEL, package, folder, what, str(count), code, str(output)]
        return Times.of(json.loads(subprocess.check_output(command)))
