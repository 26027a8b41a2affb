"""What a policy allows, what it says, and how it is written down; then both faces under it, on real Node.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from autogen_core import CancellationToken, ComponentModel
from autogen_core.code_executor import CodeBlock, CodeExecutor
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolCall
from pydantic import ValidationError

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor, Policy
from aca_node_interpreter.autogen import NodeTool, NodeWorkbench
from aca_node_interpreter.errors import ConfigurationError, PayloadTooLargeError
from aca_node_interpreter.javascript.syntax import Source
from aca_node_interpreter.javascript.uses import BUILTINS, uses_of
from aca_node_interpreter.openai_tools import answer, chat_tool, responses_tool
from aca_node_interpreter.policy import module_of
from tests.http_server import OPENING, Response, serve

FILES_ONLY = Policy(allowed_modules=("fs", "path", "@scope/name"))


def complaint(policy: Policy, code: str) -> str:
    return policy.complaint(uses_of(Source(code)))


@pytest.mark.parametrize(
    ("specifier", "module"),
    [
        ("fs", "fs"),
        ("node:fs", "fs"),
        ("node:fs/promises", "fs/promises"),
        ("node:sqlite", "node:sqlite"),
        ("sqlite", "sqlite"),
        ("@scope/name/sub.js", "@scope/name/sub.js"),
        ("punycode/", "punycode"),
        ("zod/../axios", "axios"),
        ("./helper.js", None),
        ("../helper.mjs", None),
        ("/mnt/data/helper.js", None),
        ("file:///mnt/data/helper.js", None),
        (".", None),
        ("#inner", None),
        ("./node_modules/axios/index.js", "axios/index.js"),
        ("/mnt/data/node_modules/zod/node_modules/axios", "axios"),
        ("file:///mnt/data/node%5Fmodules/axios/a.js", "axios/a.js"),
        ("data:text/javascript,1", "data:text/javascript,1"),
    ],
)
def test_a_module_has_one_name(specifier: str, module: str | None) -> None:
    assert module_of(specifier) == module


@pytest.mark.parametrize(
    ("policy", "code", "is_allowed"),
    [
        (FILES_ONLY, "require('node:fs')", True),
        (FILES_ONLY, "require('fs/promises')", True),
        (FILES_ONLY, "import a from '@scope/name/sub'", True),
        (FILES_ONLY, "import a from '@scope/other'", False),
        (FILES_ONLY, "require('fs-extra')", False),
        (FILES_ONLY, "os.cpus()", False),
        (FILES_ONLY, "fs.existsSync('/')", True),
        (FILES_ONLY, "require('./helper.js')", True),
        (FILES_ONLY, "require('/mnt/data/node_modules/axios')", False),
        (FILES_ONLY, "import('data:text/javascript,import \"os\"')", False),
        (FILES_ONLY, "import('https://example.com/a.js')", False),
        (FILES_ONLY, "require('module').createRequire('/')('fs')", True),
        (FILES_ONLY, "require('module').createRequire('/')('os')", False),
        (FILES_ONLY, "fetch('http://a')", True),
        (FILES_ONLY, "require(name)", False),
        (Policy(allowed_modules=()), "1 + 1", True),
        (Policy(allowed_modules=()), "require('fs')", False),
        (Policy(allowed_modules=("fs/promises",)), "require('fs')", False),
        (Policy(allowed_modules=("node:sqlite",)), "require('sqlite')", False),
        (Policy(allowed_modules=("@scope",)), "require('@scope/name')", True),
        (Policy(allowed_modules=("fs", "vm")), "vm.runInThisContext('1')", True),
        (Policy(denied_modules=("child_process",)), "require('node:child_process')", False),
        (Policy(denied_modules=("child_process",)), "child_process.execSync('ls')", False),
        (Policy(denied_modules=("child_process",)), "require('fs'); require('axios')", True),
        (Policy(denied_modules=("child_process",)), "vm.runInThisContext('1')", False),
        (Policy(denied_modules=("child_process",)), "import(name)", False),
        (Policy(network=False), "new (require('worker_threads').Worker)('fetch(1)', { eval: true })", False),
        (Policy(network=False, allowed_modules=("worker_threads",)), "require('worker_threads')", True),
        (Policy(denied_modules=("sqlite",)), "require('node:sqlite')", False),
        (Policy(denied_modules=("module",)), "require('module').createRequire('/')('fs')", False),
        (Policy(allowed_modules=("fs",), denied_modules=("fs/promises",)), "require('fs')", True),
        (Policy(allowed_modules=("fs",), denied_modules=("fs/promises",)), "require('fs/promises')", False),
        (Policy(network=False), "fetch('http://a')", False),
        (Policy(network=False), "new globalThis.WebSocket('ws://a')", False),
        (Policy(network=False), "require('node:https').get('https://a')", False),
        (Policy(network=False), "net.connect(1)", False),
        (Policy(network=False), "import axios from 'axios'", False),
        (Policy(network=False, allowed_modules=("http",)), "require('http')", False),
        (Policy(network=False), "const fetch = () => 1; fetch()", True),
        (Policy(network=False), "require('fs')", True),
    ],
)  # fmt: skip
def test_what_may_be_used(policy: Policy, code: str, is_allowed: bool) -> None:
    assert (complaint(policy, code) == "") is is_allowed


NAMES = st.sampled_from(sorted(BUILTINS - {"module", "vm", "repl"}))


@given(NAMES, NAMES, st.sampled_from(["{}", "node:{}", "{}/sub", "node:{}/sub"]))
def test_a_module_is_either_allowed_or_refused_however_it_is_named(named: str, used: str, spelt: str) -> None:
    code = f"require('{spelt.format(used)}')"
    assert (complaint(Policy(allowed_modules=(named,)), code) == "") is (named == used)
    assert (complaint(Policy(denied_modules=(f"node:{named}",)), code) == "") is (named != used)


def test_a_complaint_names_the_lines_and_what_to_write_instead() -> None:
    told = complaint(FILES_ONLY, "const os = require('os')\nconst load = require(name)\nfs.existsSync('/')")
    assert told == (
        "The code was not run. It breaks the rules:\n"
        "- line 1: the module 'os' is not among those that are allowed.\n"
        "- line 2: `require(name)` does not say which module it loads, or what code it runs: "
        "write the module's name in quotes, as in require('path') or import('path').\n"
        "Modules that may be used: fs, path, @scope/name."
    )


def test_a_complaint_has_an_end() -> None:
    told = complaint(FILES_ONLY, "\n".join(f"require('a{number}')" for number in range(500)))
    assert len(told.splitlines()) == 13
    assert "- 490 more." in told


def test_the_rules_are_stated_in_a_line_each() -> None:
    policy = Policy(("fs",), ("os",), False, 1000, 2000, 5, 3, 4000)
    assert len(policy.words.splitlines()) == 9
    for said in (
        "but these: fs",
        "these modules: os",
        "network",
        "quotes",
        "1,000",
        "2,000",
        "5 seconds",
        "3",
        "4,000",
    ):
        assert said in policy.words
    assert Policy().words == ""


LIMITS = st.none() | st.integers(1, 10**9)
POLICIES = st.builds(
    Policy,
    st.none() | st.lists(st.sampled_from(["fs", "node:os", "@a/b", "zod/v4", "node:sqlite"])),
    st.lists(st.sampled_from(["net", "node:http", "axios"])),
    st.booleans(), LIMITS, LIMITS, st.none() | st.floats(1, 220), LIMITS, LIMITS,
)  # fmt: skip


@given(POLICIES)
def test_it_is_the_same_when_it_was_written_down(policy: Policy) -> None:
    assert Policy.from_json(policy.to_json()) == policy
    component = NodeSessionsCodeExecutor(policy=policy).dump_component()
    loaded = CodeExecutor.load_component(ComponentModel.model_validate_json(component.model_dump_json()))
    assert isinstance(loaded, NodeSessionsCodeExecutor)
    assert loaded.policy == policy


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"allowed_modles": []}',
        '{"allowed_modules": "fs"}',
        '{"allowed_modules": ["./fs"]}',
        '{"denied_modules": [""]}',
        '{"denied_modules": [1]}',
        '{"denied_modules": null}',
        '{"network": "no"}',
        '{"max_code_bytes": 0}',
        '{"max_upload_bytes": true}',
        '{"max_artifacts": -1}',
        '{"max_artifact_bytes": 1.5}',
        '{"timeout": 0}',
        '{"timeout": NaN}',
    ],
)
def test_a_policy_that_can_not_work_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Policy.from_json(text)


@pytest.mark.parametrize("config", [{"policy": {"netwrok": False}}, {"polcy": {}}, {"policy": {"network": "perhaps"}}])
def test_a_component_with_a_misspelt_policy_is_not_loaded(config: dict[str, Any]) -> None:
    component = NodeSessionsCodeExecutor().dump_component()
    component.config |= config
    with pytest.raises(ValidationError):
        CodeExecutor.load_component(component)
    with pytest.raises(ValidationError):
        NodeSessionsCodeExecutor(**config)


@pytest.fixture(params=["managed", "raw"])
def restricted(pool: LocalPool, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An executor with a policy, in each mode."""
    policy = Policy(allowed_modules=("fs", "path"), network=False)
    with NodeSessionsCodeExecutor(
        pool.endpoint, token=pool.token, mode=request.param, policy=policy, artifacts_dir=tmp_path / "artifacts"
    ) as made:
        yield made


