"""Code that somebody approves before it runs, on both faces over real Node.js."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from langchain_core.messages import ToolCall
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor, Policy, Proposal
from aca_node_interpreter.approval import Answer, Approve
from aca_node_interpreter.autogen import NodeTool
from aca_node_interpreter.errors import ConfigurationError, ServiceUnreachableError
from tests.http_server import OPENING, Response, serve
from tests.langchain.test_repeated_calls import calls

COUNT = "globalThis.n = (globalThis.n ?? 0) + 1"
# Seconds that nothing here takes, unless it never ends.
PATIENCE = 20


@pytest.fixture
def approved(pool: LocalPool) -> Any:
    """Makes executors with an approval, and closes them."""
    made = []

    def make(approve: Approve, **settings: Any) -> NodeSessionsCodeExecutor:
        made.append(NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, approve=approve, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., NodeSessionsCodeExecutor]


async def later(answer: Answer, asked: list[Proposal], proposal: Proposal) -> Answer:
    await asyncio.sleep(0)
    asked.append(proposal)
    return answer


def at_once(answer: Answer, asked: list[Proposal], proposal: Proposal) -> Answer:
    asked.append(proposal)
    return answer


class Asynchronous:
    """Something that is called, and awaited."""

    async def __call__(self, proposal: Proposal) -> bool:
        asyncio.get_running_loop()
        return True


@pytest.mark.parametrize("mode", ["managed", "raw"])
def test_what_is_asked_says_what_would_run(approved: Make, mode: str) -> None:
    asked: list[Proposal] = []
    executor = approved(partial(at_once, True, asked), mode=mode)
    code = "require('node:path'); fs.existsSync('/'); require('./a.json'); require('path')"
    executor.execute(code, thread_id="ada")
    executor.execute("1")
    assert asked == [Proposal(code, "ada", ("path", "fs")), Proposal("1", None, ())]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (False, "The code was not run: it was not approved."),
        ("", "The code was not run: it was not approved."),
        ("use fewer files", "The code was not run: it was not approved: use fewer files"),
    ],
)
@pytest.mark.parametrize("ask", [at_once, later])
async def test_both_faces_tell_the_model_that_it_was_denied(answer: Answer, told: str, ask: Callable[..., Any]) -> None:
    with serve(lambda _: Response(500)) as server:
        async with NodeSessionsCodeExecutor(
            server.url, token="t", session_id="mine", approve=partial(ask, answer, [])
        ) as executor:
            made = await executor.execute_code_blocks([CodeBlock("1", "js"), CodeBlock("2", "js")], CancellationToken())
            assert (made.output, made.exit_code) == (told, 1)
            call = ToolCall(name="node_interpreter", args={"code": "1"}, id="1", type="tool_call")
            message = await executor.ainvoke(call)
            assert (message.content, message.status, message.artifact["exit_code"]) == (told, "success", 1)
            if ask is at_once:
                assert executor.invoke(call).content == told
        assert {request.path for request in server.requests} <= OPENING


@pytest.mark.parametrize(
    "approve", [partial(at_once, True, []), partial(later, True, []), Asynchronous(), lambda _: later(True, [], _)]
)
async def test_what_was_approved_runs(approved: Make, approve: Approve) -> None:
    assert (await approved(approve).aexecute("6 * 7")).value == 42


def test_an_asynchronous_approval_of_a_synchronous_call_is_an_error_that_says_what_to_do(approved: Make) -> None:
    executor = approved(partial(later, True, []))
    with pytest.raises(ConfigurationError, match="use the asynchronous method"):
        executor.execute(COUNT)
    assert asyncio.run(executor.aexecute("typeof n")).value == "undefined"


@pytest.mark.parametrize("answer", [None, 1])
def test_an_answer_that_is_none_is_an_error(approved: Make, answer: Any) -> None:
    with pytest.raises(ConfigurationError, match="let it return True, False or a reason"):
        approved(partial(at_once, answer, [])).execute("1")


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_it_raises_reaches_the_caller_and_the_next_run_is_asked_about(
    approved: Make, is_async: bool
) -> None:
    answers: list[Any] = [KeyError("gone"), True]

    def approve(proposal: Proposal) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    executor = approved(approve)
    with pytest.raises(KeyError, match="gone"):
        await executor.aexecute(COUNT) if is_async else executor.execute(COUNT)
    assert (await executor.aexecute(COUNT)).value == 1


def test_what_the_policy_refuses_nobody_is_asked_about(approved: Make) -> None:
    asked: list[Proposal] = []
    executor = approved(partial(at_once, True, asked), policy=Policy(network=False))
    executor.execute("fetch('http://a')")
    executor.execute("import { from 'fs'")
    executor.execute(" ")
    assert asked == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_cancelling_while_it_waits_ends_everything_with_nothing_sent(is_async: bool) -> None:
    asked, goes_on = threading.Event(), threading.Event()

    async def wait_for_ever(_: Proposal) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    def wait(_: Proposal) -> bool:
        asked.set()
        return goes_on.wait(PATIENCE)

    with serve(lambda _: Response(500)) as server:
        approve: Approve = wait_for_ever if is_async else wait
        async with NodeSessionsCodeExecutor(server.url, token="t", session_id="mine", approve=approve) as executor:
            token = CancellationToken()
            running = asyncio.ensure_future(executor.execute_code_blocks([CodeBlock("1", "js")], token))
            await asyncio.to_thread(asked.wait, PATIENCE)
            token.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(running, PATIENCE)
            goes_on.set()
            # The place in the queue was given up: the next one is asked.
            asked.clear()
            again = asyncio.ensure_future(executor.aexecute("1"))
            assert await asyncio.to_thread(asked.wait, PATIENCE)
            again.cancel()
        assert {request.path for request in server.requests} <= OPENING


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_slow_person_holds_up_no_other_conversation(approved: Make, is_async: bool) -> None:
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    loop.set_default_executor(threads)
    waiting, decided, released = asyncio.Event(), asyncio.Event(), threading.Event()

    async def asks_async(proposal: Proposal) -> bool:
        if proposal.conversation == "slow":
            waiting.set()
            await decided.wait()
        return True

    def asks(proposal: Proposal) -> bool:
        if proposal.conversation == "slow":
            loop.call_soon_threadsafe(waiting.set)
            return released.wait(PATIENCE)
        return True

    executor = approved(asks_async if is_async else asks)
    slow = [asyncio.ensure_future(executor.aexecute("1", thread_id="slow")) for _ in range(3)]
    await waiting.wait()
    large = f"{' ' * 20_000}2"
    assert (await asyncio.wait_for(executor.aexecute(large, thread_id="quick"), PATIENCE)).value == 2
    # Nor what is no code in the same one.
    assert await asyncio.wait_for(executor.alist_files(thread_id="slow"), PATIENCE) == []
    assert not any(each.done() for each in slow)
    decided.set()
    released.set()
    assert [run.value for run in await asyncio.gather(*slow)] == [1, 1, 1]


async def test_texts_of_a_conversation_are_asked_about_and_run_in_their_order(approved: Make) -> None:
    asked: list[str] = []

    async def approve(proposal: Proposal) -> bool:
        asked.append(proposal.code)
        # The first answers come last, if they can.
        for _ in range(30 - 10 * len(asked)):
            await asyncio.sleep(0)
        return True

    executor = approved(approve)
    codes = [f"(globalThis.order ??= []).push({n}); order.join()" for n in range(3)]
    runs = await asyncio.gather(*(executor.aexecute(code) for code in codes))
    assert asked == codes
    assert [run.value for run in runs] == ["0", "0,1", "0,1,2"]


async def test_texts_keep_their_order_when_their_session_is_given_back_meanwhile(approved: Make) -> None:
    asked, answer = [], asyncio.Event()

    async def ask(proposal: Proposal) -> bool:
        asked.append(proposal.code)
        if proposal.code == "1":
            await answer.wait()
        return True

    executor = approved(ask, max_concurrent_sessions=1)
    await executor.aexecute("0", thread_id="a")
    first = asyncio.ensure_future(executor.aexecute("1", thread_id="a"))
    await asyncio.sleep(0.05)
    # It needs the only place, which the first one's conversation holds while somebody thinks.
    await executor.aexecute("other", thread_id="b")
    second = asyncio.ensure_future(executor.aexecute("2", thread_id="a"))
    await asyncio.sleep(0.3)
    assert asked == ["0", "1", "other"]
    answer.set()
    await asyncio.wait_for(asyncio.gather(first, second), PATIENCE)
    assert asked == ["0", "1", "other", "2"]


async def test_an_executor_that_was_closed_meanwhile_runs_nothing(approved: Make) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def approve(_: Proposal) -> bool:
        asked.set()
        await closed.wait()
        return True

    executor = approved(approve)
    running = asyncio.ensure_future(executor.aexecute("1"))
    await asked.wait()
    await executor.aclose()
    closed.set()
    with pytest.raises(ServiceUnreachableError, match="closed while this waited"):
        await running


@pytest.mark.parametrize("is_async", [True, False])
async def test_approval_that_runs_code_of_its_own_conversation_is_an_error_and_no_deadlock(
    approved: Make, is_async: bool
) -> None:
    def approve(proposal: Proposal) -> bool:
        if proposal.conversation is None:
            assert executor.execute("2", thread_id="trial").value == 2
            executor.execute("3")
        return True

    executor = approved(approve)
    with pytest.raises(ConfigurationError, match="that it is asked about"):
        await executor.aexecute("1") if is_async else await asyncio.to_thread(executor.execute, "1")


def test_models_are_told_of_it(approved: Make) -> None:
    executor = approved(partial(at_once, True, []))
    assert executor.description.endswith("- Code runs only after it was approved.")
    assert executor.system_message.endswith("- Code runs only after it was approved.")


def test_an_executor_with_an_approval_is_not_written_down_without_it(approved: Make) -> None:
    executor = approved(partial(at_once, True, []))
    for component in (executor, NodeTool(executor)):
        with pytest.raises(ConfigurationError, match="approve can't be written down"):
            component.dump_component()


def graph_of(executor: NodeSessionsCodeExecutor) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([executor]))
    graph.add_edge(START, "tools")
    return graph.compile(checkpointer=InMemorySaver())


def ask_a_person(proposal: Proposal) -> Answer:
    answer: Answer = interrupt({"code": proposal.code})
    return answer


async def ask_a_person_later(proposal: Proposal) -> Answer:
    return ask_a_person(proposal)


@pytest.mark.parametrize(
    ("approve", "is_async"), [(ask_a_person, True), (ask_a_person, False), (ask_a_person_later, True)]
)
async def test_a_graph_is_interrupted_to_ask_a_person(approved: Make, approve: Approve, is_async: bool) -> None:
    executor = approved(approve)
    graph, thread = graph_of(executor), {"configurable": {"thread_id": "a"}}

    async def invoke(given: Any) -> Any:
        return await graph.ainvoke(given, thread) if is_async else graph.invoke(given, thread)

    state = await invoke(calls(("node_interpreter", {"code": COUNT})))
    assert [each.value for each in state["__interrupt__"]] == [{"code": COUNT}]
    assert executor._calls._known == {}
    state = await invoke(Command(resume=True))
    assert [(message.content, message.status) for message in state["messages"][1:]] == [("=> 1", "success")]
    state = await invoke(calls(("node_interpreter", {"code": COUNT})))
    state = await invoke(Command(resume="not today"))
    assert state["messages"][-1].content == "The code was not run: it was not approved: not today"
    state = await invoke(calls(("node_interpreter", {"code": COUNT})))
    state = await invoke(Command(resume=True))
    assert state["messages"][-1].content == "=> 2"


async def test_a_call_that_a_graph_repeats_is_not_asked_about_again(approved: Make) -> None:
    asked: list[str] = []

    def approve(proposal: Proposal) -> Answer:
        asked.append(proposal.code)
        return ask_a_person(proposal) if proposal.code == "n * 10" else True

    executor = approved(approve)
    graph, thread = graph_of(executor), {"configurable": {"thread_id": "b"}}
    two = calls(("node_interpreter", {"code": COUNT}), ("node_interpreter", {"code": "n * 10"}))
    await graph.ainvoke(two, thread)
    state = await graph.ainvoke(Command(resume=True), thread)
    assert [message.content for message in state["messages"][1:]] == ["=> 1", "=> 10"]
    assert asked == [COUNT, "n * 10", "n * 10"]
