"""The pool's helper process: it starts sessions' processes, ends them, and outlives the pool to leave nothing behind.

It is small, has one thread and imports little, so that between fork and exec it may do in Python what must be done
there, and a large parent costs nothing. The pool speaks to it through a socket: a message is its length as four bytes
(big-endian) and JSON, file descriptors travel with the length.

    pool to launcher   {"start": ID, ...} with descriptors [requests, replies, errors]    see `launching.Launch`
                       {"kill": ID}
    launcher to pool   {"started": ID, "pid": N} with the sockets of its network, or {"failed": ID, "why": TEXT}
                       {"ended": ID, "out_of_memory": BOOL}

When the pool's process is gone, however it ended, every session ends and the pool's directory is removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NamedTuple, NoReturn

REQUEST_FD = 3
REPLY_FD = 4
_SECCOMP_FD = 5
_ARGUMENTS_FD = 6
_FIRST_FREE_FD = 16

_EMPTYING_MILLISECONDS = 20
_LAST_TRIES = 100
_MAX_DESCRIPTORS = 64
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform == "linux"


def send(connection: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
    """Send one message.

    Raises:
        OSError: the other side is gone.
    """
    payload = json.dumps(message).encode()
    head = len(payload).to_bytes(4, "big")
    if descriptors:
        socket.send_fds(connection, [head], descriptors)
        connection.sendall(payload)
    else:
        connection.sendall(head + payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for one message and its descriptors; `None` says that the other side is gone."""
    try:
        head, descriptors = _receive_some(connection, 4)
        while len(head) < 4:
            more = connection.recv(4 - len(head))
            if not more:
                return None
            head += more
        payload = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        return json.loads(payload), descriptors
    except (OSError, ValueError):
        return None


def _receive_some(connection: socket.socket, most: int) -> tuple[bytes, list[int]]:
    data, descriptors, _, _ = socket.recv_fds(connection, most, _MAX_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors


class _Running(NamedTuple):
    pid: int
    has_init: bool
    groups: list[str]


class _Launcher:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._running: dict[int, _Running] = {}
        self._emptying: list[str] = []

    def serve(self, pool: int) -> None:
        """Do what is asked until the pool is gone."""
        wakeup, waker = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        for descriptor in (self._connection.fileno(), wakeup):
            poll.register(descriptor, select.POLLIN)
        # A fork of the pool's process may hold the socket's other end open when the pool itself is gone.
        with contextlib.suppress(OSError, AttributeError):
            poll.register(os.pidfd_open(pool), select.POLLIN)
        while os.getppid() == pool:
            patience = _EMPTYING_MILLISECONDS if self._emptying else 60_000 if _IS_LINUX else 1_000
            ready = {descriptor for descriptor, _ in poll.poll(patience)}
            self._remove_groups()
            if wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup, 4096)
                self._reap()
            if self._connection.fileno() in ready and not self._answer():
                return

    def end_all(self) -> None:
        """End every session and wait until nothing of it is left."""
        while self._running:
            for running in self._running.values():
                _end(running)
            self._reap(0)
        for _ in range(_LAST_TRIES):
            self._remove_groups()
            if not self._emptying:
                return
            time.sleep(_EMPTYING_MILLISECONDS / 1000)

    def _answer(self) -> bool:
        received = receive(self._connection)
        if received is None:
            return False
        message, descriptors = received
        if "kill" in message:
            if running := self._running.get(message["kill"]):
                _end(running)
            return True
        identity = message["start"]
        groups = [os.path.dirname(file) for file in message["groups"]]
        sockets: list[int] = []
        try:
            pid, sockets = _start(message, descriptors)
            self._running[identity] = _Running(pid, message["has_init"], groups)
            answer: dict[str, Any] = {"started": identity, "pid": pid}
        except OSError as error:
            answer = {"failed": identity, "why": str(error)}
            self._emptying += groups
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._tell(answer, sockets)
        for descriptor in sockets:
            os.close(descriptor)
        return True

    def _reap(self, patience: int = os.WNOHANG) -> None:
        by_pid = {running.pid: identity for identity, running in self._running.items()}
        while True:
            try:
                pid, _status = os.waitpid(-1, patience)
            except ChildProcessError:
                return
            if pid == 0:
                return
            patience = os.WNOHANG
            if pid in by_pid:
                running = self._running.pop(by_pid[pid])
                self._tell({"ended": by_pid[pid], "out_of_memory": _ran_out_of_memory(running.groups)}, [])
                self._emptying += running.groups
                self._remove_groups()

    def _remove_groups(self) -> None:
        """Remove the groups of what has ended; the kernel takes a moment to take the last processes out of them."""
        self._emptying = [group for group in self._emptying if not _removed(group)]

    def _tell(self, message: dict[str, Any], descriptors: list[int]) -> None:
        with contextlib.suppress(OSError):  # the pool is gone, which the loop notices
            send(self._connection, message, descriptors)


