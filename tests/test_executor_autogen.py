"""The AutoGen face: a `CodeExecutor` and a `Component`, on real Node.js."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import CodeExecutionEvent, TextMessage
from autogen_core import CancellationToken, ComponentModel
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_ext.models.replay import ReplayChatCompletionClient
from langchain_core.tools import BaseTool

from aca_node_interpreter import Artifact, LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError, ConfigurationError, NotFoundError
from aca_node_interpreter.executor import NodeCodeResult
from aca_node_interpreter.rest.models import Image


def blocks(*codes: str, language: str = "javascript") -> list[CodeBlock]:
    return [CodeBlock(code, language) for code in codes]


async def run(executor: NodeSessionsCodeExecutor, *codes: str, language: str = "javascript") -> NodeCodeResult:
    return await executor.execute_code_blocks(blocks(*codes, language=language), CancellationToken())


@pytest.fixture
def executor(pool: LocalPool, tmp_path: Path) -> NodeSessionsCodeExecutor:
    """Stopped by the tests themselves, on their own event loop."""
    return NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path / "artifacts")


def test_it_is_both() -> None:
    executor = NodeSessionsCodeExecutor()
    assert isinstance(executor, CodeExecutor)
    assert isinstance(executor, BaseTool)


async def test_blocks_run_in_order_in_one_session(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "var a = 20; console.log('one')", "console.log('two'); a + 1")
    assert isinstance(result, CodeResult)
    assert (result.exit_code, result.output) == (0, "one\ntwo\n=> 21")
    assert result.values == ["", "21"]


async def test_the_first_failure_ends_it(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "1", "throw new TypeError('boom')", "console.log('never')")
    assert result.exit_code == 1
    assert "TypeError: boom" in result.output
    assert "never" not in result.output
    assert len(result.values) == 2


@pytest.mark.parametrize("language", ["javascript", "js", "node", "nodejs", "mjs", "cjs", "JavaScript", " js "])
async def test_names_of_javascript(language: str, executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        assert (await run(executor, "6*7", language=language)).output == "=> 42"


@pytest.mark.parametrize("language", ["typescript", "ts"])
async def test_typescript_runs_without_its_types(language: str, executor: NodeSessionsCodeExecutor) -> None:
    result = await run(executor, "let a: number = 1\na + 1", language=language)
    assert (result.exit_code, result.output) == (0, "=> 2")


@pytest.mark.parametrize("language", ["python", "sh", "", "json"])
async def test_an_unknown_language_fails_with_its_name(language: str, executor: NodeSessionsCodeExecutor) -> None:
    result = await run(executor, "print(1)", language=language)
    assert result.exit_code == 1
    assert f"unknown language {language!r}" in result.output


async def test_blocks_before_an_unknown_one_still_ran(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        mixed = [*blocks("console.log('ran')"), *blocks("x", language="python"), *blocks("console.log('not this')")]
        result = await executor.execute_code_blocks(mixed, CancellationToken())
    assert result.output.startswith("ran\nunknown language 'python'")
    assert "not this" not in result.output


async def test_no_blocks_are_an_error_of_the_caller(executor: NodeSessionsCodeExecutor) -> None:
    with pytest.raises(ValueError, match="no code blocks"):
        await run(executor)


async def test_an_empty_block_is_refused(executor: NodeSessionsCodeExecutor) -> None:
    result = await run(executor, " \n")
    assert (result.exit_code, result.output) == (1, "The code block is empty.")


async def test_a_comment_alone_is_a_run_without_output(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "// nothing")
    assert (result.exit_code, result.output) == (0, "")


async def test_a_run_over_its_limit_is_124_and_the_next_one_works(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, timeout=1) as executor:
        result = await run(executor, "console.log('before'); while (true) {}")
        assert result.exit_code == 124
        assert "before" in result.output
        assert (await run(executor, "1+1")).output == "=> 2"


async def test_cancelling_ends_the_wait(executor: NodeSessionsCodeExecutor) -> None:
    token = CancellationToken()
    async with executor:
        await executor.start()
        waiting = asyncio.ensure_future(
            executor.execute_code_blocks(blocks("$$.async(); setTimeout($$.done, 3000)"), token)
        )
        await asyncio.sleep(0.3)
        started = time.monotonic()
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert time.monotonic() - started < 1
        output = (await run(executor, "1+1")).output
        assert output.startswith("=> 2\nNote: An earlier run was given up before its answer came.")


async def test_a_token_that_is_cancelled_already_runs_nothing(executor: NodeSessionsCodeExecutor) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await executor.execute_code_blocks(blocks("1"), token)


async def test_files_come_back(executor: NodeSessionsCodeExecutor, tmp_path: Path) -> None:
    async with executor:
        result = await run(executor, "fs.mkdirSync('/mnt/data/out'); fs.writeFileSync('/mnt/data/out/a.csv', 'x,y')")
        (artifact,) = result.artifacts
        assert (artifact.name, artifact.size, artifact.media_type) == ("out/a.csv", 3, "text/csv")
        assert artifact.path == tmp_path / "artifacts" / "out" / "a.csv"
        assert artifact.read_bytes() == b"x,y"
    assert result.output == "Files saved:\n- out/a.csv (3 bytes, 0 rows: x, y)"


async def test_only_what_a_run_changed_comes_back_and_nothing_is_overwritten(
    executor: NodeSessionsCodeExecutor,
) -> None:
    async with executor:
        await executor.aupload(b"input", name="input.txt")
        first = await run(executor, "fs.writeFileSync('/mnt/data/a.txt', 'one')")
        second = await run(executor, "fs.writeFileSync('/mnt/data/b.txt', 'b'); 1")
        third = await run(executor, "fs.writeFileSync('/mnt/data/a.txt', 'three')")
        nothing = await run(executor, "1")
        names = [[artifact.name for artifact in result.artifacts] for result in (first, second, third, nothing)]
        assert names == [["a.txt"], ["b.txt"], ["a.txt"], []]
        assert [first.artifacts[0].read_bytes(), third.artifacts[0].read_bytes()] == [b"one", b"three"]
        assert third.artifacts[0].path.name == "a-2.txt"


async def test_a_picture_as_value_is_an_artifact_and_no_text(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "$$.png(Buffer.from('picture').toString('base64'))")
        assert [(a.name, a.read_bytes()) for a in result.artifacts] == [("image.png", b"picture")]
    assert isinstance(result.values[0], Image)
    assert result.output == 'Files saved:\n- image.png (7 bytes, text, "picture")'


async def test_long_output_is_bounded_and_saved_whole(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "for (var i = 0; i < 100000; i++) console.log('line ' + i)")
        (whole,) = result.artifacts
        assert len(result.output) < 17_000
        assert result.output.startswith("line 0\n")
        assert "line 99999" in result.output
        assert whole.name == "output.txt"
        assert whole.read_bytes().decode().splitlines() == [f"line {i}" for i in range(100_000)]


async def test_fifty_megabytes_of_output_lose_nothing(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(
            executor, "for (var i = 0; i < 50; i++) process.stdout.write('x'.repeat(1048576)); undefined"
        )
        assert result.artifacts[0].size == 50 * 1048576


async def test_base64_in_the_output_is_left_out(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, "console.log(require('crypto').createHash('sha512').update('').digest('base64'))")
        assert len(result.output) > 80
        result = await run(executor, "console.log(require('crypto').randomBytes(3000).toString('base64'))")
        assert result.output.startswith("[4,000 characters of base64]")


async def test_a_file_over_the_limit_is_reported_and_the_others_come(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, max_artifact_bytes=1000) as executor:
        code = "fs.writeFileSync('/mnt/data/big', 'x'.repeat(1001)); fs.writeFileSync('/mnt/data/small', 'x')"
        result = await run(executor, code)
    assert [artifact.name for artifact in result.artifacts] == ["small"]
    assert "Not saved: big, 1,001 bytes; the limit is 1,000" in result.output
    assert result.exit_code == 0


async def test_too_many_files_are_reported(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, max_artifacts=3) as executor:
        result = await run(executor, "for (var i = 0; i < 5; i++) fs.writeFileSync('/mnt/data/' + i, 'x')")
        assert len(result.artifacts) == 3
        assert "2 more files" in result.output
        result = await run(executor, "fs.writeFileSync('/mnt/data/a', 'x'); for (var i of '12345') $$.html(`${i}`)")
    assert [artifact.name for artifact in result.artifacts] == ["a", "output.html", "output.html"]
    assert "3 more pictures or pages" in result.output


async def test_a_directory_that_can_not_be_written_is_reported(pool: LocalPool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    directory = tmp_path / "file" / "artifacts"
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=directory) as executor:
        result = await run(executor, "fs.writeFileSync('/mnt/data/a.txt', 'x'); 'value'")
    assert "=> 'value'" in result.output
    assert "Not saved: a.txt: Not a directory" in result.output
    assert str(tmp_path) not in result.output


@pytest.mark.parametrize("name", ["a b.txt", "naïve.txt", "🦊.txt", "a'b.txt", 'a"b.txt', "a%2e.txt", "-rf", "x" * 200])
async def test_names_that_code_chooses_come_back(name: str, executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        result = await run(executor, f"fs.writeFileSync('/mnt/data/' + {json.dumps(name)}, 'content')")
        assert [(a.name, a.read_bytes()) for a in result.artifacts] == [(name, b"content")], result.output


async def test_installed_packages_are_no_artifacts(executor: NodeSessionsCodeExecutor) -> None:
    code = """
        fs.mkdirSync('/mnt/data/node_modules/p', {recursive: true});
        fs.writeFileSync('/mnt/data/node_modules/p/index.js', 'module.exports = 7');
        fs.mkdirSync('/mnt/data/.cache'); fs.writeFileSync('/mnt/data/.cache/x', 'x');
        require('p')"""
    async with executor:
        result = await run(executor, code)
    assert (result.output, result.artifacts) == ("=> 7", [])


async def test_restart_gives_a_new_session_and_ends_the_old_one(executor: NodeSessionsCodeExecutor) -> None:
    async with executor:
        await run(executor, "var a = 1; fs.writeFileSync('/mnt/data/a', 'x')")
        await executor.restart()
        result = await run(executor, "typeof a + fs.readdirSync('/mnt/data').length")
    assert result.output == "=> 'undefined0'"


async def test_stop_gives_the_session_back(pool: LocalPool, executor: NodeSessionsCodeExecutor) -> None:
    from aca_node_interpreter import AsyncSessionPoolClient

    async with AsyncSessionPoolClient(pool.endpoint, token=pool.token) as client:
        before = len(await client.list_sessions())
        async with executor:
            await run(executor, "1")
            assert len(await client.list_sessions()) == before + 1
        assert len(await client.list_sessions()) == before


async def test_a_session_that_was_passed_in_goes_on_and_is_left_alive(pool: LocalPool) -> None:
    for code, output in (("var kept = 'yes'", ""), ("kept", "=> 'yes'")):
        async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_id="resumed-session") as executor:
            assert (await run(executor, code)).output == output
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_id="resumed-session") as executor:
        await executor.restart()
        assert (await run(executor, "typeof kept")).output == "=> 'undefined'"


async def test_files_of_a_resumed_session_are_not_taken_for_new(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_id="with-files") as executor:
        await run(executor, "fs.writeFileSync('/mnt/data/old', 'x')")
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_id="with-files") as executor:
        result = await run(executor, "fs.writeFileSync('/mnt/data/new', 'x')")
    assert [artifact.name for artifact in result.artifacts] == ["new"]


async def test_artifacts_outlive_the_executor_only_when_asked(pool: LocalPool) -> None:
    kept: list[Artifact] = []
    for keep in (False, True):
        async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, keep_artifacts=keep) as executor:
            kept += (await run(executor, "fs.writeFileSync('/mnt/data/a', 'x')")).artifacts
            assert kept[-1].path.exists()
    assert [artifact.path.exists() for artifact in kept] == [False, True]
    kept[1].path.unlink()
    kept[1].path.parent.rmdir()


def test_it_serves_many_event_loops_in_turn(pool: LocalPool) -> None:
    executor = NodeSessionsCodeExecutor(pool.endpoint, token=pool.token)

    async def one_turn() -> str:
        return (await run(executor, "var n = (globalThis.n || 0) + 1; n")).output

    try:
        assert [asyncio.run(one_turn()) for _ in range(3)] == ["=> 1", "=> 2", "=> 3"]
    finally:
        executor.close()


def test_it_is_a_component_that_holds_no_secret(pool: LocalPool) -> None:
    executor = NodeSessionsCodeExecutor(
        pool.endpoint, token="hunter2", session_id="my-session", timeout=7, artifacts_dir="somewhere"
    )
    dumped = executor.dump_component()
    text = dumped.model_dump_json()
    assert not [secret for secret in ("hunter2", "my-session") if secret in text + repr(executor) + str(executor)]
    assert dumped.provider == "aca_node_interpreter.NodeSessionsCodeExecutor"
    loaded = NodeSessionsCodeExecutor.load_component(ComponentModel.model_validate_json(text))
    assert isinstance(loaded, NodeSessionsCodeExecutor)
    assert (loaded.pool_management_endpoint, loaded.timeout) == (pool.endpoint, 7)
    assert loaded.artifacts_dir == Path("somewhere")
    assert loaded.dump_component() == dumped


@pytest.mark.parametrize(
    "wrong", [{"session_id": "x"}, {"pool_management_endpoint": "http://example.com"}, {"timeout": 0}, {"timeout": 500}]
)
def test_settings_that_can_not_work_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        NodeSessionsCodeExecutor(**wrong)


def approve(request: ApprovalRequest) -> ApprovalResponse:
    return ApprovalResponse(approved=True, reason="a test wrote it")


async def test_an_agent_writes_code_runs_it_and_answers(executor: NodeSessionsCodeExecutor) -> None:
    model = ReplayChatCompletionClient(
        ["Let me see.\n```javascript\nvar n = 2n ** 64n; console.log(`${n}`)\n```", "It is 18446744073709551616."]
    )
    async with executor:
        agent = CodeExecutorAgent(
            "coder",
            executor,
            model_client=model,
            supported_languages=list(NodeSessionsCodeExecutor.SUPPORTED_LANGUAGES),
            system_message=NodeSessionsCodeExecutor.SYSTEM_MESSAGE,
            approval_func=approve,
        )
        messages = [message async for message in agent.run_stream(task="What is 2 to the 64?")]
    executions = [message for message in messages if isinstance(message, CodeExecutionEvent)]
    assert [event.result.output for event in executions] == ["18446744073709551616"]
    assert isinstance(messages[-1], TaskResult)
    assert messages[-1].messages[-1].to_text() == "It is 18446744073709551616."


async def test_it_round_trips_inside_an_agent(executor: NodeSessionsCodeExecutor, monkeypatch: Any, pool: Any) -> None:
    monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
    with pytest.warns(UserWarning, match="No approval function"):
        agent = CodeExecutorAgent("coder", executor, supported_languages=["javascript"])
    with pytest.warns(UserWarning, match="No approval function"):
        loaded = CodeExecutorAgent.load_component(agent.dump_component())
    async with loaded._code_executor:
        result = await loaded.run(task=TextMessage(content="```javascript\n6*7\n```", source="user"))
    assert "=> 42" in result.messages[-1].to_text()


@pytest.fixture
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACA_POOL_MANAGEMENT_ENDPOINT", raising=False)


async def test_without_an_endpoint_the_embedded_pool_is_used_and_logged_once(
    no_endpoint: None, caplog: pytest.LogCaptureFixture, isolation: Any
) -> None:
    caplog.set_level("INFO", logger="aca_node_interpreter")
    async with NodeSessionsCodeExecutor(isolation=isolation) as executor:
        assert (await run(executor, "6*7", "1")).output == "=> 42\n=> 1"
        await executor.restart()
        await run(executor, "1")
    said = [r.getMessage() for r in caplog.records if "JavaScript runs in" in r.getMessage()]
    assert said == ["JavaScript runs in the embedded session pool; ACA_POOL_MANAGEMENT_ENDPOINT is not set"]


async def test_the_environment_names_the_pool(pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACA_POOL_MANAGEMENT_ENDPOINT", pool.endpoint)
    monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
    async with NodeSessionsCodeExecutor(session_id="from-environment") as executor:
        await run(executor, "var here = 1")
    from aca_node_interpreter import AsyncSessionPoolClient

    async with AsyncSessionPoolClient(pool.endpoint, token=pool.token, session_id="from-environment") as client:
        assert (await client.execute("here")).result == "1"
        await client.delete_session()
        with pytest.raises(NotFoundError):
            await client.get_session()


async def test_a_synchronous_call_during_a_run_on_the_same_loop_is_refused_instead_of_hanging(
    executor: NodeSessionsCodeExecutor,
) -> None:
    async with executor:
        running = asyncio.ensure_future(executor.ainvoke({"code": "$$.async(); setTimeout($$.done, 500)"}))
        await asyncio.sleep(0.2)
        with pytest.raises(ConfigurationError, match="asynchronous method"):
            executor.upload(b"x", name="x")
        await running


def saved_sizes(directory: Path) -> set[int]:
    return {path.stat().st_size for path in directory.rglob("f*")}


async def test_cancelling_while_files_come_loses_none(executor: NodeSessionsCodeExecutor, tmp_path: Path) -> None:
    code = "for (var i = 0; i < 40; i++) fs.writeFileSync('/mnt/data/f' + i, Buffer.alloc(3e6, 1)); undefined"
    async with executor:
        await executor.start()
        running = asyncio.ensure_future(executor.aexecute(code))
        while not saved_sizes(tmp_path):  # noqa: ASYNC110  # the disk has no event to wait for
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.sleep(0.2)
        left = saved_sizes(tmp_path)
        result = await run(executor, "'next'")
    assert left <= {3_000_000}
    assert {artifact.name for artifact in result.artifacts} == {f"f{i}" for i in range(40)}


async def test_stopping_ends_what_waits_and_opens_nothing_again(executor: NodeSessionsCodeExecutor) -> None:
    await executor.start()
    slow = "$$.async(); setTimeout($$.done, 20000)"
    running, waiting = (asyncio.ensure_future(executor.aexecute(slow)) for _ in range(2))
    await asyncio.sleep(0.3)
    await executor.stop()
    for outcome in await asyncio.gather(running, waiting, return_exceptions=True):
        assert isinstance(outcome, AcaNodeError) or outcome.exit_code == 1  # type: ignore[union-attr]
    assert executor._runner._connection is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_leaves_its_parents_pool_and_files_alone(isolation: Any, tmp_path: Path) -> None:
    script = """
