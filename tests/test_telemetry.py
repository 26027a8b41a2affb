"""What OpenTelemetry gets to know of calls: spans under the caller's own, metrics, and nothing that is secret."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from langchain_core.messages import ToolCall
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import NodeTool
from aca_node_interpreter.errors import ServiceUnreachableError
from aca_node_interpreter.local import faults
from aca_node_interpreter.rest.side_by_side import side_by_side
from tests.engine import Engine
from tests.machine import closed_port

_EXPORTER = InMemorySpanExporter()
_DELTA: dict[type, AggregationTemporality] = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
_READER = InMemoryMetricReader(preferred_temporality=_DELTA)

Spans = Callable[[], dict[str, ReadableSpan]]


@pytest.fixture(scope="module", autouse=True)
def collecting() -> Iterator[None]:
    """A program sets its providers once, for good."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([_READER]))
    yield
    _EXPORTER.shutdown()


@pytest.fixture(autouse=True)
def forgetting(collecting: None) -> None:
    """What earlier tests told is not this one's."""
    _EXPORTER.clear()
    _READER.get_metrics_data()


def spans() -> dict[str, ReadableSpan]:
    """All spans that ended, by name; of several with one name, the last."""
    return {span.name: span for span in _EXPORTER.get_finished_spans()}


def points() -> dict[str, list[tuple[dict[str, Any], Any]]]:
    """What was measured since the last time: the attributes and the value or count of each series, by metric."""
    data = _READER.get_metrics_data()
    found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [
                    (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", None)))
                    for point in metric.data.data_points
                ]
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: trace.Span | ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def execute(executor: NodeSessionsCodeExecutor, how: str, code: str, **arguments: Any) -> Any:
    if how == "sync":
        return executor.execute(code, **arguments)
    return asyncio.run(executor.aexecute(code, **arguments))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_call_is_a_span_under_the_callers_with_a_span_for_each_part(
    how: str, executor: NodeSessionsCodeExecutor, pool: LocalPool
) -> None:
    with trace.get_tracer("program").start_as_current_span("program") as program:
        execute(executor, how, "fs.writeFileSync('/mnt/data/a.txt', 'four'); console.log('öut')")
    told = spans()
    assert set(told) == {"program", "execute_tool node_interpreter", "allocate", "run", "collect"}
    call = told["execute_tool node_interpreter"]
    assert parent_of(call) == id_of(program)
    assert {parent_of(told[name]) for name in ("allocate", "run", "collect")} == {id_of(call)}
    assert call.kind is SpanKind.INTERNAL
    attributes = dict(call.attributes or {})
    assert attributes.pop("aca_node.code_seconds") == pytest.approx(0, abs=5)
    assert attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "node_interpreter",
        "gen_ai.tool.type": "function",
        "server.address": "127.0.0.1",
        "server.port": int(pool.endpoint.rpartition(":")[2]),
        "aca_node.mode": "managed",
        "aca_node.session": "new",
        "aca_node.exit_code": 0,
        "aca_node.output_bytes": 5,
        "aca_node.artifacts": 1,
        "aca_node.artifact_bytes": 4,
        "aca_node.retries": 0,
        "aca_node.outcome": "ok",
    }
    assert dict(told["collect"].attributes or {}) == {"aca_node.artifacts": 1, "aca_node.artifact_bytes": 4}
    execute(executor, how, "1")
    again = spans()["execute_tool node_interpreter"].attributes or {}
    assert (again["aca_node.session"], again["aca_node.artifacts"]) == ("used", 0)


@pytest.mark.parametrize("mode", ["managed", "raw"])
def test_the_services_own_timings_are_on_the_run(mode: Any, pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, mode=mode) as executor:
        run = executor.execute("let n: number = 1; n" if mode == "managed" else "1")
    span = spans()["run"]
    attributes = dict(span.attributes or {})
    timings = {name.rpartition(".")[2]: value for name, value in attributes.items() if ".service." in name}
    assert timings == run.execution.timings
    assert {"allocation_time", "container_execution_duration", "total_execution_service_time"} <= set(timings)
    assert span.kind is SpanKind.CLIENT
    assert attributes["aca_node.mode"] == mode
    assert attributes["aca_node.api_version"] == "2025-10-02-preview"
    assert attributes.get("aca_node.language") == ("typescript" if mode == "managed" else None)


