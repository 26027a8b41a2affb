"""npm packages that a session is to have: how they are installed, and what is said when they can't be."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aca_node_interpreter.errors import ConfigurationError, PackageInstallError
from aca_node_interpreter.javascript.prepared import Prepared

if TYPE_CHECKING:
    from .managed import Reply

SECONDS = 200.0
"""How long an installation may take."""

# npm's names, with a version, a range or a tag: no paths, no URLs, no options.
_PACKAGE = re.compile(r"(?:@[a-z0-9~-][\w.~-]*/)?[a-zA-Z0-9~-][\w.~-]*(?:@[\w.~^<>=*+ |-]+)?")
_OFFLINE = re.compile(r"EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH|ECONNREFUSED|ECONNRESET|ETIMEDOUT|network")
_ERROR_CHARS = 1_500

_INSTALL = """
const { spawnSync } = require('node:child_process');
const quiet = ['--no-audit', '--no-fund', '--no-update-notifier'];
const retries = ['--fetch-retries=1', '--fetch-retry-mintimeout=500'];
const done = spawnSync('npm', ['install', ...quiet, ...retries, ...PACKAGES], {
  cwd: '/mnt/data', encoding: 'utf8', maxBuffer: 1e8,
});
if (done.status !== 0) {
  console.error(done.error ? String(done.error) : done.stderr);
  process.exit(1);
}
"""


def checked(packages: Sequence[str]) -> tuple[str, ...]:
    """Return packages if they can be asked for.

    Raises:
        ConfigurationError: one is no package's name with or without a version.
    """
    for package in packages:
        if not _PACKAGE.fullmatch(package) or package.startswith("-"):
            raise ConfigurationError(f"{package!r} is no npm package: name it such as 'zod', 'zod@3' or '@scope/name'.")
    return tuple(packages)


def installing(packages: Sequence[str]) -> Prepared:
    """Return code that installs packages where every later run finds them."""
    return Prepared("(() => {" + _INSTALL.replace("PACKAGES", json.dumps(list(packages))) + "})()")


def check(reply: Reply) -> None:
    """See that an installation came to a good end.

    Raises:
        PackageInstallError: it did not.
    """
    from .managed import Answered

    if isinstance(reply, Answered) and reply.envelope.end in ("ok", "exit") and reply.envelope.exit == 0:
        return
    said = reply.stderr if isinstance(reply, Answered) else getattr(getattr(reply, "execution", None), "stderr", "")
    if isinstance(reply, Answered) and reply.envelope.end == "timeout":
        said = f"It took longer than {SECONDS:.0f} seconds.\n{said}"
    advice = (
        "The session has no network: make the session pool with egress (embedded: `egress=True`, or --egress; "
        "on Azure: `--network-status EgressEnabled`), or leave the packages out. "
        if _OFFLINE.search(said)
        else ""
    )
    shown = said.strip()[-_ERROR_CHARS:]
    raise PackageInstallError(f"The packages could not be installed. {advice}npm says:\n{shown}")
