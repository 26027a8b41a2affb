"""Run a model's Node.js in Azure Container Apps session pools, from AutoGen, LangChain or plain Python.

Names are loaded when they are first used, so that importing the package imports no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .approval import Proposal
    from .artifacts import Artifact
    from .executor import NodeSessionsCodeExecutor
    from .local import LocalPool
    from .policy import Policy
    from .rest.async_client import AsyncSessionPoolClient
    from .rest.client import SessionPoolClient

__all__ = [
    "Artifact",
    "AsyncSessionPoolClient",
    "LocalPool",
    "NodeSessionsCodeExecutor",
    "Policy",
    "Proposal",
    "SessionPoolClient",
]

_HOMES = {
    "Artifact": "artifacts",
    "AsyncSessionPoolClient": "rest.async_client",
    "LocalPool": "local",
    "NodeSessionsCodeExecutor": "executor",
    "Policy": "policy",
    "Proposal": "approval",
    "SessionPoolClient": "rest.client",
}

if not TYPE_CHECKING:  # type checkers would otherwise accept any misspelt name

    def __getattr__(name):
        """Load a public name from the module it lives in."""
        if name == "__version__":
            from ._version import version

            return version()
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted([*globals(), *__all__, "__version__"])
