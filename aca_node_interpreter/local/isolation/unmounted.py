"""The levels that can mount nothing: Landlock with a system-call filter, macOS's sandbox, and no isolation at all.

`/mnt/data` is then a mapping inside Node.js's own modules (`data_directory.js`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

from aca_node_interpreter.local.launching import Launch

from . import landlock, seatbelt, seccomp
from .host import KERNEL, Egress, Host

_DATA_SHIM = KERNEL.with_name("data_directory.js")


class Unmounted:
    """Sessions that see the host's own file system, as much of it as Landlock lets them, or all of it."""

    def __init__(self, host: Host, name: Literal["landlock", "sandbox-exec", "none"]) -> None:
        self.name = name
        self._host = host
        self._support = host.support / "unmounted"
        self._filter = self._support / "filter.bpf"
        self._has_network = host.egress == "host"

    @property
    def egress(self) -> Egress:
        """What sessions reach of the network: all of it where nothing holds them."""
        return "host" if self.name == "none" else self._host.egress

    def prepare(self) -> None:
        """Write what the sessions share; to be called once."""
        if self._support.exists():
            return
        self._host.write_commands(self._support / "bin", str)
        if self.name == "landlock":
            program = seccomp.build_filter(sockets=self._has_network, ownership=os.getuid() != 0, scheduling=False)
            self._filter.write_bytes(program)

    def launch(self, session: Path) -> Launch:
        """Word the start of the session that owns the directory `session`."""
        own = {name: session / name for name in ("data", "home", "tmp")}
        restricted = self.name == "landlock"
        command = [str(self._host.node.executable), *self._host.kernel_arguments(str(KERNEL))]
        if self.name == "sandbox-exec":
            writable = [str(path.resolve()) for path in own.values()]
            profile = seatbelt.write_profile(self._own_files(), writable, network=self._has_network)
            command = [seatbelt.PROGRAM, "-p", profile, *command]
        return Launch(
            command=command,
            environment={
                **self._host.variables(
                    commands=str(self._support / "bin"),
                    home=str(own["home"]),
                    temporary=str(own["tmp"]),
                    certificates=str(self._host.certificates or ""),
                ),
                # Child processes that run Node.js see /mnt/data too.
                "NODE_OPTIONS": f"--require {json.dumps(str(_DATA_SHIM))}",
                "ACA_NODE_DATA": str(own["data"]),
                # git gives up where it may not read the system's settings.
                **({"GIT_CONFIG_NOSYSTEM": "1"} if restricted else {}),
            },
            directory=str(own["data"]),
            limits=self._host.limits.rlimits(),
            filter=str(self._filter) if restricted else None,
            readable=[*landlock.SYSTEM_READ, *self._own_files()] if restricted else None,
            tcp=self._has_network,
            writable=[*landlock.DEVICES, *map(str, own.values())],
        )

    def _own_files(self) -> list[str]:
        node = self._host.node
        own = [self._support / "bin", KERNEL, _DATA_SHIM, node.executable, *node.executable.parent.glob("lib*.so*")]
        return [*map(str, own), *([str(self._host.npm_directory)] if self._host.npm_directory else [])]
