"""From a task's result to the files that its code made."""

from __future__ import annotations

import pytest
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import CodeExecutionEvent
from autogen_agentchat.teams import RoundRobinGroupChat

from aca_node_interpreter import Artifact, LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import artifacts_of
from aca_node_interpreter.executor import NodeCodeResult
from aca_node_interpreter.testing import Say, ScriptedModel
from tests.autogen.agents import block, client_of, coder, written_down


def names(artifacts: list[Artifact]) -> list[str]:
    return [artifact.name for artifact in artifacts]


async def test_an_executor_remembers_what_was_saved_and_nothing_of_threads(executor: NodeSessionsCodeExecutor) -> None:
    await executor.aexecute("fs.writeFileSync('/mnt/data/a', '1')")
    executor.execute("fs.writeFileSync('/mnt/data/b', '1')")
    await executor.aexecute("fs.writeFileSync('/mnt/data/secret', '1')", thread_id="ada")
    await executor.aupload(b"x", name="c")
    assert names(executor.artifacts) == ["a", "b"]
    await executor.adownload("c")
    await executor.restart()
    assert names(executor.artifacts) == ["a", "b", "c"]


async def test_what_closing_removes_is_forgotten(pool: LocalPool, executor: NodeSessionsCodeExecutor) -> None:
    temporary = NodeSessionsCodeExecutor(pool.endpoint, token=pool.token)
    for each in (temporary, executor):
        await each.aexecute("fs.writeFileSync('/mnt/data/a', '1')")
        await each.stop()
    assert (names(temporary.artifacts), names(executor.artifacts)) == ([], ["a"])


@pytest.mark.parametrize("stream", [False, True])
async def test_files_of_an_agents_task(stream: bool, executor: NodeSessionsCodeExecutor) -> None:
    executor.execute("fs.writeFileSync('/mnt/data/earlier.txt', '')")
    code = "for (const n of [1, 2, 3]) fs.writeFileSync(`/mnt/data/${n}.csv`, 'n,square\\n2,4')"
    with ScriptedModel([Say(block(code)), Say("All there.")]) as model:
        async with client_of(model) as client:
            agent = coder(executor, model_client=client)
            if stream:
                *_, result = [message async for message in agent.run_stream(task="Squares, please.")]
            else:
                result = await agent.run(task="Squares, please.")
    executor.execute("fs.writeFileSync('/mnt/data/later.txt', '')")
    assert isinstance(result, TaskResult)
    for each in (result, written_down(result)):
        assert names(artifacts_of(each, executor)) == ["1.csv", "2.csv", "3.csv"]


async def test_what_autogen_keeps_of_a_run(executor: NodeSessionsCodeExecutor) -> None:
    with ScriptedModel([Say(block("fs.writeFileSync('/mnt/data/a', '1')")), Say("There.")]) as model:
        async with client_of(model) as client:
            agent = coder(executor, model_client=client)
            messages = [message async for message in agent.run_stream(task="Write a.")]
    (event,) = (message for message in messages if isinstance(message, CodeExecutionEvent))
    assert isinstance(event.result, NodeCodeResult)
    assert names(event.result.artifacts) == ["a"]
    assert event.model_dump()["result"] == {"exit_code": 0, "output": event.result.output}


async def test_files_of_a_teams_tasks(executor: NodeSessionsCodeExecutor) -> None:
    team = RoundRobinGroupChat([coder(executor)], max_turns=1)
    results = [await team.run(task=block(f"fs.writeFileSync('/mnt/data/a', '{n}')")) for n in (1, 2)]
    for n, result in enumerate(results, 1):
        for each in (result, written_down(result)):
            (artifact,) = artifacts_of(each, executor)
            assert artifact.read_bytes() == b"%d" % n
    assert artifacts_of(TaskResult(messages=[]), executor) == []
