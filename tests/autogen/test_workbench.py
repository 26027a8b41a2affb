"""The workbench: its tools by themselves, and in the hands of an `AssistantAgent`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_core import CancellationToken
from autogen_core.model_context import BufferedChatCompletionContext
from autogen_core.models import ModelFamily, ModelInfo
from autogen_core.tools import ImageResultContent, ToolResult, Workbench

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import NodeWorkbench, artifacts_of
from aca_node_interpreter.testing import Call, Playable, Say, ScriptedModel, Turn
from tests.autogen.agents import client_of, image_parts, png, writes, written_down
from tests.testing.puzzle import Puzzle

RUN = "node_interpreter"


@pytest.fixture
def workbench(executor: NodeSessionsCodeExecutor) -> NodeWorkbench:
    return NodeWorkbench(executor)


async def call(workbench: NodeWorkbench, name: str, /, **arguments: Any) -> ToolResult:
    return await workbench.call_tool(name, arguments, CancellationToken())


async def text(workbench: NodeWorkbench, name: str, /, **arguments: Any) -> str:
    result = await call(workbench, name, **arguments)
    assert not result.is_error, result.to_text()
    return result.to_text()


def images(result: ToolResult) -> list[tuple[int, int]]:
    return [each.content.image.size for each in result.result if isinstance(each, ImageResultContent)]


async def test_it_runs_lists_and_downloads(workbench: NodeWorkbench) -> None:
    assert await text(workbench, RUN, code="const a = 6; undefined") == "The code ran and printed nothing."
    assert await text(workbench, RUN, code="a * 7") == "=> 42"
    assert await text(workbench, "list_files") == "There are no files in /mnt/data."
    await workbench.executor.aupload(b"n\n1", name="in.csv")
    assert await text(workbench, "list_files") == "Files in /mnt/data:\n- in.csv (3 bytes, 1 row: n integer)"
    said = await text(workbench, "download_file", path="/mnt/data/in.csv")
    assert said == "Files saved:\n- in.csv (3 bytes, 1 row: n integer)"
    assert [artifact.read_bytes() for artifact in workbench.artifacts] == [b"n\n1"]


async def test_code_that_fails_is_a_result_to_read(workbench: NodeWorkbench) -> None:
    assert "TypeError: boom" in await text(workbench, RUN, code="throw new TypeError('boom')")


async def test_tools_are_told_as_models_services_want_them(workbench: NodeWorkbench, tmp_path: Path) -> None:
    tools = await workbench.list_tools()
    assert [tool["name"] for tool in tools] == [RUN, "list_files", "download_file"]
    (tmp_path / "in").mkdir()
    uploading = NodeWorkbench(workbench.executor, allowed_paths=[tmp_path / "in", tmp_path / "a.csv"])
    tools = await uploading.list_tools()
    assert [tool["name"] for tool in tools] == [RUN, "upload_file", "list_files", "download_file"]
    for tool in tools:
        parameters = tool["parameters"]
        assert parameters["type"] == "object"
        assert parameters.get("additionalProperties") is False
        assert tool.get("strict")
        assert list(parameters.get("required", [])) == list(parameters["properties"])
    assert "in (a directory" in tools[1].get("description", "")
    assert "a.csv" in tools[1].get("description", "")
    assert str(tmp_path) not in json.dumps(tools)


async def test_only_what_is_allowed_is_uploaded(workbench: NodeWorkbench, tmp_path: Path) -> None:
    allowed = tmp_path / "in"
    (allowed / "deep").mkdir(parents=True)
    (allowed / "deep" / "a.csv").write_text("n\n1\n2")
    (tmp_path / "secret.txt").write_text("hunter2")
    (allowed / "link").symlink_to(tmp_path / "secret.txt")
    uploading = NodeWorkbench(workbench.executor, allowed_paths=[allowed])
    assert await text(uploading, "upload_file", path="deep/a.csv") == (
        "Files in /mnt/data:\n- a.csv (5 bytes, 2 rows: n integer)"
    )
    for path in ("link", "../secret.txt", str(tmp_path / "secret.txt"), "/etc/passwd", "none"):
        result = await call(uploading, "upload_file", path=path)
        assert result.is_error
        assert result.to_text() == f"There is no file {path!r} that may be uploaded."
    assert (await call(workbench, "upload_file", path="deep/a.csv")).to_text() == "There is no tool 'upload_file'."
    assert await text(uploading, RUN, code="fs.readdirSync('/mnt/data')") == "=> [ 'a.csv' ]"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (RUN, {}, "The arguments are wrong. code: Field required."),
        (RUN, {"code": ["hunter2"]}, "The arguments are wrong. code: Input should be a valid string."),
        ("list_files", {"path": "hunter2"}, "The arguments are wrong. path: Extra inputs are not permitted."),
        ("rm", {}, "There is no tool 'rm'."),
        ("download_file", {"path": "/mnt/data/none"}, "File 'none' does not exist"),
    ],
)
async def test_what_goes_wrong_is_an_error_in_words(
    name: str, arguments: dict[str, Any], said: str, workbench: NodeWorkbench
) -> None:
    result = await workbench.call_tool(name, arguments)
    assert result.is_error
    assert said in result.to_text()
    assert "hunter2" not in result.to_text()


async def test_a_pool_that_does_not_answer_is_an_error_without_its_address() -> None:
    async with NodeWorkbench(NodeSessionsCodeExecutor("http://127.0.0.1:9/secret", token="hunter2")) as workbench:
        for name, arguments in ((RUN, {"code": "1"}), ("list_files", {})):
            result = await workbench.call_tool(name, arguments)
            assert result.is_error
            assert not [each for each in ("127.0.0.1", "secret", "hunter2") if each in result.model_dump_json()]


async def test_pictures_come_with_the_result_and_not_in_its_text(workbench: NodeWorkbench) -> None:
    result = await call(workbench, RUN, code=f"{writes('a.png', png())}; {writes('b.png', png(4, 4))}")
    assert images(result) == [(3, 2), (4, 4)]
    assert result.to_text().startswith("Files saved:\n- a.png")
    assert "base64" not in result.to_text()
    assert "Image" not in result.to_text()
    assert result.to_text("<picture>").endswith("<picture>\n<picture>")
    assert images(ToolResult.model_validate_json(result.model_dump_json())) == [(3, 2), (4, 4)]
    assert images(await call(workbench, "download_file", path="a.png")) == [(3, 2)]
    plain = NodeWorkbench(workbench.executor, return_images=False)
    assert images(await call(plain, RUN, code=writes("c.png", png()))) == []


async def test_pictures_are_bounded(workbench: NodeWorkbench) -> None:
    six = "; ".join(writes(f"{n}.png", png()) for n in range(6))
    assert len(images(await call(workbench, RUN, code=six))) == 4
    for name, content in (("huge.png", png(10_000, 5_000)), ("broken.png", png()[:40])):
        result = await call(workbench, RUN, code=writes(name, content))
        assert (images(result), result.is_error) == ([], False)
    assert images(await call(workbench, RUN, code=writes("large.png", png(4_096, 1_024)))) == [(2_048, 512)]


async def test_calls_side_by_side_run_in_their_order(workbench: NodeWorkbench) -> None:
    await text(workbench, RUN, code="const order = []")
    codes = [f"await new Promise(r => setTimeout(r, {100 - 20 * n})); order.push({n})" for n in range(5)]
    await asyncio.gather(*(call(workbench, RUN, code=code) for code in codes))
    assert await text(workbench, RUN, code="order") == "=> [ 0, 1, 2, 3, 4 ]"


async def test_reset_begins_anew(executor: NodeSessionsCodeExecutor) -> None:
    for workbench in (NodeWorkbench(executor), NodeWorkbench(executor, thread_id="ada")):
        await text(workbench, RUN, code="const a = 1")
        await workbench.reset()
        assert await text(workbench, RUN, code="typeof a") == "=> 'undefined'"


async def test_state_leads_to_the_same_session_only_with_the_secret(pool: LocalPool) -> None:
    def made(secret: str | None) -> NodeWorkbench:
        settings: dict[str, Any] = {} if secret is None else {"session_secret": secret}
        return NodeWorkbench(NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, **settings), thread_id="ada")

    secret = "a secret of 16 characters or more"
    async with made(secret) as first:
        await text(first, RUN, code="const kept = 'yes'")
        state = await first.save_state()
    assert state == {"type": "NodeWorkbenchState", "thread_id": "ada"}
    for its, kept in ((None, "undefined"), ("another secret, as long as it", "undefined"), (secret, "string")):
        executor = NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_secret=its)
        async with NodeWorkbench(executor) as workbench:
            await workbench.load_state(json.loads(json.dumps(state)))
            assert await text(workbench, RUN, code="typeof kept") == f"=> '{kept}'"


async def test_it_is_a_component_with_its_executor_in_it(
    pool: LocalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = NodeSessionsCodeExecutor(pool.endpoint, token="hunter2", session_id="my-session", timeout=7)
    dumped = NodeWorkbench(executor, return_images=False, allowed_paths=[tmp_path], thread_id="ada").dump_component()
    assert "hunter2" not in dumped.model_dump_json()
    assert "my-session" not in dumped.model_dump_json()
    monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
    loaded: Any = Workbench.load_component(dumped.model_dump())
    assert isinstance(loaded, NodeWorkbench)
    assert loaded.executor.timeout == 7
    assert loaded.dump_component() == dumped
    async with loaded:
        assert await text(loaded, RUN, code="6*7") == "=> 42"
    assert loaded.executor._runner._connection is None


# With an agent


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_assistant_calls_tools_side_by_side_and_reflects(stream: bool, workbench: NodeWorkbench) -> None:
    puzzle = Puzzle()
    script: list[Playable] = [
        [puzzle.call, Call(RUN, code="fs.writeFileSync('/mnt/data/a.csv', 'n\\n1')"), Call("list_files")],
        Turn(lambda request: Say(request.outputs[2]), output=puzzle.output),
    ]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            agent = AssistantAgent(
                "assistant", client, workbench=workbench, reflect_on_tool_use=True, model_client_stream=stream
            )
            *_, result = [message async for message in agent.run_stream(task="What is there?")]
    assert isinstance(result, TaskResult)
    assert result.messages[-1].to_text().startswith("Files in /mnt/data:\n- a.csv (3 bytes")
    for each in (result, written_down(result)):
        assert [artifact.name for artifact in artifacts_of(each, workbench)] == ["a.csv"]


@pytest.mark.parametrize("sees", [False, True])
async def test_a_model_sees_pictures_through_the_context_only(sees: bool, workbench: NodeWorkbench) -> None:
    script: list[Playable] = [
        [Call(RUN, code=writes("red.png", png())), Call("list_files")],
        Call(RUN, code="1"),
        Turn(Say("It is red."), output="=> 1"),
        Say("Still red."),
    ]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            context = workbench.model_context(BufferedChatCompletionContext(50)) if sees else None
            agent = AssistantAgent(
                "assistant", client, workbench=workbench, model_context=context, max_tool_iterations=3
            )
            result = await agent.run(task="Draw.")
            assert result.messages[-1].to_text() == "It is red."
            await agent.run(task="And now?")
            saved = json.dumps([await agent.save_state(), *(message.dump() for message in result.messages)])
            await agent.on_reset(CancellationToken())
            assert await agent.model_context.get_messages() == []
        shown = [len(image_parts(request)) for request in model.requests]
        roles = [message["role"] for message in model.requests[1].body["messages"]]
        texts = "".join(message.text for message in model.requests[3].messages)
    assert shown == ([0, 1, 1, 1] if sees else [0, 0, 0, 0])
    assert roles[-3:] == (["tool", "tool", "user"] if sees else ["assistant", "tool", "tool"])
    assert len(texts) < 2_000
    assert "iVBOR" not in saved


async def test_an_agent_with_the_context_is_written_down_without_pictures(workbench: NodeWorkbench) -> None:
    with ScriptedModel([]) as model:
        async with client_of(model) as client:
            context = workbench.model_context()
            agent = AssistantAgent("assistant", client, workbench=workbench, model_context=context)
            dumped = agent.dump_component()
            AssistantAgent.load_component(dumped)
    assert dumped.config["model_context"]["provider"].endswith("UnboundedChatCompletionContext")
    assert dumped.config["workbench"][0]["provider"] == "aca_node_interpreter.autogen.NodeWorkbench"


async def test_the_contexts_state_is_that_of_the_one_inside(workbench: NodeWorkbench) -> None:
    from autogen_core.models import UserMessage

    first, second = workbench.model_context(), workbench.model_context()
    await first.add_message(UserMessage(content="Hello", source="user"))
    await second.load_state(await first.save_state())
    assert await second.get_messages() == await first.get_messages() != []


async def test_only_the_last_pictures_are_kept(workbench: NodeWorkbench) -> None:
    code = f"{writes('a.png', png())}; {writes('b.png', png())}"
    for n in range(6):
        await workbench.call_tool(RUN, {"code": code}, call_id=f"call_{n}")
    assert [len(workbench._pictures.of(f"call_{n}")) for n in range(6)] == [0, 0, 2, 2, 2, 2]


async def test_a_model_without_eyes_gets_no_pictures(workbench: NodeWorkbench) -> None:
    script: list[Playable] = [Call(RUN, code=writes("red.png", png())), Say("It is there.")]
    with ScriptedModel(script) as model:
        blind = ModelInfo(
            vision=False, function_calling=True, json_output=True, structured_output=True, family=ModelFamily.UNKNOWN
        )
        async with client_of(model, model_info=blind) as client:
            agent = AssistantAgent(
                "assistant",
                client,
                workbench=workbench,
                model_context=workbench.model_context(),
                reflect_on_tool_use=True,
            )
            await agent.run(task="Draw.")
        assert [len(image_parts(request)) for request in model.requests] == [0, 0]


@pytest.mark.parametrize("reflect", [False, True])
async def test_cancelling_does_not_leave_an_assistant_waiting(reflect: bool, workbench: NodeWorkbench) -> None:
    token = CancellationToken()
    with ScriptedModel([Call(RUN, code="await new Promise(done => setTimeout(done, 4000))")]) as model:
        async with client_of(model) as client:
            agent = AssistantAgent("assistant", client, workbench=workbench, reflect_on_tool_use=reflect)
            task = asyncio.ensure_future(agent.run(task="Wait.", cancellation_token=token))
            await asyncio.sleep(1)
            token.cancel()
            (outcome,) = await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), timeout=5)
    if reflect:
        assert isinstance(outcome, asyncio.CancelledError)
    else:
        assert isinstance(outcome, TaskResult)
        assert "The call was cancelled" in outcome.messages[-1].to_text()