def test_what_is_allowed_runs(restricted: NodeSessionsCodeExecutor) -> None:
    run = restricted.execute("require('node:fs').writeFileSync('/mnt/data/a.txt', require('path').basename('/x/y'))")
    assert (run.exit_code, [artifact.read_bytes() for artifact in run.artifacts]) == (0, [b"y"])


async def test_both_faces_hand_a_refusal_to_the_model(restricted: NodeSessionsCodeExecutor) -> None:
    code = "require('child_process').execSync('ls')"
    call = ToolCall(name="node_interpreter", args={"code": code}, id="1", type="tool_call")
    made = await restricted.execute_code_blocks([CodeBlock(code, "javascript")], CancellationToken())
    assert made.exit_code == 1
    for message in (restricted.invoke(call), await restricted.ainvoke(call)):
        assert message.content == made.output
        assert (message.status, message.artifact["exit_code"]) == ("success", 1)
    assert "line 1: the module 'child_process' is not among those that are allowed" in made.output


@pytest.mark.parametrize("mode", ["managed", "raw"])
@pytest.mark.parametrize(
    "code",
    ["fetch('http://a')", "import(name)", "let = = 1", "x".ljust(2000), "require('os')", "eval('1')"],
)
async def test_nothing_is_sent_of_what_is_refused(mode: Any, code: str) -> None:
    policy = Policy(allowed_modules=("fs",), network=False, max_code_bytes=1000)
    with serve(lambda _: Response(500)) as server:
        async with NodeSessionsCodeExecutor(
            server.url, token="t", session_id="mine", mode=mode, policy=policy
        ) as executor:
            assert executor.execute(code).text.startswith("The code was not run.")
            assert (await executor.aexecute(code)).exit_code == 1
        assert {request.path for request in server.requests} <= OPENING


