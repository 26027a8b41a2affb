"""What of this machine the sessions of one pool use, and what they find in their environment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aca_node_interpreter.local.egress_policy import Policy
from aca_node_interpreter.local.host_network import HostNetwork
from aca_node_interpreter.local.node import Node

from .launcher import REPLY_FD, REQUEST_FD
from .limits import Limits

KERNEL = Path(__file__).parents[1] / "kernel.js"

Egress = Literal["off", "filtered", "host"]
"""No network at all; the outside without the host's own and private networks; all that the host itself reaches."""


@dataclass(frozen=True)
class Host:
    """The machine as one pool uses it. `support` is a directory of the pool's own for what its sessions share."""

    node: Node
    support: Path
    network: HostNetwork
    egress: Egress
    policy: Policy
    limits: Limits

    @property
    def certificates(self) -> Path | None:
        """A file with extra certificate authorities that sessions shall trust."""
        return self.network.certificates if self.egress != "off" else None

    def variables(self, *, commands: str, home: str, temporary: str, certificates: str) -> dict[str, str]:
        """Word a session's environment, given where the session has these."""
        variables = {
            "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": temporary,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "npm_config_cache": f"{home}/.npm",
            "npm_config_update_notifier": "false",
        }
        if self.egress == "off":
            return {**variables, "npm_config_fetch_retries": "0"}
        if self.certificates is not None:
            variables |= dict.fromkeys(("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "npm_config_cafile"), certificates)
        return {**variables, **self.network.variables}

    def kernel_arguments(self, kernel: str) -> list[str]:
        """Word the arguments of Node.js, given where the session has the kernel's source."""
        # Evaluated, not required: only so are `require`, `module` and the built-in modules globals, and the stack
        # traces name no path of this machine.
        source = (
            f'require("vm").runInThisContext(require("fs").readFileSync({json.dumps(kernel)}, "utf8"), '
            f'{{ filename: "[eval]" }})(require, {REQUEST_FD}, {REPLY_FD})'
        )
        # The heap is not all that Node.js needs; below the limit it collects its garbage in time.
        heap = self.limits.memory * 3 // 4 >> 20
        return [f"--max-old-space-size={heap}", "--v8-pool-size=1", "--eval", source]

    def write_commands(self, folder: Path, place: Callable[[Path], str]) -> None:
        """Write the commands `node`, `npm` and `npx`; `place` says where a session has a file of this machine."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "node").symlink_to(place(self.node.executable))
        if self.node.npm_cli is None:
            return
        # Not npm's own: those of the wheel look for their modules in the wrong folder.
        for name in ("npm", "npx"):
            script = self.node.npm_cli.with_name(f"{name}-cli.js")
            file = folder / name
            line = f'exec {shlex.quote(place(self.node.executable))} {shlex.quote(place(script))} "$@"'
            file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            file.chmod(0o755)

    @property
    def npm_directory(self) -> Path | None:
        """Npm's own folder."""
        return self.node.npm_cli.parents[1] if self.node.npm_cli is not None else None
