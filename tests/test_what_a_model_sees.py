"""No text that a model sees, on any face, tells a session, a token, an address or a path of the host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor, openai_tools
from aca_node_interpreter.autogen import NodeTool, NodeWorkbench
from aca_node_interpreter.langchain import NodeSessionsToolkit
from tests.http_server import Request, Response, serve

TOKEN = "hunter2-hunter2"
Face = Callable[[NodeSessionsCodeExecutor, str], str]


def autogen(executor: NodeSessionsCodeExecutor, code: str) -> str:
    block = CodeBlock(code=code, language="javascript")
    return asyncio.run(executor.execute_code_blocks([block], CancellationToken())).output


def autogen_tool(executor: NodeSessionsCodeExecutor, code: str) -> str:
    async def call() -> str:
        tool = NodeTool(executor)
        return tool.return_value_as_string(await tool.run_json({"code": code}, CancellationToken()))

    return asyncio.run(call())


def workbench(executor: NodeSessionsCodeExecutor, code: str) -> str:
    async def call() -> str:
        tools = NodeWorkbench(executor)
        listed = await tools.list_tools()
        results = [await tools.call_tool(executor.name, {"code": code}), await tools.call_tool("list_files", {})]
        results.append(await tools.call_tool("download_file", {"path": "/mnt/data/../../etc/passwd"}))
        return json.dumps(listed) + "".join(result.to_text() for result in results)

    return asyncio.run(call())


def langchain(executor: NodeSessionsCodeExecutor, code: str) -> str:
    return str(executor.invoke({"type": "tool_call", "name": executor.name, "id": "1", "args": {"code": code}}).content)


def toolkit(executor: NodeSessionsCodeExecutor, code: str) -> str:
    run, listing, download = NodeSessionsToolkit(executor=executor).get_tools()
    asked: list[dict[str, str]] = [{"code": code}, {}, {"path": "../../etc/passwd"}]
    told = [str(tool.invoke(each)) for tool, each in zip((run, listing, download), asked, strict=True)]
    return "".join([*told, *(json.dumps(tool.args) + tool.description for tool in (run, listing, download))])


def openai(executor: NodeSessionsCodeExecutor, code: str) -> str:
    call = {"type": "function_call", "call_id": "1", "name": executor.name, "arguments": json.dumps({"code": code})}
    return json.dumps([openai_tools.chat_tool(executor), openai_tools.answer(executor, [call])])


FACES: list[Face] = [autogen, autogen_tool, workbench, langchain, toolkit, openai]

SEARCH = """
const seen = [process.env, process.argv, process.execArgv, process.cwd(), os.homedir(), os.hostname(), __filename];
for (const name of ['environ', 'cmdline', 'mountinfo']) {
  try { seen.push(fs.readFileSync('/proc/self/' + name, 'latin1')) } catch (error) { seen.push(error.stack) }
}
fs.writeFileSync('/mnt/data/made.txt', 'x');
console.log(JSON.stringify(seen));
console.error(new Error('here').stack);
const read = (name) => { try { return String(globalThis[name]) } catch {} };
JSON.stringify(Object.getOwnPropertyNames(globalThis).map(read))
"""


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_code_that_searches_its_session_finds_nothing(face: Face, pool: LocalPool, tmp_path: Path) -> None:
    identifier = "some-users-session-1234"
    with NodeSessionsCodeExecutor(
        pool.endpoint, token=pool.token, session_id=identifier, artifacts_dir=tmp_path
    ) as executor:
        told = face(executor, SEARCH)
    assert "made.txt" in told
    for secret in (
        pool.token,
        identifier,
        pool.endpoint,
        pool.endpoint.removeprefix("http://127.0.0.1"),
        str(tmp_path),
    ):
        assert secret not in told
    assert "root:" not in told


def betrays(request: Request) -> Response:
    """Answer with an error that repeats all of the request."""
    told = (
        f"{request.headers.get('authorization')} {request.target} http://{request.headers.get('host')}{request.target}"
    )
    return Response(400, json.dumps({"error": {"code": "Bad", "message": told, "traceId": told}}).encode())


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_a_server_that_repeats_the_request_tells_nothing(face: Face, tmp_path: Path) -> None:
    identifier = "some-users/session+1234"
    with serve(betrays) as server:
        with NodeSessionsCodeExecutor(
            server.url, token=TOKEN, session_id=identifier, artifacts_dir=tmp_path
        ) as executor:
            try:
                told = face(executor, "1")
            except Exception as error:  # AutoGen shows an agent's model what it raises
                told = str(error)
        assert "does not accept the request" in told
        for secret in (TOKEN, "some-users", "session+", "session%2B", server.url, "127.0.0.1", str(tmp_path)):
            assert secret not in told
