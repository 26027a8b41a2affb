"""`CodeExecutorAgent` with the executor: alone and in a team, with approval, retries, streaming and cancelling."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.messages import CodeExecutionEvent, CodeGenerationEvent, ModelClientStreamingChunkEvent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import artifacts_of
from aca_node_interpreter.testing import Playable, Say, ScriptedModel, Turn
from tests.autogen.agents import block, client_of, coder, written_down


async def streamed(agent: Any, task: str) -> tuple[list[Any], TaskResult]:
    *messages, result = [message async for message in agent.run_stream(task=task)]
    assert isinstance(result, TaskResult)
    return messages, result


async def test_alone_it_runs_what_it_is_sent(executor: NodeSessionsCodeExecutor) -> None:
    result = await coder(executor).run(task=block("6 * 7"))
    assert result.messages[-1].to_text() == "=> 42"
    result = await coder(executor).run(task="No code at all.")
    assert "No code blocks found" in result.messages[-1].to_text()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_with_a_model_it_writes_runs_and_answers(stream: bool, executor: NodeSessionsCodeExecutor) -> None:
    script: list[Playable] = [Say(block("2n ** 64n")), Turn(Say("It is 2 to the 64."), message="18446744073709551616n")]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            agent = coder(executor, model_client=client, model_client_stream=stream)
            messages, result = await streamed(agent, "What is 2 to the 64?")
    assert result.messages[-1].to_text() == "It is 2 to the 64."
    chunks = [message.content for message in messages if isinstance(message, ModelClientStreamingChunkEvent)]
    assert bool(chunks) == stream
    if stream:
        assert "".join(chunks).endswith("It is 2 to the 64.")
    assert [event.result.output for event in messages if isinstance(event, CodeExecutionEvent)] == [
        "=> 18446744073709551616n"
    ]


async def test_in_a_team_a_writer_and_an_executor_take_turns_until_the_writer_is_done(
    executor: NodeSessionsCodeExecutor,
) -> None:
    script: list[Playable] = [
        Say(block("const words = 'to be or not to be'.split(' '); wrds.length")),
        Turn(Say(block("fs.writeFileSync('/mnt/data/count.txt', `${words.length}`)")), message="wrds is not defined"),
        Turn(Say("Six words. TERMINATE"), message="count.txt (1 byte"),
    ]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            writer = AssistantAgent("writer", client, system_message=executor.SYSTEM_MESSAGE)
            team = RoundRobinGroupChat(
                [writer, coder(executor, sources=["writer"])],
                termination_condition=TextMentionTermination("TERMINATE", sources=["writer"]),
                max_turns=9,
            )
            _, result = await streamed(team, "Count the words.")
    assert [message.source for message in result.messages] == ["user", "writer", "coder", "writer", "coder", "writer"]
    assert "TERMINATE" in str(result.stop_reason)
    for each in (result, written_down(result)):
        assert [artifact.read_bytes() for artifact in artifacts_of(each, executor)] == [b"6"]


@pytest.mark.parametrize("is_approved", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
async def test_nothing_runs_that_was_not_approved(
    is_approved: bool, is_async: bool, executor: NodeSessionsCodeExecutor
) -> None:
    asked: list[str] = []

    def decide(request: ApprovalRequest) -> ApprovalResponse:
        asked.append(request.code)
        return ApprovalResponse(approved=is_approved, reason="I was told so.")

    async def decide_later(request: ApprovalRequest) -> ApprovalResponse:
        return decide(request)

    answer = "=> 42" if is_approved else "not approved. Reason: I was told so."
    with ScriptedModel([Say(block("globalThis.ran = 6 * 7")), Turn(Say("Well."), message=answer)]) as model:
        async with client_of(model) as client:
            agent = coder(executor, model_client=client, approval_func=decide_later if is_async else decide)
            await agent.run(task="What is 6 times 7?")
    assert asked == ["```javascript\nglobalThis.ran = 6 * 7\n\n```"]
    assert executor.execute("typeof ran").value == ("number" if is_approved else "undefined")


# AutoGen writes a log entry that pydantic does not like.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_a_model_repairs_its_error(executor: NodeSessionsCodeExecutor) -> None:
    script: list[Playable] = [
        Say(block("const scores = [3, 4]; scores.sum()")),
        Turn(Say(json.dumps({"retry": True, "reason": "Arrays have no sum."})), message="scores.sum is not a function"),
        Say(block("const scores = [3, 4]; scores.reduce((a, b) => a + b)")),
        Turn(Say("Seven."), message="=> 7"),
    ]
    with ScriptedModel(script) as model:
        async with client_of(model) as client:
            messages, result = await streamed(
                coder(executor, model_client=client, max_retries_on_error=2), "Add them up."
            )
    runs = [message for message in messages if isinstance(message, CodeExecutionEvent)]
    assert [(event.retry_attempt, event.result.exit_code) for event in runs] == [(0, 1), (1, 0)]
    assert "Arrays have no sum." in "".join(m.content for m in messages if isinstance(m, CodeGenerationEvent))
    assert result.messages[-1].to_text() == "Seven."


@pytest.mark.parametrize("in_a_team", [False, True])
async def test_cancelling_ends_the_wait_for_code(in_a_team: bool, executor: NodeSessionsCodeExecutor) -> None:
    executor.execute("0")  # so that the session is there
    agent: Any = coder(executor)
    if in_a_team:
        agent = RoundRobinGroupChat([agent], max_turns=1)
    token = CancellationToken()
    code = "await new Promise(done => setTimeout(done, 1500))"
    task = asyncio.ensure_future(agent.run(task=block(code), cancellation_token=token))
    await asyncio.sleep(0.5)
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=1)
    assert (await executor.aexecute("'next'")).value == "next"
