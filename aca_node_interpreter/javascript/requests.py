"""The code that is sent for a call to the in-session runtime; the first call of a session brings the runtime along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_INSTALLED = "+"


def installing(boot: str, call: Mapping[str, Any]) -> str:
    """Return code that installs the runtime where there is none, and then makes a call.

    Args:
        boot: the id that the runtime gets if it is installed now.
        call: what it is told; see `runtime.js`.
    """
    # The sign tells a runtime that could not be installed from code that ended the process.
    sign = _quoted(call["mark"] + _INSTALLED)
    return f"({runtime_source()})({_quoted(boot)});console.log({sign});__aca({_quoted(call)})"


def calling(call: Mapping[str, Any]) -> str:
    """Return code that makes a call; where the runtime is not installed it answers so."""
    none = _quoted("\n" + call["mark"] + '{"v":1,"state":"none"}')
    return f'typeof __aca=="function"?__aca({_quoted(call)}):console.log({none})'


def was_installed(stdout: str, mark: str) -> bool:
    """Tell whether the first call of a session got as far as running code."""
    return stdout.startswith(mark + _INSTALLED)


def without_sign(stdout: str, mark: str) -> str:
    """Return what the code itself printed."""
    return stdout.removeprefix(f"{mark}{_INSTALLED}\n")


@cache
def runtime_source() -> str:
    """Return the runtime without comments and indentation: it travels with each session's first run."""
    lines = files(__package__).joinpath("runtime.js").read_text("utf-8").splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line for line in stripped if line and not line.startswith("//"))


def _quoted(value: object) -> str:
    """Write a value as JavaScript. ASCII only: text that is no valid Unicode arrives as it is."""
    return json.dumps(value, separators=(",", ":"))
