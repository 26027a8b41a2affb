"""`LocalPool`: the embedded session pool as one object, running in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib.util
import os
import secrets
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.secrecy import StaysHere
from aca_node_interpreter.temporary import make_temporary_directory

from .behaviour import Behaviour
from .egress_policy import WEB_PORTS, Allowed, Policy
from .faults import Fault
from .host_network import npmrc_files, read_host_network
from .isolation.host import Egress, Host
from .isolation.levels import Isolation, Level, choose, wanted_levels
from .isolation.limits import Limits
from .kernel import Kernel
from .launching import Launcher
from .listening import listen_at, listen_on
from .node import INSTALL_HINT, find_node
from .planned_faults import PlannedFaults
from .session import make_directories

if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812

    from typing_extensions import Self

    from .pool import SessionPool

_STOP_SECONDS = 30.0
_GRACE_SECONDS = 0.5


class LocalPool(StaysHere):
    """A session pool on this machine: start it with `with` or `async with`, then use `endpoint` and `token`.

    Args:
        egress: let sessions reach the outside, but neither this machine nor private networks; `"host"` gives them all
            that this machine itself reaches, its loopback included.
        egress_allow: networks of the inside that egress reaches all the same, such as `10.1.0.0/16` or `10.1.2.3:5432`.
        egress_ports: TCP ports of the outside that egress reaches.
        isolation: `auto` is the strongest level that works here and not below `least_isolation`; `none` runs code with
            all rights of this process, on purpose only.
        least_isolation: what `auto` must not go below: `bubblewrap`, `landlock` or `none`.
        limits: what a session may use of memory, processes, disk and more.
        max_sessions: identifiers that may have a session at the same time.
        ready_sessions: started sessions that wait for an identifier.
        cooldown: seconds after which an idle session ends.
        port: of loopback; 0 takes a free one.
        socket: listen on a Unix socket at this path instead, to which only this user can connect.
        behaviour: how to answer where the hosted service is unknown.
        faults: what goes wrong on purpose, see `aca_node_interpreter.local.faults`.
        node: a Node.js to use instead of the one found.
        token: instead of a random one.

    Attributes:
        token: what lets a caller in.
        faults: the faults, which may be added to and cleared while the pool runs, and which ones calls have met.
    """

    def __init__(
        self,
        *,
        egress: bool | Literal["host"] = False,
        isolation: Isolation | Literal["auto"] = "auto",
        least_isolation: Isolation = "landlock",
        egress_allow: Sequence[str] = (),
        egress_ports: Sequence[int] = WEB_PORTS,
        limits: Limits | None = None,
        max_sessions: int = 64,
        ready_sessions: int = 1,
        cooldown: float = 300.0,
        port: int = 0,
        socket: str | os.PathLike[str] | None = None,
        behaviour: Behaviour | None = None,
        faults: Iterable[Fault] = (),
        node: str | None = None,
        token: str | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise LocalPoolError("The embedded pool is not available on Windows yet.")
        for package in ("starlette", "uvicorn", "httptools", "python_multipart"):
            if importlib.util.find_spec(package) is None:
                raise LocalPoolError(f"The embedded pool needs {package}: run {INSTALL_HINT}.")
        if egress not in (True, False, "host"):
            raise LocalPoolError(f"There is no egress {egress!r}: use True, False or 'host'.")
        if port and socket is not None:
            raise LocalPoolError("The embedded pool listens on a port or on a socket: pass only one of them.")
        self.token = token or secrets.token_urlsafe(32)
        self.faults = PlannedFaults(faults)
        self._egress: Egress = "host" if egress == "host" else "filtered" if egress else "off"
        self._levels = wanted_levels(isolation, least_isolation)
        self._limits = limits or Limits()
        self._ports = tuple(egress_ports)
        try:
            self._allow = tuple(map(Allowed.parse, egress_allow))
        except ValueError as error:
            raise LocalPoolError(str(error)) from None
        self._max_sessions = max_sessions
        self._ready_sessions = min(ready_sessions, max_sessions)
        self._cooldown = cooldown
        self._port = port
        self._socket = None if socket is None else Path(socket).absolute()
        self._behaviour = behaviour or Behaviour()
        self._wanted_node = node
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._process = os.getpid()

    @property
    def endpoint(self) -> str:
        """Where the pool answers, such as `http://127.0.0.1:40123` or `unix:///run/user/1000/aca.sock`."""
        return self._started.endpoint

    @property
    def token_file(self) -> Path:
        """A file with the token that only this user can read; it ends with the pool."""
        return self._started.token_file

    @property
    def inspector(self) -> str:
        """The address of the page that shows sessions, runs and files; it has the token in it.

        Raises:
            LocalPoolError: the pool listens on a Unix socket, which no browser opens.
        """
        if self._socket is not None:
            raise LocalPoolError("The inspector page needs a port: no browser opens a Unix socket.")
        return f"{self.endpoint}/#token={quote(self.token, safe='')}"

    @property
    def isolation(self) -> str:
        """The level of isolation in force: `bubblewrap`, `landlock` or `none`."""
        return self._started.level.name

    @property
    def egress(self) -> Egress:
        """What sessions reach of the network: `off`, `filtered` or `host`; without isolation always `host`."""
        return self._started.level.egress

    @property
    def node_version(self) -> str:
        """The version of Node.js that the sessions run."""
        return self._started.host.node.version

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise LocalPoolError("The pool is not running: use it in a `with` block or call start().")
        return self._running

    def start(self) -> None:
        """Start the pool; it is ready when this returns. Harmless when it runs.

        Raises:
            LocalPoolError: it can't run on this machine; the message says what is missing.
        """
        with self._lock:
            if self._running is not None:
                return
            with contextlib.ExitStack() as undo:
                directory = make_temporary_directory("aca-node-pool-", undo)
                token_file = _write_token(directory, self.token)
                launcher = Launcher(directory)
                launcher.start()
                undo.callback(launcher.close)
                host = self._look_around(directory / "support")
                if self._socket is None:
                    listener = listen_on(self._port, undo)
                    endpoint = url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                else:
                    listener = listen_at(self._socket, undo)
                    endpoint, url = f"unix://{quote(os.fsencode(self._socket))}", "http://localhost"
                running = _Running(endpoint, url, token_file, host, launcher)
                ready: concurrent.futures.Future[None] = concurrent.futures.Future()
                # Not a reason to keep the interpreter alive: `atexit` stops it, and that comes after the other threads.
                thread = threading.Thread(
                    target=self._serve, args=(running, directory, listener, ready), name="aca-node-pool", daemon=True
                )
                thread.start()
                undo.callback(thread.join, _STOP_SECONDS)
                undo.callback(running.request_stop)
                try:
                    ready.result()
                except LocalPoolError:
                    raise
                except Exception as error:
                    raise LocalPoolError(f"The embedded pool can't start: {error}") from error
                running.undo = undo.pop_all()
                self._running = running
                self._process = os.getpid()
                atexit.register(self.stop)

    def stop(self) -> None:
        """End all sessions and remove everything they left. Harmless when the pool is stopped."""
        if self._process != os.getpid():
            return  # a forked child must not end what its parent uses
        with self._lock:
            running, self._running = self._running, None
            if running is None:
                return
            atexit.unregister(self.stop)
            running.undo.close()

    def __enter__(self) -> Self:
        """Start the pool."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the pool."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start the pool without blocking the caller's event loop."""
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the pool without blocking the caller's event loop."""
        await asyncio.to_thread(self.stop)

    def _look_around(self, support: Path) -> Host:
        node = find_node(self._wanted_node)
        network = read_host_network(os.environ, npmrc_files(node.npm_cli))
        policy = Policy(allow=self._allow, services=network.services, ports=self._ports)
        return Host(node, support, network, self._egress, policy, self._limits)

    def _serve(
        self,
        running: _Running,
        directory: Path,
        listener: Socket,
        ready: concurrent.futures.Future[None],
    ) -> None:
        try:
            asyncio.run(self._serve_until_stopped(running, directory, listener, ready))
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)

    async def _serve_until_stopped(
        self,
        running: _Running,
        directory: Path,
        listener: Socket,
        ready: concurrent.futures.Future[None],
    ) -> None:
        import uvicorn

        from .app import PoolApp
        from .http_protocol import BoundedProtocol

        running.attach(asyncio.get_running_loop())
        running.level = await self._choose_level(running, directory / "probe")
        pool = self._make_sessions(running, directory)
        app = PoolApp(pool, token=self.token, endpoint=running.url, faults=self.faults, stopping=running.stopping)
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        try:
            await pool.start()
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            # The socket listens already; what connects before the server does waits in its queue.
            ready.set_result(None)
            await running.stopping.wait()
        finally:
            await pool.close()
        server.should_exit = True
        await asyncio.wait([serving], timeout=_GRACE_SECONDS)
        # Whoever still sends or does not read gets no more answer.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await serving

    def _make_sessions(self, running: _Running, directory: Path) -> SessionPool:
        from .pool import SessionPool

        return SessionPool(
            running.level,
            running.host,
            running.launcher,
            directory,
            max_sessions=self._max_sessions,
            ready_sessions=self._ready_sessions,
            cooldown=self._cooldown,
            behaviour=self._behaviour,
        )

    async def _choose_level(self, running: _Running, directory: Path) -> Level:
        make_directories(directory)

        async def attempt(level: Level) -> None:
            kernel = await Kernel.start(level.launch(directory), running.launcher)
            kernel.kill()
            await kernel.gone()
            kernel.process.close_network()

        return await choose(self._levels, running.host, attempt)


class _Running:
    """What exists only while the pool runs."""

    level: Level

    def __init__(self, endpoint: str, url: str, token_file: Path, host: Host, launcher: Launcher) -> None:
        self.endpoint = endpoint
        self.url = url
        self.token_file = token_file
        self.host = host
        self.launcher = launcher
        self.stopping = asyncio.Event()
        self.undo = contextlib.ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wants_stop = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that serves, from its own thread."""
        self._loop = loop
        self.launcher.attach()
        if self._wants_stop:
            self.stopping.set()

    def request_stop(self) -> None:
        """Ask the serving thread to end, from any thread and at any time."""
        self._wants_stop = True
        # A RuntimeError says that the loop has ended by itself.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.stopping.set)


def _write_token(directory: Path, token: str) -> Path:
    file = directory / "token"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(token)
    return file
