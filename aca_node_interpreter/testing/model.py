"""`ScriptedModel`: a model that plays a script, behind a real HTTP server in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.local.listening import listen_on
from aca_node_interpreter.local.node import INSTALL_HINT

from .player import Player
from .script import Playable

if TYPE_CHECKING:
    import socket

    import uvicorn
    from typing_extensions import Self

    from .request import ModelRequest

_GRACE_SECONDS = 1


class ScriptedModel:
    """A model that plays a script to any OpenAI or Azure OpenAI client: use it in a `with` block.

    It listens on loopback, with Chat Completions and Responses, streamed or not, and lets nobody in without its key.
    A request that the script does not expect, or that the real service would refuse, gets HTTP 400 with the reason.
    When the block ends without an exception, `check` is called.

    Args:
        script: what the model answers, one turn after the other, whoever asks: for several users at once, let each
            turn be a function of the request.
        name: the model's, and in Azure the deployment's; others are unknown. The default is one that agent frameworks
            know, with all its abilities.
        api_key: instead of a random one.

    Raises:
        ConfigurationError: the script can't be played, or the extra `local` is not installed.
    """

    def __init__(
        self, script: Iterable[Playable], *, name: str = "gpt-4.1-2025-04-14", api_key: str | None = None
    ) -> None:
        for package in ("starlette", "uvicorn"):
            if importlib.util.find_spec(package) is None:
                raise ConfigurationError(f"The scripted model needs {package}: run {INSTALL_HINT}.")
        self.name = name
        self.api_key = api_key or f"sk-scripted-{secrets.token_urlsafe(24)}"
        self._player = Player(script, name)
        self._port: int | None = None
        self._undo = contextlib.ExitStack()

    @property
    def base_url(self) -> str:
        """For clients of OpenAI, such as `OpenAI(base_url=…)`."""
        return f"{self.azure_endpoint}/v1"

    @property
    def azure_endpoint(self) -> str:
        """For clients of Azure OpenAI, such as `AzureOpenAI(azure_endpoint=…)`."""
        if self._port is None:
            raise ConfigurationError("The scripted model is not running: use it in a `with` block.")
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[ModelRequest]:
        """What the model was sent so far, refused requests too; none that came without the key."""
        return list(self._player.requests)

    def check(self) -> None:
        """Make sure that the whole script was played, and all its expectations met.

        Raises:
            ScriptError: they were not; the message lists all that was wrong.
        """
        self._player.check()

    def __enter__(self) -> Self:
        """Start to serve."""
        import uvicorn

        from .app import ModelApp

        config = uvicorn.Config(
            ModelApp(self._player, name=self.name, api_key=self.api_key),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        config.load()  # here, so that what it raises is raised here
        server = uvicorn.Server(config)
        with contextlib.ExitStack() as undo:
            listener = listen_on(0, undo)
            self._port = listener.getsockname()[1]
            # The socket listens already; what connects before the server does waits in its queue.
            thread = threading.Thread(
                target=_serve, args=(server, listener), name="aca-node-scripted-model", daemon=True
            )
            thread.start()
            undo.callback(thread.join)
            undo.callback(setattr, server, "should_exit", True)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to serve, and check unless something was raised already."""
        self._port = None
        self._undo.close()
        if error is None:
            self.check()


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    # Whatever ends the server, clients must not wait for one that will never answer.
    with listener:
        asyncio.run(server.serve(sockets=[listener]))