def test_what_the_code_and_the_caller_keep_secret_is_in_no_span_and_no_metric(pool: LocalPool) -> None:
    secrets = ["my-own-session", pool.token, "MARK", "marked.txt", "http:", "a-thread"]
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_id="my-own-session") as executor:
        executor.execute("fs.writeFileSync('/mnt/data/marked.txt', 'MARK'); console.log('MARK'); throw Error('MARK')")
        executor.execute("'MARK'", thread_id="a-thread")
        executor.upload(b"MARK", name="marked.txt")
        executor.close()
        pool.faults.add(faults.Refuse(403, on="execute", times=1))
        with pytest.raises(Exception, match="role"):
            executor.execute("'MARK'")
    told = [span.to_json() for span in _EXPORTER.get_finished_spans()] + [repr(points())]
    assert len(told) > 8
    assert not [secret for secret in secrets for text in told if secret in text]


def test_conversations_side_by_side_do_not_mix_on_one_event_loop(executor: NodeSessionsCodeExecutor) -> None:
    tracer = trace.get_tracer("program")

    async def talk(name: str) -> None:
        with tracer.start_as_current_span(name):
            await executor.aexecute("await new Promise(done => setTimeout(done, 50))", thread_id=name)
            await executor.aexecute("fs.writeFileSync('/mnt/data/a', 'b')", thread_id=name)

    async def talk_all() -> None:
        await asyncio.gather(*(talk(f"talk {number}") for number in range(4)))
        await executor.aclose()

    asyncio.run(talk_all())
    _check_four_talks()


