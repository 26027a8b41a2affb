"""A network namespace of a session's own, in which every address leads to sockets that the pool listens on.

Called between fork and exec, in a process with one thread. The namespace has only `lo`, and routes that make every IPv4
and IPv6 address its own, so a connection to any address ends at the listener of its port, and that listener knows
which address was wanted: `getsockname()` of what it accepts. A socket stays in the namespace that it was made in, so
the pool, in the host's network, accepts on sockets that were handed to it, and decides what to connect
(`aca_node_interpreter.local.egress`). Nothing has to know a proxy, and the host's abstract Unix sockets are out of
sight.

What does not pass: UDP except to the name server on 127.0.0.1:53, and TCP to ports without a listener; both are refused
at once. ICMP is answered by the namespace itself and says nothing about the world.

No root is needed. What runs in the namespace must hold no capability over it, as after `bwrap --unshare-user`.
Netlink's messages are described in the manual pages netlink(7) and rtnetlink(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator, Sequence

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 0x1, 0x4, 0x400
_RTM_NEWLINK, _RTM_NEWROUTE = 16, 24
_RT_TABLE_LOCAL = 255
_RTPROT_BOOT = 3
_RT_SCOPE_HOST = 254
_RTN_LOCAL = 2
_RTA_OIF = 4
_IFF_UP = 0x1
# The same in every network namespace.
_LOOPBACK_INDEX = 1

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HHI")
_ERROR = struct.Struct("=i")

_BACKLOG = 128


def make_network(tcp_ports: Sequence[int]) -> list[socket.socket]:
    """Move this process into a new network namespace and listen there on all addresses.

    Returns:
        The name server's UDP socket on 127.0.0.1:53, then a TCP listener for each of `tcp_ports`, for IPv4 and IPv6 in
        one where the kernel has IPv6.

    Raises:
        OSError: the machine does not allow it; the message says which step failed.
    """
    try:
        return _make_network(_CLONE_NEWNET, tcp_ports)
    except PermissionError:
        # Root in a container may lack one of the rights, others have none; in a user namespace of its own it has all.
        return _make_network(_CLONE_NEWNET | _CLONE_NEWUSER, tcp_ports)


def _make_network(namespaces: int, tcp_ports: Sequence[int]) -> list[socket.socket]:
    user, group = os.geteuid(), os.getegid()
    with _step("make a network namespace"):
        _unshare(namespaces)
    if namespaces & _CLONE_NEWUSER:
        with _step("map the user in a user namespace"):
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{user} {user} 1")
            _write("/proc/self/gid_map", f"{group} {group} 1")
    with _step("bring up the loopback interface"):
        _ask(_RTM_NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, _LOOPBACK_INDEX, _IFF_UP, _IFF_UP))
    ipv6 = _has_ipv6()
    with _step("route every address to the loopback interface"):
        _route_everything(socket.AF_INET)
        if ipv6:
            _route_everything(socket.AF_INET6)
    with _step("listen for names"):
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 53))
    sockets = [names]
    for port in tcp_ports:
        with _step(f"listen on port {port}"):
            sockets.append(_listen(port, ipv6=ipv6))
    return sockets


@contextlib.contextmanager
def _step(words: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"can't {words}: {error.strerror}") from error


def _unshare(namespaces: int) -> None:
    # os.unshare is newer than Python 3.10.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(namespaces):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _write(path: str, text: str) -> None:
    # Not pathlib: the launcher would start more slowly for it.
    with open(path, "wb") as file:
        file.write(text.encode())


def _has_ipv6() -> bool:
    # Empty or missing where the kernel has no IPv6 or it is switched off: otherwise `lo` has its address.
    with contextlib.suppress(OSError), open("/proc/self/net/if_inet6", "rb") as addresses:
        return bool(addresses.read())
    return False


def _route_everything(family: socket.AddressFamily) -> None:
    """Add the route `local default dev lo table local`."""
    route = _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
    _ask(_RTM_NEWROUTE, route + _ATTRIBUTE.pack(_ATTRIBUTE.size, _RTA_OIF, _LOOPBACK_INDEX))


def _ask(kind: int, body: bytes) -> None:
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        (error,) = _ERROR.unpack_from(netlink.recv(4096), _HEADER.size)
    if error:
        raise OSError(-error, os.strerror(-error))


def _listen(port: int, *, ipv6: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    if ipv6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("", port))
    listener.listen(_BACKLOG)
    return listener