def test_what_can_not_be_parsed_is_refused_with_its_line(restricted: NodeSessionsCodeExecutor) -> None:
    told = restricted.execute("const a = 1\nlet = = 2").text
    assert "it can't be read from line 2 on" in told


def test_what_can_not_be_parsed_is_left_to_node_where_modules_are_free(pool: LocalPool) -> None:
    policy = Policy(max_code_bytes=1000)
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, policy=policy) as executor:
        assert "SyntaxError" in executor.execute("let = = 2").text


def test_typescript_is_looked_at_without_its_types(pool: LocalPool) -> None:
    policy = Policy(allowed_modules=("path",))
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, policy=policy) as executor:
        code = "import type { Stats } from 'fs'\nimport { basename } from 'path'\nconst a: string = basename('/b')\na"
        assert executor.execute(code).text == "=> 'b'"
        assert "'os'" in executor.execute("const a: string = require('os').EOL").text


def test_a_variable_of_an_earlier_run_is_no_module(restricted: NodeSessionsCodeExecutor) -> None:
    assert "the module 'url'" in restricted.execute("url.length").text
    assert restricted.execute("var url = 'abc'").exit_code == 0
    assert restricted.execute("url.length").execution.result == "3"
    # It was the run's of this conversation alone.
    assert "the module 'url'" in restricted.execute("url.length", thread_id="another").text


