"""`aca-node doctor`: what is wrong with a set-up, and the exact fix.

It looks at this machine, and asks the session pool that is named; nothing is sent anywhere when none is. A person at a
terminal reads it: names of Azure's resources may show, a token and a session's identifier never do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aca_node_interpreter.rest.operations import CURRENT_API

from .finding import Finding
from .machine import examine_machine
from .session_pool import examine_pool

__all__ = ["Finding", "examine"]


def examine(
    endpoint: str | None = None, *, token: str | None = None, api_version: str = CURRENT_API
) -> Iterator[Finding]:
    """Look at one thing after the other.

    Args:
        endpoint: the session pool to ask; without one the embedded pool is tried, and nothing leaves this machine.
        token: a ready token; else `ACA_POOL_TOKEN` for a loopback endpoint, the Azure sign-in for others.
        api_version: what to ask the pool in.
    """
    for finding in examine_machine():
        yield replace(finding, needed=finding.needed and not endpoint)
    if endpoint:
        yield from examine_pool(endpoint, token, api_version)
    else:
        words = "none named by --endpoint or ACA_POOL_MANAGEMENT_ENDPOINT: the embedded pool is used"
        yield Finding("session pool", ok=True, words=words)
