"""A process in a network of its own, as the launcher makes it, and the relay that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aca_node_interpreter.local import isolation
from aca_node_interpreter.local.egress import MAX_CONNECTIONS, Relay
from aca_node_interpreter.local.egress_policy import Policy

NOBODY = 65534

# Becomes the user without another exec, as an interpreter in somebody's home may not be executable for others.
_MAKE_NETWORK = f"""
import ctypes, os, socket, sys
channel, user, ports, change, *command = sys.argv[1:]
sys.path.insert(0, {str(Path(isolation.__path__[0]))!r})
import network
exec(change)
if user := int(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    PR_SET_DUMPABLE = 4
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
try:
    sockets = network.make_network([int(port) for port in ports.split(",")])
except OSError as error:
    sys.exit(str(error))
with socket.socket(fileno=int(channel)) as pool:
    socket.send_fds(pool, [b"-"], [each.fileno() for each in sockets])
os.execvp(command[0], command)
"""


@dataclass(frozen=True)
class As:
    """Who makes the network: a user, `0` for the one who runs the tests, with fewer rights if `prefix` takes some."""

    name: str
    user: int = 0
    prefix: tuple[str, ...] = ()


OURSELVES = As("ourselves")
EVERYONE = [OURSELVES]
if os.getuid() == 0:
    EVERYONE += [
        As("ordinary user", user=NOBODY),
        As("root without CAP_SYS_ADMIN", prefix=("setpriv", "--bounding-set=-sys_admin")),
        As("root without CAP_NET_ADMIN", prefix=("setpriv", "--bounding-set=-net_admin")),
    ]


@dataclass
class Session:
    """A running process in a network of its own."""

    process: asyncio.subprocess.Process
    relay: Relay

    async def output(self) -> str:
        """Wait for the end, which must be a good one, and give what was written."""
        output, errors = await asyncio.wait_for(self.process.communicate(), 30)
        assert self.process.returncode == 0, errors.decode()
        return output.decode()


class NetworkDeniedError(Exception):
    """The process could not make its network; the text is what it said."""


@contextlib.asynccontextmanager
async def session(
    policy: Policy,
    *command: str | Path,
    run_as: As = OURSELVES,
    change: str = "",
    environment: dict[str, str] | None = None,
    max_connections: int = MAX_CONNECTIONS,
) -> AsyncIterator[Session]:
    """Start a command in a network of its own; `change` is Python that is run before the network is made."""
    channel, childs = socket.socketpair()
    ports = ",".join(map(str, policy.tcp_ports))
    interpreter: Sequence[str] = (*run_as.prefix, sys.executable, "-I", "-S", "-c", _MAKE_NETWORK)
    process = await asyncio.create_subprocess_exec(
        *interpreter,
        *(str(childs.fileno()), str(run_as.user), ports, change),
        *map(str, command),
        pass_fds=[childs.fileno()],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **(environment or {})},
    )
    childs.close()
    with channel:
        _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, channel, 1, len(policy.tcp_ports) + 1)
    if not descriptors:
        _, errors = await process.communicate()
        raise NetworkDeniedError(errors.decode().strip())
    relay = Relay([socket.socket(fileno=each) for each in descriptors], policy, max_connections=max_connections)
    try:
        yield Session(process, relay)
    finally:
        await relay.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
