"""Where the pool listens: a port of loopback, or a Unix socket that only this user may connect to."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.temporary import locked

_MAX_PATH_BYTES = 107
_QUEUE = 128


def listen_on(port: int, undo: contextlib.ExitStack) -> socket.socket:
    """Listen on a port of loopback, a free one if 0, until `undo`.

    Raises:
        LocalPoolError: it is taken.
    """
    # With the protocol named, asyncio switches Nagle's algorithm off, which costs 40 ms an answer.
    listener = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_QUEUE)
    except OSError as error:
        raise LocalPoolError(f"The embedded pool can't listen on port {port}: {error.strerror}.") from error
    return listener


def listen_at(path: Path, undo: contextlib.ExitStack) -> socket.socket:
    """Listen on a Unix socket at `path`; `undo` removes it, unless something else is there by then.

    Raises:
        LocalPoolError: that can't be; the message says what to do.
    """
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise _refusal(path, f"a socket's path has at most {_MAX_PATH_BYTES} bytes; choose a shorter one")
    if not path.parent.is_dir():
        raise _refusal(path, "its directory does not exist; make it first, for nobody but you")
    try:
        # Pools that start at the same time must not take each other's new socket for an abandoned one.
        with locked(path.parent, wait=True):
            _remove_abandoned(path)
            listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(os.fspath(path))
            undo.callback(_remove, path, path.lstat())
            # Whatever the mode was, nobody could connect yet.
            path.chmod(0o600)
            listener.listen(_QUEUE)
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error
    # The server closes what it gets; ours keeps the file, and other pools off it, until it is removed.
    return undo.enter_context(listener.dup())


def _remove_abandoned(path: Path) -> None:
    """Remove the socket of a pool that was killed, and nothing else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise _refusal(path, "something else is there; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass  # somebody has it, whose queue may be full, or who speaks otherwise
    raise _refusal(path, "another pool or program listens there; stop it, or choose another path")


def _remove(path: Path, ours: os.stat_result) -> None:
    with contextlib.suppress(OSError):
        if os.path.samestat(path.lstat(), ours):
            path.unlink()


def _refusal(path: Path, why: str) -> LocalPoolError:
    return LocalPoolError(f"The embedded pool can't listen at {path}: {why}.")
