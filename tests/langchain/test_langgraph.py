"""Agents and graphs of LangChain as people build them: threads, parallel calls, events, approval, traces."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from pydantic import SecretStr

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import DeadlineExceededError
from aca_node_interpreter.langchain.call_order import CallOrder, Place, place_of
from aca_node_interpreter.rest.patience import Deadline
from aca_node_interpreter.testing import Call, Say, ScriptedModel, Turn

PUSH = "(globalThis.order ??= []).push({n}); order.join(' ')"


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


def client(model: ScriptedModel) -> ChatOpenAI:
    return ChatOpenAI(model=model.name, base_url=model.base_url, api_key=SecretStr(model.api_key))


def saver() -> InMemorySaver:
    """Keep checkpoints as Postgres and SQLite do: as bytes, and reading back only what is known to be safe."""
    return InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def run(code: str) -> Call:
    return Call("node_interpreter", code=code)


def ask(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def parallel_pushes() -> Any:
    made = [
        ToolCall(name="node_interpreter", args={"code": PUSH.format(n=n)}, id=f"c{n}", type="tool_call")
        for n in range(8)
    ]
    return {"messages": [AIMessage("", tool_calls=made)]}


def tool_node(*tools: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(list(tools)))
    graph.add_edge(START, "tools")
    return graph.compile()


def test_a_thread_keeps_its_variables_and_its_checkpoints_and_another_sees_neither(
    executor: NodeSessionsCodeExecutor,
) -> None:
    checkpoints = saver()
    script: list[Any] = [
        run("const secret = 42; fs.writeFileSync('/mnt/data/a.csv', 'n\\n1\\n'); secret"),
        Turn(Say("Noted."), output="=> 42"),
        run("secret + 1"),
        Turn(Say("It is 43."), output="=> 43"),
        run("typeof secret"),
        Turn(Say("Nothing there."), output="=> 'undefined'"),
    ]
    with ScriptedModel(script) as model:
        for name, text in (("ada", "Keep 42."), ("ada", "Add one."), ("bob", "What is kept?")):
            # A new agent each time: what it knows comes from the checkpoint.
            agent = create_agent(client(model), tools=[executor], checkpointer=checkpoints)
            agent.invoke(ask(text), thread(name))
        kept = agent.get_state(thread("ada")).values["messages"]
    assert [message.text for message in kept if isinstance(message, AIMessage) and message.text] == [
        "Noted.",
        "It is 43.",
    ]
    first = next(message for message in kept if isinstance(message, ToolMessage))
    assert (first.artifact["value"], first.artifact["files"][0]["name"]) == (42, "a.csv")
    executor.close("ada")
    assert executor.execute("typeof secret", thread_id="ada").value == "undefined"


@pytest.mark.parametrize("is_async", [False, True])
async def test_parallel_calls_on_one_thread_run_in_the_messages_order(
    is_async: bool, executor: NodeSessionsCodeExecutor
) -> None:
    graph = tool_node(executor)
    for name in ("a", "b", "c"):
        if is_async:
            state = await graph.ainvoke(parallel_pushes(), thread(name))
        else:
            state = await asyncio.to_thread(graph.invoke, parallel_pushes(), thread(name))
        assert [message.artifact["value"] for message in state["messages"][1:]] == [
            " ".join(map(str, range(n + 1))) for n in range(8)
        ]


async def test_a_handler_that_holds_up_the_first_calls_does_not_change_the_order(
    executor: NodeSessionsCodeExecutor,
) -> None:
    class Slow(BaseCallbackHandler):
        def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
            time.sleep(0.1 if "push(0)" in input_str else 0)

    state = await tool_node(executor).ainvoke(parallel_pushes(), {**thread("held up"), "callbacks": [Slow()]})
    assert state["messages"][-1].artifact["value"] == "0 1 2 3 4 5 6 7"


def test_parallel_calls_of_an_agent_run_in_order_too(executor: NodeSessionsCodeExecutor) -> None:
    script: list[Any] = []
    for _ in range(3):
        script += [[run(PUSH.format(n=n)) for n in range(6)], Say("Done.")]
    with ScriptedModel(script) as model:
        agent = create_agent(client(model), tools=[executor])
        for name in ("d", "e", "f"):
            said = agent.invoke(ask("Count."), thread(name))["messages"]
            assert [message.content for message in said if isinstance(message, ToolMessage)][-1] == "=> '0 1 2 3 4 5'"


async def test_calls_on_two_threads_run_beside_each_other(executor: NodeSessionsCodeExecutor) -> None:
    graph = tool_node(executor)

    def nap() -> Any:
        code = "await new Promise(done => setTimeout(done, 1000)); 1"
        return {
            "messages": [
                AIMessage("", tool_calls=[ToolCall(name=executor.name, args={"code": code}, id="c", type="tool_call")])
            ]
        }

    for name in ("g", "h"):
        await executor.aexecute("0", thread_id=name)
    begun = time.monotonic()
    await asyncio.gather(*(graph.ainvoke(nap(), thread(name)) for name in ("g", "h")))
    assert time.monotonic() - begun < 1.8


async def test_a_call_that_waits_for_an_earlier_one_ends_when_the_executor_is_closed(
    executor: NodeSessionsCodeExecutor,
) -> None:
    codes = ("globalThis.begun = 1; await new Promise(done => setTimeout(done, 20_000))", "1")
    made = [ToolCall(name=executor.name, args={"code": code}, id=code, type="tool_call") for code in codes]
    graph = tool_node(executor)
    await executor.aexecute("0", thread_id="z")
    running = asyncio.ensure_future(
        asyncio.to_thread(lambda: graph.invoke({"messages": [AIMessage("", tool_calls=made)]}, thread("z")))
    )
    await asyncio.sleep(1)
    await executor.aclose()
    state = await asyncio.wait_for(running, 15)
    assert state["messages"][-1].status == "error"
    assert "Nothing ran: the executor was closed" in state["messages"][-1].content


def message_of(*ids: str, tool: str = "node_interpreter") -> AIMessage:
    made = [ToolCall(name=tool, args={}, id=each, type="tool_call") for each in ids]
    return AIMessage("", id="m", tool_calls=[*made, ToolCall(name="other", args={}, id="x", type="tool_call")])


def test_the_place_of_a_call_is_among_those_of_its_tool_that_are_not_answered() -> None:
    messages = [message_of("a", "b", "c"), ToolMessage("no", tool_call_id="a")]
    runtime = SimpleNamespace(tool_call_id="c", state={"messages": messages})
    assert place_of(runtime, "t", "node_interpreter") == Place(("t", "m", "c"), (("t", "m", "b"),))
    for state in (messages, SimpleNamespace(messages=messages)):
        assert place_of(SimpleNamespace(tool_call_id="c", state=state), "t", "node_interpreter") is not None
    for unknown in (
        None,
        SimpleNamespace(tool_call_id="z", state=messages),
        SimpleNamespace(tool_call_id="c", state=3),
    ):
        assert place_of(unknown, "t", "node_interpreter") is None
    alone = SimpleNamespace(tool_call_id="a", state=[message_of("a")])
    assert place_of(alone, "t", "node_interpreter") is None


async def test_on_an_event_loop_a_call_that_never_arrives_holds_up_the_next_for_a_moment_only() -> None:
    order, begun = CallOrder(), time.monotonic()
    for number in (1, 2):
        async with order.in_order_async(Place(("", "m", str(number)), (("", "m", "0"),) if number == 1 else ())):
            pass
    assert 0.2 < time.monotonic() - begun < 2


def test_a_call_that_never_arrives_holds_up_the_next_for_a_moment_only() -> None:
    order, begun = CallOrder(), time.monotonic()
    with order.in_order(Place(("t", "m", "b"), (("t", "m", "a"),))):
        assert time.monotonic() - begun < 2
    for number in range(600):
        with order.in_order(Place(("t", "m", str(number)), ())):
            pass
    assert len(order._is_over) == 500


def test_who_waits_for_earlier_calls_too_long_is_told_and_later_ones_keep_their_order() -> None:
    order, ended = CallOrder(), []
    keys = [("t", "m", each) for each in "abc"]
    places = [Place(key, tuple(keys[:number])) for number, key in enumerate(keys)]

    def last() -> None:
        with order.in_order(places[2]):
            ended.append("c")

    with order.in_order(places[0]):
        second = order.in_order(places[1], Deadline.after(0.1))
        with pytest.raises(DeadlineExceededError, match="Nothing ran") as caught, second:
            pass
        assert caught.value.ran is False
        third = threading.Thread(target=last)
        third.start()
        third.join(0.5)
        ended.append("a")
    third.join(5)
    assert ended == ["a", "c"]


def test_one_deadline_covers_waiting_for_earlier_calls(pool: LocalPool) -> None:
    made = [
        ToolCall(name="node_interpreter", args={"code": f"while (true); {number}"}, id=str(number), type="tool_call")
        for number in range(3)
    ]
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, timeout=3, deadline=9) as executor:
        state = tool_node(executor).invoke({"messages": [AIMessage("", tool_calls=made)]}, thread("late"))
    last = state["messages"][-1]
    assert last.status == "error"
    assert "Nothing ran" in last.content
    assert "deadline of 9 seconds" in last.content


async def test_events_tell_of_the_tool_by_its_name_with_the_result(executor: NodeSessionsCodeExecutor) -> None:
    with ScriptedModel([run("6 * 7"), Say("42.")]) as model:
        agent = create_agent(client(model), tools=[executor])
        events = [
            (event["event"], event["data"])
            async for event in agent.astream_events(ask("6 times 7?"), version="v2")
            if event["name"] == "node_interpreter"
        ]
    assert [kind for kind, _ in events] == ["on_tool_start", "on_tool_end"]
    assert events[0][1]["input"] == {"code": "6 * 7"}
    assert (events[1][1]["output"].content, events[1][1]["output"].artifact["value"]) == ("=> 42", 42)


class Trace(BaseCallbackHandler):
    """What a tracer such as LangSmith is told."""

    def __init__(self) -> None:
        self.tools: list[tuple[dict[str, Any] | None, dict[str, Any] | None]] = []

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.tools.append((metadata, inputs))


def test_a_trace_tells_the_language_and_only_what_the_model_filled_in(executor: NodeSessionsCodeExecutor) -> None:
    trace = Trace()
    tool_node(executor).invoke(parallel_pushes(), {"callbacks": [trace]})
    assert len(trace.tools) == 8
    for metadata, inputs in trace.tools:
        assert metadata is not None
        assert metadata["ls_code_input_language"] == "javascript"
        assert inputs is not None
        assert inputs.keys() == {"code"}


@pytest.mark.parametrize(
    ("decision", "output", "value"),
    [
        ({"type": "approve"}, "=> 'proposed'", "proposed"),
        (
            {
                "type": "edit",
                "edited_action": {"name": "node_interpreter", "args": {"code": "globalThis.done = 'edited'"}},
            },
            "=> 'edited'",
            "edited",
        ),
        ({"type": "reject", "message": "Not that."}, "Not that.", "nothing"),
    ],
)
def test_a_person_approves_edits_and_rejects(
    decision: Any, output: str, value: str, executor: NodeSessionsCodeExecutor
) -> None:
    with ScriptedModel([run("globalThis.done = 'proposed'"), Turn(Say("Well."), output=output)]) as model:
        agent = create_agent(
            client(model),
            tools=[executor],
            middleware=[HumanInTheLoopMiddleware(interrupt_on={"node_interpreter": True})],
            checkpointer=saver(),
        )
        state = agent.invoke(ask("Do it."), thread("p"))
        request = state["__interrupt__"][0].value["action_requests"][0]
        assert (request["name"], request["args"]) == ("node_interpreter", {"code": "globalThis.done = 'proposed'"})
        assert executor.execute("globalThis.done ?? 'nothing'", thread_id="p").value == "nothing"
        agent.invoke(Command(resume={"decisions": [decision]}), thread("p"))
    assert executor.execute("globalThis.done ?? 'nothing'", thread_id="p").value == value
