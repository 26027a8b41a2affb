"""Where a session pool is and what a session may be called: what users paste, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from aca_node_interpreter.errors import ConfigurationError

# The pattern of the public swagger (2025-10-02-preview). The how-to names a narrower set of characters.
_IDENTIFIER = re.compile(r"[a-zA-Z0-9_|}{\[\]:\";'<>?/.,@#$%^&*()\-+=!~`]{4,128}")
_POOL_PATH = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/sessionPools/[^/]+", re.IGNORECASE)
_CALL_PATH = re.compile(r"/((code|python)/execute|executions|files)(/.*)?", re.IGNORECASE)
_SESSION_HOSTS = (".dynamicsessions.io", ".acasessions.io")
_NOT_POOLS = {"management.azure.com": "Azure's management API", "portal.azure.com": "the Azure portal"}

WHAT_TO_PASTE = (
    "Paste the pool's management endpoint, which looks like https://REGION.dynamicsessions.io/subscriptions/…/"
    "resourceGroups/…/sessionPools/NAME; `az containerapp sessionpool show --name NAME --resource-group GROUP "
    "--query properties.poolManagementEndpoint` prints it."
)

LEAVE_IT_OUT = "Leave it out to get a random one."


@dataclass(frozen=True)
class Endpoint:
    """A session pool's data-plane address.

    Attributes:
        url: without a trailing slash.
        is_loopback: whether it can only be reached from this machine.
        socket: the path of the Unix socket on which `url` is answered, if that is where it is.
    """

    url: str
    is_loopback: bool
    socket: str | None = None

    @property
    def address(self) -> tuple[str, int | None]:
        """Its host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read an endpoint in any shape that users paste.

        Raises:
            ConfigurationError: it can't be one; the message says what to paste instead.
        """
        text = text.strip().strip("\"'").strip()
        if text.lower().startswith("/subscriptions/"):
            raise ConfigurationError(f"That is an ARM resource id, not an endpoint. {WHAT_TO_PASTE}")
        try:
            parts = urlsplit(text)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise ConfigurationError(f"The endpoint is no URL. {WHAT_TO_PASTE}") from None
        if parts.scheme == "unix":
            path = os.fsdecode(unquote_to_bytes(parts.path))
            if not path.startswith("/") or "\0" in path or host or parts.query or parts.fragment:
                raise ConfigurationError("A pool on a Unix socket is written as unix:///PATH/OF/THE/SOCKET.")
            return cls("http://localhost", is_loopback=True, socket=path)
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(f"The endpoint is no https URL. {WHAT_TO_PASTE}")
        if host in _NOT_POOLS:
            raise ConfigurationError(f"That is an address of {_NOT_POOLS[host]}, not of the pool. {WHAT_TO_PASTE}")
        if parts.username or parts.password:
            raise ConfigurationError(f"The endpoint must not hold a user name. {WHAT_TO_PASTE}")
        if parts.query or parts.fragment:
            raise ConfigurationError(f"The endpoint must end before the '?' or '#'. {WHAT_TO_PASTE}")
        loopback = is_loopback(host)
        if parts.scheme == "http" and not loopback:
            raise ConfigurationError(f"Plain http would show your token to the network: use https. {WHAT_TO_PASTE}")
        path = _without_call(re.sub("/+", "/", parts.path).rstrip("/"))
        if host.endswith(_SESSION_HOSTS) and not _POOL_PATH.fullmatch(path):
            raise ConfigurationError(f"The endpoint does not name a session pool. {WHAT_TO_PASTE}")
        netloc = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{netloc}{f':{port}' if port else ''}{path}", loopback)


def _without_call(path: str) -> str:
    """Return a pool's path out of that of one of its calls, such as the tutorial shows."""
    pool = _POOL_PATH.match(path)
    end = pool.end() if pool else 0
    return path[:end] if _CALL_PATH.fullmatch(path[end:]) else path


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def checked_identifier(identifier: str) -> str:
    """Return a session identifier if the service takes it.

    Raises:
        ConfigurationError: it is not 4 to 128 of the characters that the service knows. The message does not repeat it.
    """
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise ConfigurationError(
            "A session identifier is 4 to 128 ASCII letters, digits or punctuation marks, without spaces and "
            f"backslashes. {LEAVE_IT_OUT}"
        )
    return identifier


def new_identifier() -> str:
    """Make an identifier that nobody can guess: whoever knows it can reach the session."""
    return f"node-{secrets.token_hex(16)}"