def test_a_refused_text_leaves_no_variable_behind(restricted: NodeSessionsCodeExecutor) -> None:
    restricted.execute("var url = require('os')")
    assert "the module 'url'" in restricted.execute("url.length").text


def test_limits_only_tighten(pool: LocalPool) -> None:
    policy = Policy(timeout=1, max_artifacts=1, max_artifact_bytes=10, max_upload_bytes=4)
    write = "for (const n of [1, 2]) fs.writeFileSync(`/mnt/data/${n}.txt`, 'x'.repeat(SIZE))"
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, policy=policy) as executor:
        assert executor.execute("await new Promise(done => setTimeout(done, 20_000))").exit_code == 124
        assert len(executor.execute(write.replace("SIZE", "9")).artifacts) == 1
        assert executor.execute(write.replace("SIZE", "11")).artifacts == ()
        with pytest.raises(PayloadTooLargeError, match="the policy allows at most 4"):
            executor.upload(b"12345", name="a.txt")
        assert executor.upload(b"1234", name="a.txt")[0].size == 4
    wide = Policy(timeout=200, max_artifacts=1000, max_artifact_bytes=1000)
    tight: dict[str, Any] = {"timeout": 1, "max_artifacts": 1, "max_artifact_bytes": 10}
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, policy=wide, **tight) as executor:
        assert executor.execute("await new Promise(done => setTimeout(done, 20_000))").exit_code == 124
        assert len(executor.execute(write.replace("SIZE", "9")).artifacts) == 1
        assert executor.execute(write.replace("SIZE", "11")).artifacts == ()


async def test_models_are_told_the_rules_on_every_way() -> None:
    policy = Policy(allowed_modules=("fs",))
    executor = NodeSessionsCodeExecutor(policy=policy)
    own = NodeSessionsCodeExecutor(policy=policy, description="Runs code.")
    offered = (await NodeWorkbench(executor).list_tools())[0]
    for told in (
        executor.description,
        own.description,
        executor.system_message,
        NodeTool(executor).description,
        NodeTool(executor, description="Runs code.").description,
        offered["description"],
        chat_tool(executor)["function"]["description"],
        responses_tool(executor)["description"],
    ):
        assert told is not None
        assert told.count("Use no modules but these: fs.") == 1
    plain = NodeSessionsCodeExecutor()
    assert plain.system_message == plain.SYSTEM_MESSAGE


def test_the_rules_are_stated_once_however_often_an_executor_is_copied_or_written_down() -> None:
    executor = NodeSessionsCodeExecutor(policy=Policy(network=False), description="Runs code.")
    tool = NodeTool.load_component(NodeTool(executor.__deepcopy__()).dump_component())
    assert tool.description.count("Don't use the network") == 1


def test_the_plain_client_gets_a_refusal_as_an_answer(restricted: NodeSessionsCodeExecutor) -> None:
    arguments = json.dumps({"code": "fetch('http://a')"})
    call = {"type": "function_call", "call_id": "1", "name": "node_interpreter", "arguments": arguments}
    assert "fetch reaches the network" in answer(restricted, [call])[0]["output"]