import os, sys
from aca_node_interpreter import NodeSessionsCodeExecutor
executor = NodeSessionsCodeExecutor(isolation=sys.argv[1])
executor.execute("var kept = 1; fs.writeFileSync('/mnt/data/a', 'x')")
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(os.listdir(executor.artifacts_path), executor.execute("kept + fs.readFileSync('/mnt/data/a', 'utf8')").text)
executor.close()
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, isolation]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "['a'] => '1x'\n"), ended.stderr


async def test_the_bound_is_that_of_the_whole_answer(pool: LocalPool) -> None:
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, max_output_chars=1_000) as executor:
        result = await run(executor, *["console.log('x'.repeat(900))"] * 20)
        whole = [artifact.read_bytes() for artifact in result.artifacts]
    assert len(result.output) < 20 * 320
    assert whole[-1] == b"x" * 900


@pytest.mark.parametrize(
    "wrong", [{"artifact_dir": "x"}, {"max_output_chars": 0}, {"max_artifacts": -1}, {"isolation": "some"}]
)
def test_settings_that_do_not_exist_or_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NodeSessionsCodeExecutor(**wrong)


def test_settings_can_not_be_changed_without_effect() -> None:
    executor = NodeSessionsCodeExecutor()
    with pytest.raises(ValueError, match="frozen"):
        executor.timeout = 1


def test_a_deep_copy_has_a_session_of_its_own(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, timeout=7) as executor:
        executor.execute("var mine = 1")
        with copy.deepcopy(executor) as copied:
            assert copied.timeout == 7
            assert copied.execute("typeof mine").text == "=> 'undefined'"


async def test_an_agent_hears_which_typescript_does_not_run(executor: NodeSessionsCodeExecutor) -> None:
    agent = CodeExecutorAgent(
        "coder", executor, supported_languages=list(executor.SUPPORTED_LANGUAGES), approval_func=approve
    )
    result = await agent.run(task=TextMessage(content="```ts\nenum A { B }\n```", source="user"))
    assert "Line 1" in result.messages[-1].to_text()
    assert "enum" in result.messages[-1].to_text()
