"""Genuine nel 1.3.0, which the hosted kernel is made of, behind the embedded pool's REST calls and sandbox.

All but the kernel is the embedded pool: nel_kernel.js takes kernel.js's place in a session and hands the code to nel,
in a process as nel starts it, with the session's own `/mnt/data`. IJavascript's part, that `undefined` is hidden, is
the pool's as well.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aca_node_interpreter.local.isolation.host import Egress, Host
from aca_node_interpreter.local.isolation.levels import Level
from aca_node_interpreter.local.launching import Launch
from aca_node_interpreter.local.node import Node
from aca_node_interpreter.local.pool import SessionPool
from tests.engine import Engine

NEL = "nel@1.3.0"
KERNEL = Path(__file__).with_name("nel_kernel.js")


class NelPool(Engine):
    """A pool whose sessions run nel: start it with `with`, then use `endpoint` and `token`.

    Args:
        nel: the folder of nel.
        node: the Node.js of the sessions; unlike the embedded kernel's it may be older than 20.
        cut: bytes that each stream of a run is cut at, silently, whatever the request asks for.
        loses_last_line: whether the last line of each run's stdout is lost.
        options: the embedded pool's.
    """

    name = "nel"

    def __init__(
        self,
        nel: Path,
        *,
        node: Path | None = None,
        cut: int | None = None,
        loses_last_line: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._nel = nel
        self._node = node
        self._losses = {"cut": cut, "last_line": loses_last_line}

    def _look_around(self, support: Path) -> Host:
        host = super()._look_around(support)
        if self._node is None:
            return host
        answer = subprocess.run([self._node, "--version"], capture_output=True, text=True, check=True)
        return replace(host, node=Node(self._node.resolve(), answer.stdout.strip(" v\n"), host.node.npm_cli))

    def _make_sessions(self, running: Any, directory: Path) -> SessionPool:
        running.level = _NelLevel(running.level, self._nel, self._losses)
        return super()._make_sessions(running, directory)


@dataclass(frozen=True)
class _NelLevel:
    """A level of isolation in which nel runs instead of the embedded kernel."""

    level: Level
    nel: Path
    losses: Mapping[str, object]

    @property
    def name(self) -> str:
        return self.level.name

    @property
    def egress(self) -> Egress:
        return self.level.egress

    def prepare(self) -> None:
        self.level.prepare()

    def launch(self, session: Path) -> Launch:
        launch = self.level.launch(session)
        files = {"/opt/nel/kernel.js": KERNEL, "/opt/nel/nel": self.nel}
        mounts: list[str] = []
        for inside, path in files.items():
            mounts += ["--ro-bind", str(path), inside]
        isolated = self.name == "bubblewrap"
        node = launch.command[: launch.command.index("--eval")]
        return replace(
            launch,
            command=[*node, *(files if isolated else map(str, files.values())), json.dumps(self.losses)],
            arguments=[*(mounts if isolated else ()), *launch.arguments],
        )
