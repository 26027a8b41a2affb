"""The embedded session pool: the session-pool API on loopback, with real Node.js and no Azure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .behaviour import Behaviour
    from .isolation.limits import Limits
    from .server import LocalPool

__all__ = ["Behaviour", "Limits", "LocalPool"]

_HOMES = {"Behaviour": "behaviour", "Limits": "isolation.limits", "LocalPool": "server"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import on first use, so that naming the package costs nothing."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return globals()[name]
