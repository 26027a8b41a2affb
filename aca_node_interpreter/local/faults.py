"""The faults that a pool can have on purpose, for tests of what uses it: what goes wrong, and which calls meet it.

    from . import faults, LocalPool

    with LocalPool(faults=[faults.CutStreams()]) as pool:
        pool.faults.add(faults.Reset("after", on="execute", times=1))

A fault says what it does with the verbs of an `Exchange`; which call's turn it is, `planned_faults` decides. A caller
whom the pool would not let in meets no fault.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args, get_origin, get_type_hints

from aca_node_interpreter.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.responses import Response

    from .exchange import Exchange

CallName = Literal[
    "execute",
    "get_execution",
    "upload",
    "download",
    "list_files",
    "get_file",
    "delete_file",
    "get_session",
    "delete_session",
    "list_sessions",
    "get_metadata",
]
"""The calls of the API that can meet a fault, each in both families."""

CALL_NAMES: tuple[CallName, ...] = get_args(CallName)

Moment = Literal["before", "after"]
"""Before the call is performed, when the request has arrived, or after it, when only its reply is missing."""
MomentOrReply = Literal["before", "after", "reply"]
"""The same, or in the middle of the reply's body."""

Perform: TypeAlias = "Callable[[], Awaitable[Response]]"


@dataclass(frozen=True)
class Spared:
    """A reply in which there was nothing to break: the fault was not met after all."""

    reply: Response


@dataclass(frozen=True, repr=False, kw_only=True)
class Fault:
    """What goes wrong with a call. Every kind of fault has the fields of this class, which say when it is met.

    Raises:
        ConfigurationError: a field can't have its value; the message says what it can have.
    """

    on: CallName | tuple[CallName, ...] = CALL_NAMES
    """The calls that meet it."""
    skip: int = 0
    """So many of them are left alone first."""
    every: int = 1
    """From there on, one of so many meets it: 1 is each of them, 3 the first, the fourth, the seventh and so on."""
    times: int | None = None
    """So many of them meet it at most; `None` is no bound."""
    probability: float = 1.0
    """How likely one of them meets it, from 0 to 1."""
    seed: int = 0
    """Where chance starts: the same one is the same sequence."""

    name: ClassVar[str]
    """What a command line calls it, such as `drop-last-line`."""

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is not ClassVar and (problem := _problem(name, kind, getattr(self, name))):
                raise ConfigurationError(f"The fault {self.name} can't have {name}={getattr(self, name)!r}: {problem}.")

    def __repr__(self) -> str:
        changed = (each for each in fields(self) if getattr(self, each.name) != each.default)
        return f"{type(self).__name__}({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in changed)})"

    @property
    def calls(self) -> tuple[CallName, ...]:
        """The calls that meet it, also when there is one."""
        return (self.on,) if isinstance(self.on, str) else self.on

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether there is anything for it to do to one of its calls; others don't count."""
        return True

    async def apply(self, exchange: Exchange, perform: Perform) -> Response | Spared:
        """Do it; `perform` has the call performed, with the faults that come after this one."""
        raise NotImplementedError

    @staticmethod
    def parse(text: str) -> Fault:
        """Read a fault as a command line has it, such as `reset,at=after,on=execute+upload,times=1`.

        Raises:
            ConfigurationError: there is no such fault; the message lists what there is.
        """
        name, *settings = text.split(",")
        kinds = {kind.name: kind for kind in Fault.__subclasses__()}
        if name not in kinds:
            there_are = ", ".join(map(_usage, kinds.values()))
            raise ConfigurationError(f"There is no fault {name!r}. There are: {there_are}.")
        kind = kinds[name]
        words = (setting.partition("=")[::2] for setting in settings)
        try:
            return kind(**{field: _value(field, word) for field, word in words})
        except TypeError:
            raise ConfigurationError(f"There is no fault {text!r}. Its fields are: {_usage(kind)}.") from None


# --- where a run's output is not all there ---

_RUNS: tuple[CallName, ...] = ("execute", "get_execution")


@dataclass(frozen=True, repr=False)
class DropLastLine(Fault):
    """Lose the last line of a run's stdout, without a word."""

    on: CallName | tuple[CallName, ...] = field(default=_RUNS, kw_only=True)

    async def apply(self, exchange: Exchange, perform: Perform) -> Response | Spared:
        """Do it, unless nothing was printed."""

        def drop(streams: dict[str, Any]) -> None:
            printed = streams["stdout"]
            streams["stdout"] = printed[: printed[:-1].rfind("\n") + 1]

        return await exchange.with_streams(await perform(), drop)


@dataclass(frozen=True, repr=False)
class CutStreams(Fault):
    """Cut stdout and stderr of a run, without a word."""

    after: int = 4096
    """Bytes of each that are left."""
    on: CallName | tuple[CallName, ...] = field(default=_RUNS, kw_only=True)

    async def apply(self, exchange: Exchange, perform: Perform) -> Response | Spared:
        """Do it, unless both are shorter."""

        def cut(streams: dict[str, Any]) -> None:
            for name in ("stdout", "stderr"):
                # A lone surrogate has no UTF-8.
                stream = streams[name].encode("utf-8", "surrogatepass")
                if len(stream) > self.after:
                    streams[name] = stream[: self.after].decode("utf-8", "replace")

        return await exchange.with_streams(await perform(), cut)


