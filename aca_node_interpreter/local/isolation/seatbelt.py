"""The profile with which macOS's `sandbox-exec` would hold a session. Never run: nobody here had a Mac.

It is therefore no level that `auto` takes, and must be named. The language is Apple's own (`man sandbox-exec`) and is
documented by the profiles in /System/Library/Sandbox/Profiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

PROGRAM = "/usr/bin/sandbox-exec"

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/Library/Fonts", "/private/var/db/timezone"),
    *("/private/etc/ssl", "/private/etc/hosts", "/private/etc/localtime", "/dev/random", "/dev/urandom"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/dtracehelper")


def write_profile(readable: Iterable[str], writable: Iterable[str], *, network: bool) -> str:
    """Word a profile: everything is refused but these files and directories, with all below them.

    `network` allows all of it: addresses can't be filtered here.
    """
    rules = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow process-exec)",
        "(allow signal (target same-sandbox))",
        "(allow sysctl-read)",
        '(allow file-read-metadata (literal "/"))',
        _allow("file-read*", (*_SYSTEM, *readable)),
        _allow("file-read* file-write*", (*_DEVICES, *writable)),
    ]
    return "\n".join([*rules, "(allow network*)"] if network else rules)


def _allow(operations: str, paths: Iterable[str]) -> str:
    # JSON's strings are written as the profile's are.
    return f"(allow {operations} {' '.join(f'(subpath {json.dumps(path, ensure_ascii=False)})' for path in paths)})"
