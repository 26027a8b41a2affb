"""Spans, metrics and log records of what is done, for OpenTelemetry where a program has set that up.

The span `execute_tool`, its `gen_ai.*` attributes and `gen_ai.execute_tool.duration` are those of OpenTelemetry's GenAI
semantic conventions (repository `semantic-conventions-genai`, September 2026), of which nothing is stable yet: all have
the status Development. What has no name there begins with `aca_node.`. Nothing of it holds code, output, names of files
and conversations, a session's identifier, a token or a URL; only log records of level DEBUG hold code and output.

Whoever collects has imported OpenTelemetry, so here it is not imported before that, and nothing is done.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar
from weakref import WeakSet

from ._version import version

if TYPE_CHECKING:
    from opentelemetry import metrics, trace

    from .artifacts import Artifact
    from .rest.models import Execution
    from .sessions.runs import Run

T = TypeVar("T")

SessionState: TypeAlias = Literal["new", "used", "recycled", "given_back"]
"""What a session was before a run: its pool may have ended it meanwhile (recycled), or this program did."""

_log = logging.getLogger("aca_node_interpreter")

_SCOPE = "aca_node_interpreter"
_TOOL_NAME, _ERROR_TYPE, _OUTCOME = "gen_ai.tool.name", "error.type", "aca_node.outcome"

# Seconds; from quicker than any run to slower than the longest.
_BOUNDARIES = [0.01 * 2**power for power in range(16)]


class Span:
    """A part of the work that is told of, if anybody collects that."""

    def __init__(self, span: trace.Span | None) -> None:
        self._span = span

    def set(self, attributes: Mapping[str, str | bool | float | None]) -> None:
        """Add attributes, apart from those that are `None`."""
        if self._span is not None and self._span.is_recording():
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(name, value)

    @property
    def is_of_tool(self) -> str | None:
        """The name of the tool whose call it is, where it is one."""
        attributes = getattr(self._span, "attributes", None) or {}
        return attributes.get(_TOOL_NAME) if attributes.get("gen_ai.operation.name") == "execute_tool" else None


_NO_SPAN = Span(None)


@dataclass
class _Call:
    """A call of the tool that is under way."""

    span: Span
    outcome: str | None = None
    retries: list[str] = field(default_factory=list)


_call: ContextVar[_Call | None] = ContextVar("aca_node_interpreter_call", default=None)


@contextmanager
def span(name: str, attributes: Mapping[str, str | int | None] | None = None, *, calls: bool = False) -> Iterator[Span]:
    """Tell of a part of the work, as the current span; `calls` says that it is spent on calls of the session pool."""
    tracer = _tracer()
    if tracer is None:
        yield _NO_SPAN
        return
    from opentelemetry.trace import SpanKind, StatusCode

    known = {name: value for name, value in (attributes or {}).items() if value is not None}
    kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
    # Not with the text of an exception, which may quote code and output.
    with tracer.start_as_current_span(
        name, kind=kind, attributes=known, record_exception=False, set_status_on_exception=False
    ) as started:
        try:
            yield Span(started)
        except BaseException as error:
            started.set_attribute(_ERROR_TYPE, _type_of(error))
            started.set_status(StatusCode.ERROR)
            raise


@contextmanager
def call(tool: str, call_id: str | None = None) -> Iterator[None]:
    """Tell of a whole call of a tool.

    AutoGen begins the span of such a call itself; then it is that one.

    Args:
        tool: its name.
        call_id: what the model calls the call.
    """
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        _TOOL_NAME: tool,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": call_id,
    }
    began, error_type = time.monotonic(), None
    there = _current_span()
    with ExitStack() as stack:
        is_begun = there.is_of_tool == tool
        current = _Call(there if is_begun else stack.enter_context(span(f"execute_tool {tool}", attributes)))
        token = _call.set(current)
        try:
            yield
        except BaseException as error:
            error_type = _type_of(error)
            raise
        finally:
            _call.reset(token)
            current.span.set({"aca_node.retries": len(current.retries), _OUTCOME: current.outcome})
            if instruments := _instruments():
                known = {_TOOL_NAME: tool, _OUTCOME: current.outcome, _ERROR_TYPE: error_type}
                instruments.call_seconds.record(
                    time.monotonic() - began, {name: value for name, value in known.items() if value is not None}
                )


def reached(address: str, port: int | None) -> None:
    """Note which host the call that is under way goes to."""
    if current := _call.get():
        current.span.set({"server.address": address, "server.port": port})


@contextmanager
def running(mode: str, api_version: str, *, language: str | None = None) -> Iterator[Span]:
    """Tell of the request that runs code, until what came of it is known."""
    attributes = {"aca_node.mode": mode, "aca_node.api_version": api_version, "aca_node.language": language}
    began, error_type = time.monotonic(), None
    try:
        with span("run", attributes, calls=True) as told:
            yield told
    except BaseException as error:
        error_type = _type_of(error)
        raise
    finally:
        if instruments := _instruments():
            known = {"aca_node.mode": mode} | ({_ERROR_TYPE: error_type} if error_type else {})
            instruments.run_seconds.record(time.monotonic() - began, known)


def timings(execution: Execution | None) -> dict[str, float]:
    """Return the attributes for what the service measured of a run, in seconds; see `Execution.timings`."""
    known = {} if execution is None else execution.timings
    return {f"aca_node.service.{name}": seconds for name, seconds in known.items()}


def sent(code: str) -> None:
    """Tell which code is to run; only whoever asks for log records of level DEBUG learns it."""
    _log.debug("Code is to run: %r", code)


def refused() -> None:
    """Tell that code was not sent, since it can't or must not run."""
    _log.info("Code was refused and not sent")
    if current := _call.get():
        current.outcome = "refused"


