"""The package's version, read from its metadata when somebody asks."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Return the installed version."""
    from importlib.metadata import version as installed

    return installed("aca-node-interpreter")
