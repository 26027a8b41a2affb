"""`LocalPool`: the embedded session pool as one object, running in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import importlib.util
import os
import secrets
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.directories import make_pool_directory
from aca_node_interpreter.local.host_network import npmrc_files, read_host_network
from aca_node_interpreter.local.node import INSTALL_HINT, find_node
from aca_node_interpreter.local.sandbox import Sandbox, choose_bubblewrap, prepare

if TYPE_CHECKING:
    from typing_extensions import Self

_STOP_SECONDS = 30.0


class LocalPool:
    """A session pool on this machine: start it with `with` or `async with`, then use `endpoint` and `token`.

    Args:
        egress: let sessions use the network. They then share the host's, its loopback included.
        isolation: `auto` is bubblewrap or an error; `none` runs code with all rights of this process, on purpose only.
        max_sessions: identifiers that may have a session at the same time.
        ready_sessions: started sessions that wait for an identifier.
        cooldown: seconds after which an idle session ends.
        port: 0 takes a free one.
        value_encoding: `text` hands values over as the hosted kernel prints them; `json` primitives as JSON.
        node: a Node.js to use instead of the one found.
        token: instead of a random one.

    Where the hosted service is unknown or slower this pool decides: after `process.exit()` it answers at once with the
    words that the service has when the time is up.
    """

    def __init__(
        self,
        *,
        egress: bool = False,
        isolation: Literal["auto", "bubblewrap", "none"] = "auto",
        max_sessions: int = 64,
        ready_sessions: int = 1,
        cooldown: float = 300.0,
        port: int = 0,
        value_encoding: Literal["text", "json"] = "text",
        node: str | None = None,
        token: str | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise LocalPoolError("The embedded pool is not available on Windows yet.")
        for package in ("starlette", "uvicorn", "httptools", "python_multipart"):
            if importlib.util.find_spec(package) is None:
                raise LocalPoolError(f"The embedded pool needs {package}: run {INSTALL_HINT}.")
        if isolation not in ("auto", "bubblewrap", "none"):
            raise LocalPoolError(f"There is no isolation {isolation!r}: use auto, bubblewrap or none.")
        self.token = token or secrets.token_urlsafe(32)
        self._egress = egress
        self._wanted_isolation = isolation
        self._max_sessions = max_sessions
        self._ready_sessions = min(ready_sessions, max_sessions)
        self._cooldown = cooldown
        self._port = port
        self._encoding: Literal["text", "json"] = value_encoding
        self._wanted_node = node
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._process = os.getpid()

    @property
    def endpoint(self) -> str:
        """Where the pool answers, such as `http://127.0.0.1:40123`."""
        return self._started.endpoint

    @property
    def isolation(self) -> Literal["bubblewrap", "none"]:
        """The isolation in force."""
        return "none" if self._started.sandbox.bubblewrap is None else "bubblewrap"

    @property
    def node_version(self) -> str:
        """The version of Node.js that the sessions run."""
        return self._started.sandbox.node.version

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
                directory = make_pool_directory(undo)
                sandbox = self._prepare(directory)
                listener = undo.enter_context(_listen(self._port))
                endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
                running = _Running(endpoint, sandbox)
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

    def _prepare(self, directory: Path) -> Sandbox:
        node = find_node(self._wanted_node)
        isolated = self._wanted_isolation != "none"
        support = directory / "support"
        prepare(node, support, isolated=isolated)
        bubblewrap = choose_bubblewrap(node, support) if isolated else None
        network = read_host_network(os.environ, npmrc_files(node.npm_cli))
        return Sandbox(node, support, bubblewrap, self._egress, network)

    def _serve(
        self,
        running: _Running,
        directory: Path,
        listener: socket.socket,
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
        listener: socket.socket,
        ready: concurrent.futures.Future[None],
    ) -> None:
        import uvicorn

        from aca_node_interpreter.local.app import PoolApp
        from aca_node_interpreter.local.http_protocol import BoundedProtocol
        from aca_node_interpreter.local.pool import SessionPool

        running.attach(asyncio.get_running_loop())
        pool = SessionPool(
            running.sandbox,
            directory,
            max_sessions=self._max_sessions,
            ready_sessions=self._ready_sessions,
            cooldown=self._cooldown,
        )
        app = PoolApp(
            pool,
            token=self.token,
            endpoint=running.endpoint,
            node_version=running.sandbox.node.version,
            encoding=self._encoding,
        )
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
        await serving


class _Running:
    """What exists only while the pool runs."""

    def __init__(self, endpoint: str, sandbox: Sandbox) -> None:
        self.endpoint = endpoint
        self.sandbox = sandbox
        self.stopping = asyncio.Event()
        self.undo = contextlib.ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wants_stop = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that serves, from its own thread."""
        self._loop = loop
        if self._wants_stop:
            self.stopping.set()

    def request_stop(self) -> None:
        """Ask the serving thread to end, from any thread and at any time."""
        self._wants_stop = True
        # A RuntimeError says that the loop has ended by itself.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.stopping.set)


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's algorithm off, which costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LocalPoolError(f"The embedded pool can't listen on port {port}: {error.strerror}.") from error
    return listener
