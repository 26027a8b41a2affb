"""A graph that repeats a step gets what came of its calls, and no code runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import SecretStr

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError, MalformedResponseError, PoolFullError, ServiceUnreachableError
from aca_node_interpreter.langchain.repeated_calls import RepeatedCalls, key_of, made_by
from aca_node_interpreter.rest.flow import Flow
from aca_node_interpreter.rest.models import Execution, Status
from aca_node_interpreter.sessions import managed
from aca_node_interpreter.sessions.runs import Run
from aca_node_interpreter.testing import Call, Say, ScriptedModel
from tests.http_server import Response, serve

COUNT = "globalThis.n = (globalThis.n ?? 0) + 1"
RETRY = RetryPolicy(initial_interval=0.01, jitter=False, max_attempts=3)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


def calls(*named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    made = [ToolCall(name=name, args=args, id=f"c{n}", type="tool_call") for n, (name, args) in enumerate(named)]
    return {"messages": [AIMessage("", tool_calls=made)]}


def graph_of(*tools: Any, **settings: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(list(tools)), retry_policy=RETRY)
    graph.add_edge(START, "tools")
    return graph.compile(**settings)


def test_a_step_that_another_tool_failed_is_repeated_and_the_code_is_not(executor: NodeSessionsCodeExecutor) -> None:
    attempts = count(1)

    @tool
    def flaky() -> str:
        """Fail twice."""
        if next(attempts) < 3:
            raise ConnectionError("try again")
        return "at last"

    twice = calls(("node_interpreter", {"code": COUNT}), ("flaky", {}), ("node_interpreter", {"code": COUNT}))
    thread: Any = {"configurable": {"thread_id": "a"}}
    graph = graph_of(executor, flaky)
    said = graph.invoke(twice, thread)["messages"]
    assert sorted(message.content for message in said[1:]) == ["=> 1", "=> 2", "at last"]
    assert next(attempts) == 4
    assert executor.execute("n", thread_id="a").value == 2
    # The same ids in another step are other calls.
    graph.invoke(twice, thread)
    assert executor.execute("n", thread_id="a").value == 4


async def test_a_step_that_was_interrupted_for_a_person_goes_on(executor: NodeSessionsCodeExecutor) -> None:
    @tool
    def ask() -> str:
        """Ask a person."""
        return str(interrupt("Shall I?"))

    graph = graph_of(executor, ask, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "b"}}
    state = await graph.ainvoke(calls(("node_interpreter", {"code": COUNT}), ("ask", {})), thread)
    assert [each.value for each in state["__interrupt__"]] == ["Shall I?"]
    assert (await executor.aexecute("n", thread_id="b")).value == 1
    state = await graph.ainvoke(Command(resume="Yes."), thread)
    assert [message.content for message in state["messages"][1:]] == ["=> 1", "Yes."]
    assert (await executor.aexecute("n", thread_id="b")).value == 1


async def test_a_step_that_was_cancelled_is_not_run_again(executor: NodeSessionsCodeExecutor) -> None:
    graph = graph_of(executor, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "c"}}
    code = "fs.appendFileSync('/mnt/data/log', 'x'); await new Promise(done => setTimeout(done, 1500)); 'done'"
    running = asyncio.ensure_future(graph.ainvoke(calls(("node_interpreter", {"code": code})), thread))
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    state = await graph.ainvoke(None, thread)
    assert state["messages"][-1].status == "error"
    assert "It was not run again" in state["messages"][-1].content
    assert (await executor.aexecute("fs.readFileSync('/mnt/data/log', 'utf8')", thread_id="c")).value == "x"


@pytest.mark.parametrize("retries", ["middleware", "policy"])
def test_a_call_in_doubt_is_not_sent_again(retries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "_PATIENCE", 0.2)
    with serve(lambda _: Response(500)) as server:
        with NodeSessionsCodeExecutor(server.url, token="t", session_id="mine", handle_tool_error=False) as executor:
            if retries == "policy":
                graph = graph_of(executor)
                with pytest.raises(ToolException, match="it may have run"):
                    graph.invoke(calls(("node_interpreter", {"code": "marker_of_the_code"})))
            else:
                with ScriptedModel([Call("node_interpreter", code="marker_of_the_code"), Say("Sorry.")]) as model:
                    chat = ChatOpenAI(model=model.name, base_url=model.base_url, api_key=SecretStr(model.api_key))
                    again = ToolRetryMiddleware(max_retries=2, initial_delay=0.01, jitter=False)
                    agent = create_agent(chat, tools=[executor], middleware=[again])
                    said = agent.invoke({"messages": [HumanMessage("Go.")]})["messages"]
                assert "failed after 3 attempts" in said[-2].content
        assert sum(b"marker_of_the_code" in request.body for request in server.requests) == 1


def flow(outcome: Run | AcaNodeError) -> Flow[Run]:
    yield from ()
    if isinstance(outcome, AcaNodeError):
        raise outcome
    return outcome


def performed(calls: RepeatedCalls, outcome: Run | AcaNodeError) -> Run:
    running = calls.once("key", lambda _: flow(outcome))(None)  # type: ignore[arg-type]  # no session is needed
    with pytest.raises(StopIteration) as ended:
        next(running)
    run: Run = ended.value.value
    return run


@pytest.mark.parametrize(
    ("error", "runs_again"),
    [
        (PoolFullError("full", status=429), True),
        (ServiceUnreachableError("nobody there", ran=False), True),
        (ServiceUnreachableError("it broke"), False),
        (ServiceUnreachableError("it ran", ran=True), False),
        (MalformedResponseError("what?"), False),
    ],
)
def test_only_what_certainly_did_not_run_runs_again(error: AcaNodeError, runs_again: bool) -> None:
    made, run = RepeatedCalls(), Run(Execution(Status.SUCCEEDED))
    with pytest.raises(type(error)):
        performed(made, error)
    if runs_again:
        assert performed(made, run) is run
    else:
        with pytest.raises(ServiceUnreachableError, match=str(error).replace("?", ".")) as caught:
            performed(made, run)
        assert caught.value.ran is error.ran


def test_calls_that_no_graph_makes_have_no_key() -> None:
    assert key_of({"checkpoint_ns": "tools:1"}, "", "1") is None
    with made_by("c1"):
        assert key_of({}, "", "1") is None
        assert key_of({"checkpoint_ns": "tools:1"}, "", "1") != key_of({"checkpoint_ns": "tools:1"}, "x", "1")
    with made_by("c2"):
        assert key_of({"checkpoint_ns": "tools:1"}, "\ud800", "\ud800") is not None


def test_only_so_many_calls_are_remembered() -> None:
    made, run = RepeatedCalls(), Run(Execution(Status.SUCCEEDED))
    for number in range(600):
        for _ in made.once(str(number), lambda _: flow(run))(None):  # type: ignore[arg-type]
            pass
    assert len(made._known) == 500
