"""The embedded session pool: the session-pool API on loopback, with real Node.js and no Azure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aca_node_interpreter.local.server import LocalPool

__all__ = ["LocalPool"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import on first use, so that naming the package costs nothing."""
        if name != "LocalPool":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from aca_node_interpreter.local.server import LocalPool

        globals()[name] = LocalPool
        return LocalPool