def _start(wish: dict[str, Any], descriptors: list[int]) -> tuple[int, list[int]]:
    """Fork, and wait until the child has become what was asked for; gives its pid and the sockets of its network."""
    ours, theirs = socket.socketpair()
    with ours:
        pid = os.fork()
        if pid == 0:
            _become_or_tell(wish, descriptors, theirs)
        theirs.close()
        sockets: list[int] = []
        told = b""
        while True:
            # It closes with the exec.
            chunk, received = _receive_some(ours, 4096)
            sockets += received
            if not chunk:
                break
            told += chunk
    why = told.lstrip(b"\0").decode("utf-8", "replace")
    if why:
        os.waitpid(pid, 0)
        for descriptor in sockets:
            os.close(descriptor)
        raise OSError(why)
    return pid, sockets


def _become_or_tell(wish: dict[str, Any], descriptors: list[int], status: socket.socket) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become(wish, descriptors, status)
    except BaseException as error:
        status.sendall((str(error) or type(error).__name__).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _become(wish: dict[str, Any], descriptors: list[int], status: socket.socket) -> NoReturn:
    for group in wish["groups"]:
        with open(group, "w", encoding="ascii") as file:
            file.write("0")
    if _IS_LINUX and not wish["has_init"]:
        _supervise_child()
    os.setsid()
    if wish["ports"] is not None:
        from . import network

        sockets = network.make_network(wish["ports"])
        socket.send_fds(status, [b"\0"], [listener.fileno() for listener in sockets])
    _limit(wish["limits"])
    if _IS_LINUX:
        # When the machine itself runs out of memory, a session goes first.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
    null = os.open(os.devnull, os.O_RDWR)
    places = dict(zip((0, 1, 2, REQUEST_FD, REPLY_FD), (null, null, descriptors[2], *descriptors[:2])))  # noqa: B905 - of one length
    command = list(wish["command"])
    if wish["arguments"]:
        # Through a pipe, or a process in the sandbox could read the host's paths from its first one's command line.
        reader, writer = os.pipe()
        os.write(writer, b"".join(argument.encode() + b"\0" for argument in wish["arguments"]))
        os.close(writer)
        places[_ARGUMENTS_FD] = reader
        command[1:1] = ["--args", str(_ARGUMENTS_FD)]
    if wish["filter"] is not None and wish["readable"] is None:
        places[_SECCOMP_FD] = os.open(wish["filter"], os.O_RDONLY)
        command[1:1] = ["--seccomp", str(_SECCOMP_FD)]
    if wish["directory"] is not None:
        os.chdir(wish["directory"])
    for place, source in places.items():
        os.dup2(source, place)
    if wish["readable"] is not None:
        from . import landlock, seccomp

        with open(wish["filter"], "rb") as file:
            program = file.read()
        landlock.restrict(wish["readable"], wish["writable"], tcp=wish["tcp"])
        seccomp.load(program)
    executable = command[0]
    if wish["arguments"]:
        command[0] = os.path.basename(executable)
    os.execve(executable, command, wish["environment"])  # noqa: S606 - there is no shell to avoid


def _supervise_child() -> None:
    """Return in a new child; this process stays until the child and all that came of it, daemons too, has ended."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return
    signal.signal(signal.SIGTERM, lambda *_: _kill(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    os.closerange(0, 1024)
    while os.wait()[0] != child:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What lost its parent is ours, level after level.
    with contextlib.suppress(ChildProcessError):
        while True:
            for orphan in _children(os.getpid()):
                _kill(orphan)
            os.wait()
            # All that is dead already: to list thousands again for each one takes seconds.
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
    os._exit(0)


def _limit(limits: list[list[int]]) -> None:
    import resource

    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def _end(running: _Running) -> None:
    """End a session's processes at once."""
    if not running.has_init:
        # On Linux it ends what it supervises; elsewhere it leads a process group.
        with contextlib.suppress(ProcessLookupError):
            if _IS_LINUX:
                os.kill(running.pid, signal.SIGTERM)
            else:
                os.killpg(running.pid, signal.SIGKILL)
        return
    # Ending bubblewrap itself would leave its child, the sandbox's first process, to a signal that can be switched off
    # in there; with the first process every other one ends.
    for pid in _children(running.pid) or [running.pid]:
        _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ran_out_of_memory(groups: list[str]) -> bool:
    for group in groups:
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError), open(os.path.join(group, name), encoding="ascii") as file:
                # Such as `oom_kill 1`.
                if any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file):
                    return True
    return False


def _removed(group: str) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def main(descriptor: int, pool: int, directory: str) -> None:
    """Serve the pool with that pid through a socket; at the end remove its directory."""
    # It came by inheritance, and must go no further.
    os.set_inheritable(descriptor, False)
    # The low numbers stay taken, so that no descriptor has to make room for one that a session gets.
    while os.open(os.devnull, os.O_RDONLY) < _FIRST_FREE_FD:
        pass
    launcher = _Launcher(socket.socket(fileno=descriptor))
    launcher.serve(pool)
    launcher.end_all()
    from pathlib import Path

    from aca_node_interpreter.temporary import remove_tree

    remove_tree(Path(directory))