# --- where the reply is not the API's ---


@dataclass(frozen=True, repr=False)
class Refuse(Fault):
    """Answer with an error: 401, 403, 429 and 500 as the service words it, others as the gateway before it.

    With `at="after"`, the call is performed all the same.
    """

    status: Literal[401, 403, 429, 500, 502, 503, 504]
    at: Moment = "before"
    retry_after: int | None = None
    """Seconds that `Retry-After` asks to wait; without it there is no such header."""

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        if self.at == "after":
            await perform()
        return exchange.refusal(self.status, self.retry_after)


@dataclass(frozen=True, repr=False)
class WrongContentType(Fault):
    """Answer 200 with a page of HTML, as a proxy does that wants a sign-in."""

    at: Moment = "before"

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        if self.at == "after":
            await perform()
        return exchange.page(200, "Sign in")


@dataclass(frozen=True, repr=False)
class HalfBody(Fault):
    """Send the first half of the reply's body as if it were all: half of a file, or of JSON."""

    async def apply(self, exchange: Exchange, perform: Perform) -> Response | Spared:
        """Do it, unless there is no body."""
        return exchange.half(await perform())


# --- where the connection fails, or nothing comes ---


@dataclass(frozen=True, repr=False)
class Reset(Fault):
    """Reset the connection (RST); on a Unix socket, which knows no reset, close it."""

    at: MomentOrReply = "after"

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        if self.at == "before":
            await exchange.receive()
            return await exchange.reset()
        reply = await perform()
        return exchange.interrupted(reply, exchange.reset) if self.at == "reply" else await exchange.reset()


@dataclass(frozen=True, repr=False)
class Stall(Fault):
    """Hold up the call or its reply; a call that is held up is performed however long its caller has gone."""

    seconds: float
    at: MomentOrReply = "after"

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        if self.at == "before":
            await exchange.receive()
            await exchange.pause(self.seconds)
            return await perform()
        reply = await perform()
        if self.at == "reply":
            return exchange.interrupted(reply, lambda: exchange.pause(self.seconds))
        await exchange.pause(self.seconds)
        return reply


# --- where the session is not what it was ---


@dataclass(frozen=True, repr=False)
class Recycle(Fault):
    """End the session before the call, which finds a fresh one under the same identifier."""

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether there is a session."""
        return exchange.session is not None

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        await exchange.recycle()
        return await perform()


@dataclass(frozen=True, repr=False)
class RestartNode(Fault):
    """Restart the session's Node.js before the call: variables are gone, files stay."""

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether there is a session."""
        return exchange.session is not None

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        exchange.restart_node()
        return await perform()


@dataclass(frozen=True, repr=False)
class SlowAllocation(Fault):
    """Take a while to allocate a session."""

    seconds: float

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether the call allocates a session."""
        return exchange.allocates

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        await exchange.receive()
        await exchange.pause(self.seconds)
        return await perform()


@dataclass(frozen=True, repr=False)
class OneFamily(Fault):
    """Speak one family of the API only: the other's api-versions are unknown, and so are its paths."""

    family: Literal["legacy", "current"]

    def concerns(self, exchange: Exchange) -> bool:
        """Tell whether the call is of the other family."""
        return not exchange.is_of(self.family)

    async def apply(self, exchange: Exchange, perform: Perform) -> Response:
        """Do it."""
        return exchange.unknown_call(self.family)


def _problem(name: str, kind: Any, value: Any) -> str:
    """Say why a field can't have a value; "" is no problem."""
    choices = get_args(kind)
    if name == "on":
        calls = (value,) if isinstance(value, str) else value
        known = isinstance(calls, tuple) and set(calls) <= set(CALL_NAMES)
        return "" if known else f"it takes one or several of {', '.join(CALL_NAMES)}"
    if get_origin(kind) is Literal:
        return "" if value in choices else f"it takes {' or '.join(map(str, choices))}"
    if value is None and type(None) in choices:
        return ""
    numbers = (int, float) if kind is float else int
    least = 1 if name in ("every", "times") else 0
    most = 1 if name == "probability" else float("inf")
    fits = isinstance(value, numbers) and least <= value <= most
    return (
        ""
        if fits
        else f"it takes a {'number' if kind is float else 'whole number'} of {least} or more"
        + (", at most 1" if most == 1 else "")
    )


def _value(name: str, word: str) -> Any:
    """Read a field's value from a word of a command line."""
    if name == "on":
        return tuple(word.split("+"))
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return word


def _usage(kind: type[Fault]) -> str:
    """Word a fault and its own fields for a command line."""
    own = [name for name in kind.__annotations__ if name != "on"]
    return ",".join([kind.name, *(f"{name}={_choices(get_type_hints(kind)[name])}" for name in own)])


def _choices(kind: Any) -> str:
    return "|".join(map(str, get_args(kind))) if get_origin(kind) is Literal else "NUMBER"