def test_conversations_side_by_side_do_not_mix_in_threads(executor: NodeSessionsCodeExecutor) -> None:
    tracer = trace.get_tracer("program")

    def talk(name: str) -> None:
        with tracer.start_as_current_span(name):
            executor.execute("await new Promise(done => setTimeout(done, 50))", thread_id=name)
            executor.execute("fs.writeFileSync('/mnt/data/a', 'b')", thread_id=name)

    threads = [threading.Thread(target=talk, args=(f"talk {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _check_four_talks()


def _check_four_talks() -> None:
    by_trace: dict[int, list[str]] = {}
    for span in _EXPORTER.get_finished_spans():
        assert span.context is not None
        by_trace.setdefault(span.context.trace_id, []).append(span.name.split()[0])
    calls = ["allocate", "allocate", "collect", "execute_tool", "execute_tool", "run", "run", "talk"]
    assert [sorted(names) for names in by_trace.values()] == [calls] * 4


def test_what_is_done_in_threads_is_done_in_the_callers_context() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody's")
    name.set("the caller's")
    assert side_by_side(lambda _: name.get(), range(3), 2) == ["the caller's"] * 3


def test_a_call_that_fails_is_an_error_and_code_that_fails_is_an_outcome(executor: NodeSessionsCodeExecutor) -> None:
    executor.execute("throw Error('no')")
    failed = spans()["execute_tool node_interpreter"]
    assert (failed.status.status_code, (failed.attributes or {})["aca_node.outcome"]) == (StatusCode.UNSET, "failed")
    with NodeSessionsCodeExecutor(f"http://127.0.0.1:{closed_port()}", token="t") as lost:
        with pytest.raises(ServiceUnreachableError):
            lost.execute("1")
        told, measured = spans(), points()
    for name in ("run", "execute_tool node_interpreter"):
        assert told[name].status.status_code is StatusCode.ERROR
        assert told[name].status.description is None
        assert (told[name].attributes or {})["error.type"] == "ServiceUnreachableError"
        assert not told[name].events
    assert (told["execute_tool node_interpreter"].attributes or {})["aca_node.retries"] == 2
    assert measured["aca_node.retries"] == [({"aca_node.retry.reason": "failure"}, 2)]
    tool = {"gen_ai.tool.name": "node_interpreter"}
    assert measured["gen_ai.execute_tool.duration"] == [
        ({**tool, "aca_node.outcome": "failed"}, 1),
        ({**tool, "error.type": "ServiceUnreachableError"}, 1),
    ]
    assert measured["aca_node.run.duration"] == [
        ({"aca_node.mode": "managed"}, 1),
        ({"aca_node.mode": "managed", "error.type": "ServiceUnreachableError"}, 1),
    ]


async def test_a_call_that_is_cancelled_says_so_and_leaves_the_callers_span(executor: NodeSessionsCodeExecutor) -> None:
    with trace.get_tracer("program").start_as_current_span("program") as program:
        running = asyncio.ensure_future(executor.aexecute("await new Promise(() => setInterval(() => {}, 1000))"))
        talks = executor._runner._conversations.unended
        await asyncio.to_thread(wait_until, lambda: any(talk.session.was_used for talk in talks()))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert trace.get_current_span() is program
    await executor.aclose()
    assert {name: (span.attributes or {}).get("error.type") for name, span in spans().items()} == {
        "program": None,
        "allocate": None,
        "run": "cancelled",
        "execute_tool node_interpreter": "cancelled",
    }


def test_code_that_is_refused_is_an_outcome_without_a_run(executor: NodeSessionsCodeExecutor) -> None:
    executor.execute("```python\nprint()\n```")
    assert set(spans()) == {"execute_tool node_interpreter", "allocate"}
    assert (spans()["execute_tool node_interpreter"].attributes or {})["aca_node.outcome"] == "refused"


def test_a_session_that_was_lost_or_given_back_is_told(isolation: Any) -> None:
    with Engine(isolation=isolation) as pool:
        options: dict[str, Any] = {"token": pool.token, "max_concurrent_sessions": 1}
        with NodeSessionsCodeExecutor(pool.endpoint, session_id="one-session", **options) as executor:
            executor.execute("1")
            pool.delete_session("one-session")
            executor.execute("1")
            assert (spans()["execute_tool node_interpreter"].attributes or {})["aca_node.session"] == "recycled"
        with NodeSessionsCodeExecutor(pool.endpoint, **options) as executor:
            for thread in ("a", "b", "a"):
                executor.execute("1", thread_id=thread)
            assert (spans()["execute_tool node_interpreter"].attributes or {})["aca_node.session"] == "given_back"


def test_a_full_pool_is_waited_for_inside_the_run(isolation: Any) -> None:
    with LocalPool(isolation=isolation, faults=[faults.Refuse(429, on="execute", times=1)]) as pool:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
            assert executor.execute("1").exit_code == 0
    told = spans()
    assert parent_of(told["allocate"]) == id_of(told["run"])
    assert points()["aca_node.retries"] == [({"aca_node.retry.reason": "pool_full"}, 1)]


def test_an_operator_sees_runs_sessions_and_who_waits(executor: NodeSessionsCodeExecutor) -> None:
    before = points()
    hold = "fs.writeFileSync('/mnt/data/a', '12345'); await new Promise(done => setTimeout(done, 1500))"
    threads = [threading.Thread(target=executor.execute, args=(hold,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    conversations = executor._runner._conversations
    wait_until(lambda: (conversations.sessions_in_use, conversations.calls_waiting) == (1, 2))
    during = points()
    for thread in threads:
        thread.join()
    executor.close()
    after = points()

    def grown(name: str, since: Any, until: Any) -> int:
        return int(until[name][0][1] - since[name][0][1])

    assert grown("aca_node.sessions", before, during) == 1
    assert grown("aca_node.calls.waiting", before, during) == 2
    assert grown("aca_node.sessions", during, after) == -1
    assert grown("aca_node.calls.waiting", during, after) == -2
    assert after["aca_node.run.duration"] == [({"aca_node.mode": "managed"}, 3)]
    assert after["aca_node.artifacts.size"] == [({}, 15)]


def test_langchains_tool_call_has_its_id(executor: NodeSessionsCodeExecutor) -> None:
    executor.invoke(ToolCall(name=executor.name, args={"code": "1"}, id="call-7", type="tool_call"))
    assert (spans()["execute_tool node_interpreter"].attributes or {})["gen_ai.tool.call.id"] == "call-7"


async def test_autogens_blocks_are_calls_and_the_span_of_its_tool_is_ours(executor: NodeSessionsCodeExecutor) -> None:
    blocks = [CodeBlock("1", "javascript"), CodeBlock("2", "javascript")]
    await executor.execute_code_blocks(blocks, CancellationToken())
    assert [span.name for span in _EXPORTER.get_finished_spans()].count("execute_tool node_interpreter") == 2
    _EXPORTER.clear()
    await NodeTool(executor).run_json({"code": "1"}, CancellationToken(), call_id="call-8")
    names = [span.name for span in _EXPORTER.get_finished_spans()]
    assert sorted(names) == ["allocate", "execute_tool node_interpreter", "run"]
    attributes = spans()["execute_tool node_interpreter"].attributes or {}
    assert (attributes["gen_ai.tool.call.id"], attributes["aca_node.outcome"]) == ("call-8", "ok")
    await executor.aclose()


def test_nothing_of_opentelemetry_is_imported_by_a_program_that_does_not_use_it() -> None:
    code = """
import sys
from aca_node_interpreter.running.runner import SessionRunner
from aca_node_interpreter.running.settings import Settings
from aca_node_interpreter import telemetry
runner = SessionRunner(Settings(isolation="none"))
with telemetry.call("tool"):
    print(runner.perform(runner.run("6 * 7")).value)
runner.close()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "42\n[]\n"
