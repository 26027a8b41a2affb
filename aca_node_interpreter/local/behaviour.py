"""What nobody can tell from public material about the hosted service, one switch for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from aca_node_interpreter.errors import ConfigurationError

ValueEncoding = Literal["text", "json"]


@dataclass(frozen=True)
class Behaviour:
    """How the embedded pool answers where the hosted one is unknown.

    The defaults are what the evidence makes most likely, or what is kindest where there is none. Code that works with
    either answer works on the service, whatever it does.
    """

    values: ValueEncoding = "text"
    """A run's value: as the hosted kernel prints it, or numbers, booleans, `null` and strings as JSON."""
    failure_word: Literal["Failure", "Failed"] = "Failure"
    """The older family's status of a run that failed."""
    exit: Literal["answers", "hangs"] = "answers"
    """After `process.exit()`: answer at once, or when the run's limit is over, as a kernel that is gone would."""
    long_limits: Literal["capped", "refused"] = "capped"
    """A limit above 220 seconds: taken for 220, or refused with 400."""
    runs_at_once: Literal["queued", "refused"] = "queued"
    """A run while another one of the session is under way: waits for it, or is refused with 409."""
    uploads_again: Literal["replace", "refused"] = "replace"
    """An upload to a name that is there: replaces the file, or is refused with 409."""
    identifiers: Literal["case-sensitive", "case-insensitive"] = "case-sensitive"
    """Whether `Session-1` and `session-1` are two sessions."""
    full_pool: Literal[429, 404] = 429
    """The status when all sessions are taken: as recorded, or as documented."""
    retry_after: int | None = None
    """Seconds that a full pool asks to wait by `Retry-After`; no recording has the header."""
    unknown_version: Literal[401, 400] = 401
    """The status for an api-version that nobody knows: with an empty body, as seen once, or with an error."""

    @classmethod
    def parse(cls, switches: Iterable[str]) -> Behaviour:
        """Read switches as a command line has them, such as `exit=hangs`; the last one of a name counts.

        Raises:
            ConfigurationError: there is no such switch, or it has no such value; the message lists what there is.
        """
        wanted: dict[str, Any] = {}
        for switch in switches:
            name, _, value = switch.partition("=")
            choices = _CHOICES.get(name, {})
            if name == "retry_after" and value.isdecimal() and len(value) < 10:
                wanted[name] = int(value)
            elif value in choices:
                wanted[name] = choices[value]
            else:
                there_are = (f"{name}={'|'.join(choices) or 'SECONDS'}" for name, choices in _CHOICES.items())
                raise ConfigurationError(f"There is no behaviour {switch!r}. There are: {', '.join(there_are)}.")
        return cls(**wanted)


_CHOICES: dict[str, dict[str, Any]] = {
    name: {str(choice): choice for choice in get_args(kind) if not isinstance(choice, type)}
    for name, kind in get_type_hints(Behaviour).items()
}
"""The values of each switch, as words; none where it is a number."""