def ran(run: Run, session: SessionState) -> None:
    """Tell what came of a run, and what the session was before it."""
    current = _call.get()
    if current is None and not _log.isEnabledFor(logging.INFO):
        return
    attributes = {
        "aca_node.mode": run.mode,
        "aca_node.session": session,
        "aca_node.exit_code": run.exit_code,
        "aca_node.code_seconds": run.execution.duration,
        "aca_node.output_bytes": run.execution.output_bytes,
        "aca_node.artifacts": len(run.artifacts),
        "aca_node.artifact_bytes": sum(artifact.size for artifact in run.artifacts),
    }
    _log.info("Code ran and ended with exit code %d", run.exit_code, extra=attributes)
    _log.debug("A model reads of the run: %r", run.text)
    if current is not None:
        current.outcome = run.outcome
        current.span.set(attributes)


def collected(artifacts: Iterable[Artifact], told: Span) -> None:
    """Tell which files came back."""
    sizes = [artifact.size for artifact in artifacts]
    told.set({"aca_node.artifacts": len(sizes), "aca_node.artifact_bytes": sum(sizes)})
    if instruments := _instruments():
        instruments.artifact_bytes.add(sum(sizes))


def sent_again(reason: Literal["pool_full", "failure"]) -> None:
    """Tell that a request is about to be sent once more."""
    _log.info("A request is sent once more: %s", reason, extra={"aca_node.retry.reason": reason})
    if current := _call.get():
        current.retries.append(reason)
    if instruments := _instruments():
        instruments.retries.add(1, {"aca_node.retry.reason": reason})


@contextmanager
def entering(name: str, manager: AbstractContextManager[T]) -> Iterator[T]:
    """Enter a context manager, and tell of the time until that is done."""
    with ExitStack() as stack:
        with span(name):
            value = stack.enter_context(manager)
        yield value


@asynccontextmanager
async def entering_async(name: str, manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Do what `entering` does, without holding up the event loop."""
    async with AsyncExitStack() as stack:
        with span(name):
            value = await stack.enter_async_context(manager)
        yield value


class Crowd(Protocol):
    """Callers that share a limited number of sessions."""

    @property
    def sessions_in_use(self) -> int:
        """How many sessions they have."""

    @property
    def calls_waiting(self) -> int:
        """How many calls wait for their turn or for a session."""


_crowds: WeakSet[Crowd] = WeakSet()
_crowds_lock = threading.Lock()


def watch(crowd: Crowd) -> None:
    """Count a crowd, until `unwatch` or its end."""
    with _crowds_lock:
        _crowds.add(crowd)


def unwatch(crowd: Crowd) -> None:
    """Count a crowd no more."""
    with _crowds_lock:
        _crowds.discard(crowd)


@dataclass(frozen=True)
class _Instruments:
    call_seconds: metrics.Histogram
    run_seconds: metrics.Histogram
    retries: metrics.Counter
    artifact_bytes: metrics.Counter


def _instruments() -> _Instruments | None:
    return _made_instruments() if "opentelemetry.metrics" in sys.modules else None


@cache
def _made_instruments() -> _Instruments:
    from opentelemetry.metrics import CallbackOptions, Observation, get_meter

    def observing(count: Callable[[Crowd], int]) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(_: CallbackOptions) -> list[Observation]:
            with _crowds_lock:
                crowds = list(_crowds)
            return [Observation(sum(map(count, crowds)))]

        return observe

    meter = get_meter(_SCOPE, version())
    meter.create_observable_up_down_counter(
        "aca_node.sessions", [observing(lambda crowd: crowd.sessions_in_use)], "{session}", "Sessions in use."
    )
    meter.create_observable_up_down_counter(
        "aca_node.calls.waiting",
        [observing(lambda crowd: crowd.calls_waiting)],
        "{call}",
        "Calls that wait for their turn in a session, or for a session.",
    )

    def duration(name: str, told: str) -> metrics.Histogram:
        return meter.create_histogram(name, "s", told, explicit_bucket_boundaries_advisory=_BOUNDARIES)

    return _Instruments(
        duration("gen_ai.execute_tool.duration", "Whole calls of the tool, waiting and files included."),
        duration("aca_node.run.duration", "Requests that run code, until what came of it is known."),
        meter.create_counter("aca_node.retries", "{retry}", "Requests that were sent once more."),
        meter.create_counter("aca_node.artifacts.size", "By", "Files of runs that came back."),
    )


def _tracer() -> trace.Tracer | None:
    return _made_tracer() if "opentelemetry.trace" in sys.modules else None


@cache
def _made_tracer() -> trace.Tracer:
    from opentelemetry.trace import get_tracer

    return get_tracer(_SCOPE, version())


def _current_span() -> Span:
    if "opentelemetry.trace" not in sys.modules:
        return _NO_SPAN
    from opentelemetry.trace import get_current_span

    return Span(get_current_span())


def _type_of(error: BaseException) -> str:
    # Others than `Exception` tell whoever waits to go away: cancellation, Ctrl-C, the end of a generator.
    return type(error).__qualname__ if isinstance(error, Exception) else "cancelled"
