"""Defects that other tools for code in session pools have: for each, what must hold, tried on our object."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock, CodeExecutor
from autogen_ext.tools.langchain import LangChainToolAdapter
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import PoolFullError, ResponseTimeoutError
from aca_node_interpreter.rest.operations import LEGACY_API
from tests.engine import Engine
from tests.fault_proxy import FaultProxy
from tests.fault_table import FULL
from tests.faults import HoldReply
from tests.http_server import Request, Response, serve
from tests.raw_server import Caller, listening

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def proxy(engine: Engine) -> Iterator[FaultProxy]:
    with FaultProxy(engine) as running:
        yield running


async def run(executor: NodeSessionsCodeExecutor, code: str) -> Any:
    return await executor.execute_code_blocks([CodeBlock(code=code, language="javascript")], CancellationToken())


@contextmanager
def raw_pool(*answers: Response, **settings: Any) -> Iterator[NodeSessionsCodeExecutor]:
    """Answer runs with these in turn, the last one for good; nothing of it is ours but the object."""
    left = list(answers)

    def answer(request: Request) -> Response:
        if request.method != "POST":
            return Response(200, b"[]")
        return left.pop(0) if len(left) > 1 else left[0]

    with serve(answer) as server:
        with NodeSessionsCodeExecutor(
            server.url, token="t", session_id="some-session", mode="raw", **settings
        ) as executor:
            yield executor


def call(code: str) -> ToolCall:
    return ToolCall(name="node_interpreter", args={"code": code}, id="1", type="tool_call")


async def test_a_block_is_one_request_from_the_first_on(proxy: FaultProxy) -> None:
    async with NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token) as executor:
        for count in (1, 2):
            assert (await run(executor, "6 * 7")).output == "=> 42"
            # The first call is that of `async with`, which opens the connection ahead.
            assert [each.kind for each in proxy.seen] == ["other", *["execution"] * count]


async def test_a_credential_that_takes_long_does_not_hold_up_the_event_loop(pool: LocalPool) -> None:
    asked, loop_went_on = threading.Event(), threading.Event()

    def get_token(*_: str) -> Any:
        asked.set()
        # Held up, the loop could not set it.
        assert loop_went_on.wait(10)
        return SimpleNamespace(token=pool.token, expires_on=time.time() + 3600)

    async with NodeSessionsCodeExecutor(pool.endpoint, SimpleNamespace(get_token=get_token)) as executor:
        running = asyncio.ensure_future(run(executor, "1"))
        await asyncio.to_thread(asked.wait, 10)
        loop_went_on.set()
        assert (await running).output == "=> 1"


async def test_a_token_that_has_expired_is_not_used_again(pool: LocalPool) -> None:
    given: list[str] = []

    def get_token(*scopes: str) -> Any:
        given.extend(scopes)
        return SimpleNamespace(token=pool.token, expires_on=0)

    async with NodeSessionsCodeExecutor(pool.endpoint, SimpleNamespace(get_token=get_token)) as executor:
        given.clear()
        for count in (1, 2, 3):
            await run(executor, "1")
            assert len(given) == count


async def test_a_picture_is_a_file_and_no_text(engine: Engine, tmp_path: Path) -> None:
    async with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, artifacts_dir=tmp_path) as executor:
        result = await run(executor, f"$$.png('{PNG}')")
        assert [(each.name, each.media_type) for each in result.artifacts] == [("image.png", "image/png")]
        assert PNG[:20] not in result.output
        assert len(result.output) < 200


@pytest.mark.parametrize("word", ["Success", "Succeeded", "success", "SUCCEEDED"])
async def test_every_word_for_success_brings_the_result(word: str) -> None:
    legacy = {"properties": {"status": word, "stdout": "printed\n", "stderr": "", "result": "42"}}
    current = {"status": word, "result": {"stdout": "printed\n", "stderr": "", "executionResult": "42"}}
    for body in map(json.dumps, (legacy, current)):
        with raw_pool(Response(200, body.encode())) as executor:
            result = await run(executor, "42")
        assert (result.exit_code, result.output) == (0, "printed\n=> 42")


async def test_an_answer_without_a_result_is_a_run_that_has_none() -> None:
    body = b'{"properties":{"status":"Success","stdout":"printed\\n","stderr":""}}'
    with raw_pool(Response(200, body), api_version=LEGACY_API) as executor:
        result = await run(executor, "1")
    assert (result.exit_code, result.output, result.values) == (0, "printed", [""])


async def test_a_full_pool_is_waited_for_or_a_typed_error() -> None:
    works = Response(200, b'{"status":"Succeeded","result":{}}')
    answers = [Response(429, FULL, {"Retry-After": "0"}), works, Response(429, FULL, {"Retry-After": "1000"})]
    with raw_pool(*answers) as executor:
        assert (await run(executor, "1")).exit_code == 0
        with pytest.raises(PoolFullError) as caught:
            await run(executor, "2")
    assert (caught.value.retry_after, caught.value.code) == (1000, "SessionsCountExceedsLimit")


def test_a_model_sees_one_argument() -> None:
    function = convert_to_openai_tool(NodeSessionsCodeExecutor())["function"]
    assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == ["code"]


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (Response(429, FULL, {"Retry-After": "1000"}), "delete sessions that are done"),
        (Response(403), "assign the role"),
        (Response(500), "The code may have run"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_call_that_fails_is_an_answer_to_the_model_and_ends_no_graph(
    failure: Response, says: str, is_async: bool
) -> None:
    asked: Any = {"messages": [AIMessage("", tool_calls=[call("1")])]}
    with raw_pool(failure) as executor:
        graph = StateGraph(MessagesState).add_node("tools", ToolNode([executor])).add_edge(START, "tools").compile()
        if is_async:
            alone, state = await executor.ainvoke(call("1")), await graph.ainvoke(asked)
        else:
            alone = await asyncio.to_thread(executor.invoke, call("1"))
            state = await asyncio.to_thread(graph.invoke, asked)
    for message in (alone, state["messages"][-1]):
        assert message.status == "error"
        assert says in message.content
        assert "127.0.0.1" not in message.content


async def test_threads_share_neither_variables_nor_files(engine: Engine) -> None:
    async with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:

        async def say(thread: str, code: str) -> Any:
            message = await executor.ainvoke(call(code), {"configurable": {"thread_id": thread}})
            return message.artifact["value"]

        await say("alice", "globalThis.own = 'hers'; fs.writeFileSync('/mnt/data/hers.txt', '1')")
        look = "[typeof own, fs.readdirSync('/mnt/data')]"
        assert await say("bob", look) == ["undefined", []]
        assert await say("alice", look) == ["string", ["hers.txt"]]


def test_code_whose_answer_does_not_come_in_time_is_sent_once(
    client_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aca_node_interpreter.rest.operations._RUN_MARGIN", -0.8)

    def talk(caller: Caller) -> None:
        caller.read_all()
        caller.stall()

    with listening(talk) as server, client_class(f"http://{server.address}", token="t") as client:
        with pytest.raises(ResponseTimeoutError) as caught:
            client.execute("1", timeout=1)
        assert server.calls == 1
    assert caught.value.ran is None


def test_through_the_executor_its_result_comes_and_it_ran_once(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "globalThis.runs = (globalThis.runs ?? 0) + 1"
    with NodeSessionsCodeExecutor(proxy.endpoint, token=proxy.token, timeout=1) as executor:
        executor.execute("0")
        monkeypatch.setattr("aca_node_interpreter.rest.operations._RUN_MARGIN", -3.5)
        proxy.plan(HoldReply(2), kind="execution")
        assert executor.execute(code).value == 1
        assert executor.execute("runs").value == 1
    assert sum(b"(globalThis.runs ?? 0) + 1" in each.body for each in proxy.seen) == 1


@pytest.mark.parametrize("return_images", [False, True])
async def test_through_autogens_adapter_a_model_reads_the_text_alone(pool: LocalPool, return_images: bool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, return_images=return_images) as executor:
        adapter = LangChainToolAdapter(executor)
        assert list(adapter.schema["parameters"]["properties"]) == ["code"]
        read = []
        for code in ("6 * 7", f"$$.png('{PNG}')"):
            read.append(adapter.return_value_as_string(await adapter.run_json({"code": code}, CancellationToken())))
    assert read[0] == "=> 42"
    assert read[1].startswith("Files saved:\n- image.png")


async def test_one_object_is_tool_executor_and_component(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        assert isinstance(executor, BaseTool)
        assert isinstance(executor, CodeExecutor)
        assert (await executor.ainvoke(call("globalThis.kept = 1"))).artifact["exit_code"] == 0
        assert (await run(executor, "kept")).output == "=> 1"
        dumped = executor.dump_component()
        loaded = NodeSessionsCodeExecutor.load_component(dumped)
        assert loaded.dump_component() == dumped
        assert pool.token not in dumped.model_dump_json()
