"""Restrict the calling process with Landlock, for machines where bubblewrap gets no namespaces. Linux only.

Landlock needs no privilege and can't be undone; what a process starts inherits it. What it stops grew with the ABI that
the kernel reports, see `protections`:

- 1 (Linux 5.13): opening, listing, making, removing and running files outside the given paths; mounts; reading the
  memory and the environment of processes outside (`ptrace` and what of /proc asks for its right).
- 2 (5.19): moving a file to another directory becomes possible; before, it fails with EXDEV everywhere.
- 3 (6.2): truncating files outside. 4 (6.7): TCP. 5 (6.10): ioctls of devices.
- 6 (6.12): abstract Unix sockets and signals to processes outside.

Never stopped, and for others to stop:

- Seeing that a file exists and how big it is; changing the mode, owner and times of files that the user owns. Root owns
  most: better not to be root.
- Unix sockets that have a path, UDP, MPTCP, and (seen on 6.18) TCP that connects by sending, with MSG_FASTOPEN. Where
  there shall be no network, the system-call filter without sockets belongs to it.
- Processes that outlive the session.
- Scheduling of other processes; and what root's capabilities allow without opening a file, so they are given up.

Source: linux/landlock.h and https://docs.kernel.org/userspace-api/landlock.html; the numbers hold on all machines.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SYSTEM_READ = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    # Not all of /etc: passwords and root's private keys lie there.
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/dev/random",
    "/dev/urandom",
    # Not all of /proc, which shows the command lines of the host, nor of /proc/self, which shows its connections (net).
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self/fd",
    "/proc/self/limits",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
    "/proc/stat",
    "/proc/uptime",
)
"""What Node.js, npm and ordinary child processes read; the folders of Node.js and npm outside of /usr come on top.

git wants `GIT_CONFIG_NOSYSTEM=1` beside it: it fails where it may not read an /etc/gitconfig, which can hold secrets.
"""

DEVICES = ("/dev/full", "/dev/null", "/dev/zero")
"""What they write besides the session's own directories."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FILES = ((1, (1 << 13) - 1), (2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
"""ABI, and the rights on files that it brought."""
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _EXECUTE | _READ_FILE | _READ_DIR

_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_UNIX_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1 << 0
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def abi() -> int:
    """Give the version of Landlock that this kernel speaks: 0 if it has none, or it was turned off."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def protections(abi: int) -> dict[str, bool]:
    """Tell what `restrict` stops with an ABI, and what it does not, in words for people."""
    return {
        "reading, writing and running files outside": abi >= 1,
        "memory and environment of other processes": abi >= 1,
        "truncating files outside": abi >= 3,
        "TCP connections and servers": abi >= 4,
        "ioctls of devices": abi >= 5,
        "abstract Unix sockets": abi >= 6,
        "signals to other processes": abi >= 6,
        "names, sizes and times of files outside": False,
        "mode, owner and times of files of the same user": False,
        "Unix sockets with a path": False,
        "UDP, MPTCP and TCP fast open": False,
    }


def restrict(read: Iterable[str], write: Iterable[str], *, tcp: bool = False) -> None:
    """Restrict the calling thread, and all that it starts from now on, for good; root gives up its capabilities.

    Args:
        read: files and directories to read and execute, with all below them.
        write: files and directories where everything is allowed but making devices and ioctls on them.
        tcp: leave TCP open, which only ABI 4 and later can close.

    Paths that do not exist are skipped. `/proc/self` means the calling process, also after `execve`, but not its
    children: in these, `process.memoryUsage()` fails.

    Raises:
        OSError: the kernel has no Landlock, or a path can't be reached.
    """
    version = abi()
    if version == 0:
        raise OSError(errno.EOPNOTSUPP, "This kernel has no Landlock, or it is turned off.")
    files = sum(rights for since, rights in _FILES if version >= since)
    network = _BIND_TCP | _CONNECT_TCP if version >= 4 and not tcp else 0
    scopes = _ABSTRACT_UNIX_SOCKETS | _SIGNALS if version >= 6 else 0
    attributes = struct.pack("=QQQ", files, network, scopes)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for paths, rights in ((read, _READ), (write, files & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV))):
            for path in paths:
                _allow(ruleset, path, rights)
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
        _checked(prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    _give_up_capabilities()


def _give_up_capabilities() -> None:
    """Leave root the rights of an owner: others reach the host past any path, by freezing a file system for example.

    No new privileges means that no program brings them back, not even for root.
    """
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    capset = ctypes.CDLL(None, use_errno=True).capset
    _checked(capset(header, bytes(24)))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_A_FILE
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    words = (ctypes.c_long(it) if isinstance(it, int) else ctypes.c_char_p(it) for it in arguments)
    return _checked(syscall(ctypes.c_long(number), *words))


def _checked(answer: int) -> int:
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"The kernel refused the Landlock restriction: {os.strerror(error)}")
    return answer
