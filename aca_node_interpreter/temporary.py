"""Temporary directories: made, locked while their owner lives, removed with all that is in them.

An owner that is killed can't do the last; the next one finds the lock free and does it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def make_temporary_directory(prefix: str, undo: contextlib.ExitStack) -> Path:
    """Make a directory whose name begins so, removed by `undo`; remove those whose owners were killed."""
    if sys.platform == "win32":
        # There, no directory can be locked.
        directory = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        undo.callback(remove_tree, directory)
        return directory
    parent = Path(tempfile.gettempdir())
    for abandoned in parent.glob(f"{prefix}*"):
        _remove_abandoned(abandoned)
    # It gets its name when it is locked: another owner that begins now would take it for an abandoned one.
    unlocked = Path(tempfile.mkdtemp(prefix=".aca-node-new-")).resolve()
    directory = unlocked.with_name(unlocked.name.replace(".aca-node-new-", prefix))
    undo.callback(remove_tree, directory)
    undo.enter_context(locked(unlocked))
    return unlocked.rename(directory)


@contextlib.contextmanager
def locked(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a directory.

    Raises:
        OSError: there is no such directory, or its lock is held and it's not for `wait`.
    """
    # Not on Windows, where this module must still be importable to say so.
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    with contextlib.suppress(OSError):
        if directory.lstat().st_uid == os.getuid() and not directory.is_symlink():
            # That of a living owner is held.
            with locked(directory):
                remove_tree(directory)


def remove_tree(directory: Path) -> None:
    """Remove a directory, also where a session took away its own rights to it or nested folders without end.

    `rm` and `chmod` walk such a tree with a few descriptors; Python's own functions open one for each level.
    """
    with contextlib.suppress(OSError):
        directory.rmdir()
        return
    if shutil.which("rm") is None:
        shutil.rmtree(directory, ignore_errors=True)
        return
    _call("rm", "-rf", directory)
    if directory.exists():
        _call("chmod", "-R", "u+rwx", directory)
        _call("rm", "-rf", directory)


def _call(*command: str | Path) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
