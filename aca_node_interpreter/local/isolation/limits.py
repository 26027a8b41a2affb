"""What a session may use of this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

if sys.platform != "win32":
    import resource


@dataclass(frozen=True)
class Limits:
    """The most that one session may use.

    Control groups hold `memory` and `processes` where this process may make them; elsewhere, and for disks always, the
    pool looks a few times a second, and ends what is over. The rest is `setrlimit`'s.

    Raises:
        ValueError: a limit with which Node.js could not work.
    """

    memory: int = 1 << 30
    """Bytes of memory, with what is in `/tmp`."""
    processes: int = 256
    """Processes and threads at the same time; Node.js itself has about eight threads."""
    data: int = 1 << 30
    """Bytes in `/mnt/data`; as many again in the home directory, where npm keeps its cache."""
    tmp: int = 256 << 20
    """Bytes in `/tmp`."""
    open_files: int = 4096
    """Open descriptors of one process."""
    cpu_seconds: int = 3600
    """Seconds of processor time of one process."""

    def __post_init__(self) -> None:
        least = {"memory": 128 << 20, "processes": 32, "open_files": 64}
        for field in fields(self):
            value, bound = getattr(self, field.name), least.get(field.name, 1)
            if value < bound:
                raise ValueError(f"{field.name} must be at least {bound:,}, not {value:,}.")

    def rlimits(self) -> list[tuple[int, int]]:
        """Give what is set for the session's first process, and so for all that come of it.

        Not `RLIMIT_DATA` or `RLIMIT_AS`: Node.js reserves much more than it uses. Nor `RLIMIT_NPROC`: outside of the
        sandbox's user namespace it counts all processes of the user, and it does not bind root.
        """
        return [
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_FSIZE, self.data),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, self.cpu_seconds),
        ]
