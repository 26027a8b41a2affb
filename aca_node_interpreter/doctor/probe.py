"""What the doctor sends to a pool: one run in a session of its own, which is then deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from aca_node_interpreter.errors import AcaNodeError, ServiceUnreachableError
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.operations import Operation, Reply, SessionCalls

T = TypeVar("T")

OUTSIDE = ("nodejs.org", 443)
"""What code in the session tries to reach: a host and a port that are open where the web is."""

_RUN_SECONDS = 20.0
_EGRESS_SECONDS = 3.0
_REFUSED = (401, 403, 404, 429)  # before there is a session


def code(host: str, port: int) -> str:
    """Return what runs in the session; TLS, because a filter may accept a connection first and then reset it."""
    to = json.dumps({"host": host, "port": port, "servername": host, "rejectUnauthorized": False})
    return f"""\
console.log('node ' + process.version);
$$.async();
(() => {{
  const tell = word => {{ clearTimeout(limit); socket.destroy(); console.log('egress ' + word); $$.done(); }};
  const once = word => {{ if (!told) {{ told = true; tell(word); }} }};
  let told = false;
  const socket = require('tls').connect({to}, () => once('on'));
  const limit = setTimeout(() => once('off'), {_EGRESS_SECONDS * 1000:.0f});
  socket.on('error', () => once('off'));
}})();
"""


@dataclass(frozen=True)
class _Whole(Operation[Reply]):
    """A call whose answer is wanted as it came, error or not."""

    def finish(self, reply: Reply) -> Reply:
        return reply


def ask(client: SessionPoolClient, operation: Operation[Any]) -> Reply:
    """Send a call and return the answer, whatever its status.

    Raises:
        ServiceUnreachableError: there is none.
    """

    def flow() -> Generator[Operation[Reply], Reply, Reply]:
        return (yield _Whole(**{each.name: getattr(operation, each.name) for each in fields(operation)}))

    return client.perform(flow())


@dataclass(frozen=True)
class Asked:
    """What came of it."""

    run: Operation[Any]
    reply: Reply
    left: bool = False
    """Whether there is a session that could not be deleted."""


def run_in_a_session(client: SessionPoolClient, outside: tuple[str, int] = OUTSIDE) -> Asked:
    """Run code in the client's session and delete that.

    Raises:
        ServiceUnreachableError: there is no answer.
    """
    run = SessionCalls(client.session_id, client.api_version).execute(code(*outside), timeout=_RUN_SECONDS)
    made = True  # as far as one can know when Ctrl-C ends it
    try:
        reply = ask(client, run)
        made = reply.status not in _REFUSED
    except ServiceUnreachableError as error:
        made = error.ran is not False
        raise
    finally:
        deleted = made and _delete(client)
    return Asked(run, reply, left=reply.status < 300 and not deleted)


def _delete(client: SessionPoolClient) -> bool:
    try:
        client.delete_session()
    except AcaNodeError:
        return False
    return True


def node_version(stdout: str) -> str:
    """Find what version of Node.js ran the code; empty if it was none."""
    found = re.search(r"^node v([\w.\-]{1,30})$", stdout, re.MULTILINE)
    return found[1] if found else ""


def egress(stdout: str) -> str:
    """Find whether code reached the outside: `on`, `off`, or empty when it did not say."""
    found = re.search(r"^egress (on|off)$", stdout, re.MULTILINE)
    return found[1] if found else ""
