"""Both kernels, without a pool: genuine nel 1.3.0 and the embedded one, each with a real /mnt/data of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aca_node_interpreter.javascript import runtime_calls
from aca_node_interpreter.javascript.prepared import Edit, Import, Prepared
from aca_node_interpreter.local import frames
from aca_node_interpreter.local.isolation.bubblewrap import find_programs
from aca_node_interpreter.local.isolation.host import KERNEL
from tests.machine import unavailable

DRIVER = Path(__file__).with_name("kernel_driver.js")


@dataclass
class Heard:
    """What came back for one request."""

    stdout: str
    stderr: str
    values: list[Any]
    ended: bool


class Kernel(Protocol):
    """Runs code."""

    def execute(self, code: str, wait: float) -> Heard: ...

    def close(self) -> None: ...


def _inside(command: Sequence[str | Path], data: Path) -> list[str | Path]:
    """Word a command that sees `data` as /mnt/data, and has a home of its own."""
    programs = find_programs()
    if not programs:
        unavailable("there is no bubblewrap")
    mounts = ["--dev-bind", "/", "/", "--tmpfs", "/mnt", "--bind", str(data), "/mnt/data", "--chdir", "/mnt/data"]
    mounts += ["--setenv", "HOME", "/mnt"]
    return [programs[-1], *mounts, "--die-with-parent", *command]


class Nel:
    """Genuine nel."""

    def __init__(self, node: Path, nel: Path, data: Path) -> None:
        self.process = subprocess.Popen(
            _inside([node, DRIVER, nel], data), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.rest = b""

    def execute(self, code: str, wait: float) -> Heard:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = json.dumps({"code": code, "wait": wait * 1000}).encode() + b"\n"
        while line:
            line = line[self.process.stdin.write(line) :]
        parts = [self.rest]
        while b"\n" not in parts[-1]:
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            assert part, "the driver ended"
            parts.append(part)
        answer, _, self.rest = b"".join(parts).partition(b"\n")
        return Heard(**json.loads(answer))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Embedded:
    """The embedded pool's kernel."""

    def __init__(self, node: Path, data: Path) -> None:
        request, self.requests = os.pipe()
        self.replies, reply = os.pipe()
        source = KERNEL.read_text("utf-8")
        start = f"require('vm').runInThisContext({json.dumps(source)},{{filename:'[eval]'}})(require,{request},{reply})"
        self.process = subprocess.Popen(
            _inside([node, "--max-old-space-size=768", "--v8-pool-size=1", "--eval", start], data),
            pass_fds=(request, reply),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(request)
        os.close(reply)
        self.reader = frames.FrameReader()
        self.number = 0

    def execute(self, code: str, wait: float) -> Heard:
        self.number += 1
        message = frames.encode_run(self.number, code)
        while message:
            message = message[os.write(self.requests, message) :]
        out, err = bytearray(), bytearray()
        values: list[Any] = []
        deadline = time.monotonic() + wait
        while True:
            ready, _, _ = select.select([self.replies], [], [], max(0, deadline - time.monotonic()))
            received = os.read(self.replies, 1 << 20) if ready else b""
            if not received:
                return Heard(out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), values, ended=False)
            for kind, payload in self.reader.feed(received):
                if kind == frames.STDOUT:
                    out += payload
                elif kind == frames.STDERR:
                    err += payload
                elif kind == frames.VALUE:
                    value = json.loads(payload)
                    values.append(value.get("mime", value.get("error")))
                    if value["end"] and value["id"] == self.number:
                        return Heard(out.decode(), err.decode(), values, ended=True)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.requests)
        os.close(self.replies)


@dataclass
class Result:
    """One run's envelope and streams."""

    envelope: dict[str, Any]
    stdout: str
    stderr: str

    def __getattr__(self, name: str) -> Any:
        try:
            return self.envelope[name]
        except KeyError:
            return None

    @property
    def text(self) -> str | None:
        value = self.envelope.get("value")
        return None if value is None else value["text"]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.envelope.get("error") or {}
        return error


@dataclass
class Session:
    """A kernel with the runtime in it."""

    kernel: Kernel
    data: Path
    cell: int = 0
    requests: int = 0
    seen: list[str] = field(default_factory=list)

    def call(self, request: dict[str, Any], *, wait: float = 20) -> Result:
        """Make a call and read its envelope."""
        first = self.requests == 0
        self.requests += 1
        code = runtime_calls.first_code("boot-1", request) if first else runtime_calls.later_code(request)
        heard = self.kernel.execute(code, wait)
        printed = runtime_calls.without_sign(heard.stdout, request["mark"])
        before, mark, envelope = printed.rpartition("\n" + request["mark"])
        assert mark, f"no envelope: {str(heard)[-2000:]}"
        assert envelope.endswith("\n")
        assert heard.ended
        assert heard.values[-1] == {"text/plain": "undefined"}
        return Result(json.loads(envelope.partition("\n")[0]), before, heard.stderr)

    def request(self, code: str, **details: Any) -> dict[str, Any]:
        """Word a run; `last` is the expression that the text ends with, whose value is wanted."""
        self.cell += 1
        edits: list[Edit] = list(details.pop("edits", ()))
        limit, run_id = details.pop("limit", 10), details.pop("run_id", f"run-{self.cell}")
        last = details.pop("last", None)
        if last is not None:
            start = utf16(code[: code.rindex(last)])
            before, after = ("return {$last:(", ")}") if details.get("module") else ("return (", ")")
            edits += [Edit(start, start, before), Edit(start + utf16(last), start + utf16(last), after)]
        if details.pop("module", False):
            details |= {"is_async": True, "is_strict": True, "is_module": True}
        imports = tuple(Import(*each) for each in details.pop("imports", ()))
        prepared = Prepared(code, edits=tuple(sorted(edits, key=lambda e: e.start)), imports=imports, **details)
        return runtime_calls.run_request(
            prepared, mark=f"mark-{self.requests}-", run_id=run_id, cell=self.cell, limit=limit, seen=self.seen
        )

    def run(self, code: str, *, wait: float = 20, **details: Any) -> Result:
        """Run a text, and check what holds for every run."""
        result = self.call(self.request(code, **details), wait=wait)
        assert result.v == 1
        assert result.boot == "boot-1"
        if result.state == "done":
            assert result.out == len(result.stdout.encode())
            assert result.err == len(result.stderr.encode())
        return result

    def value(self, code: str, **details: Any) -> str | None:
        """Run an expression and give its value's text."""
        result = self.run(code, last=code, **details)
        assert result.end == "ok", result
        return result.text

    def ask(self, run_id: str, wait: float = 5) -> Result:
        return self.call(runtime_calls.ask_request(mark=f"mark-{self.requests}-", run_id=run_id, wait=wait))

    def fetch(self, run_id: str) -> Result:
        return self.call(runtime_calls.fetch_request(mark=f"mark-{self.requests}-", run_id=run_id))


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@contextlib.contextmanager
def closing_kernel(kernel: Kernel) -> Any:
    try:
        yield kernel
    finally:
        kernel.close()
