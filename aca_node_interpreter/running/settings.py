"""What an executor is set to: where code runs, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.rest.auth import Credential, TokenProvider, TokenSource
from aca_node_interpreter.rest.endpoint import Endpoint
from aca_node_interpreter.rest.models import MAX_UPLOAD_BYTES
from aca_node_interpreter.rest.operations import CURRENT_API, checked_timeout
from aca_node_interpreter.secrecy import StaysHere
from aca_node_interpreter.sessions.runs import Limits
from aca_node_interpreter.sessions.session import Mode


@dataclass(frozen=True)
class Settings(StaysHere):
    """Where code runs, and what comes back; `NodeSessionsCodeExecutor` says what each means.

    Raises:
        ConfigurationError: they can't work.
    """

    endpoint: str | None = None
    credential: Credential | TokenProvider | TokenSource | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    api_version: str = CURRENT_API
    timeout: float = 60.0
    artifacts_dir: Path | None = None
    keep_artifacts: bool = False
    egress: bool | Literal["host"] = False
    isolation: Literal["auto", "bubblewrap", "landlock", "sandbox-exec", "none"] = "auto"
    max_artifact_bytes: int = 100 * 1024 * 1024
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    limits: Limits = field(default_factory=Limits)
    mode: Mode = "managed"
    packages: tuple[str, ...] = ()
    rehydrate: bool = False
    session_secret: str | None = field(default=None, repr=False)
    idle_seconds: float = 900.0
    deadline: float = 300.0
    max_concurrent_sessions: int | None = None
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            Endpoint.parse(self.endpoint)
        checked_timeout(self.timeout)
        if self.token is not None and self.credential is not None:
            raise ConfigurationError("Pass either a credential or a token.")
        if self.session_secret is not None and len(self.session_secret) < 16:
            raise ConfigurationError("A session secret has at least 16 characters: who guesses it can reach sessions.")
        if not self.idle_seconds > 0:
            raise ConfigurationError("idle_seconds is a number of seconds above 0.")
        if not self.deadline > self.timeout:
            raise ConfigurationError(
                "The deadline covers waiting, the run and its files: it must be longer than the timeout of the run."
            )
        if self.max_concurrent_sessions is not None and self.max_concurrent_sessions < 1:
            raise ConfigurationError("max_concurrent_sessions is a number above 0.")
