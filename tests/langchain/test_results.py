"""What LangChain gets of a run survives every checkpoint: small, plain, without bytes; and pictures when asked for."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolCall
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.langchain.results import artifact_of, slim
from aca_node_interpreter.rest.models import Execution, Status
from aca_node_interpreter.sessions.runs import Run
from aca_node_interpreter.testing import Call, Say, ScriptedModel
from tests.testing.test_frameworks import langchain_model

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DRAW = f"fs.writeFileSync('/mnt/data/dot.png', Buffer.from('{base64.b64encode(PNG).decode()}', 'base64')); 'drawn'"
HOSTILE = """
console.log('y'.repeat(1e6));
fs.writeFileSync('/mnt/data/noise.bin', require('crypto').randomBytes(100_000));
({ big: 1e20, small: 7, half: '\\ud800', ['\\udc00key']: [null, true, 'ü'] })
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


def tool_call(code: str) -> ToolCall:
    return ToolCall(name="node_interpreter", args={"code": code}, id="1", type="tool_call")


@pytest.mark.parametrize("serializer", [JsonPlusSerializer(allowed_msgpack_modules=None), JsonPlusSerializer()])
def test_a_message_survives_a_checkpoint_without_the_bytes_of_files(
    serializer: JsonPlusSerializer, executor: NodeSessionsCodeExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    message = executor.invoke(tool_call(HOSTILE))
    with caplog.at_level(logging.DEBUG):
        written = serializer.dumps_typed({"messages": [message]})
        restored = serializer.loads_typed(written)["messages"][0]
    assert written[0] == "msgpack"
    assert len(written[1]) < 2 * executor.max_output_chars
    assert (restored.content, restored.artifact) == (message.content, message.artifact)
    assert json.loads(json.dumps(restored.artifact)) == message.artifact
    assert not caplog.records
    assert restored.artifact["value"] == {"big": 1e20, "small": 7, "half": "?", "?key": [None, True, "ü"]}
    noise, whole = restored.artifact["files"]
    assert (noise["name"], noise["size"], noise["media_type"]) == ("noise.bin", 100_000, "application/octet-stream")
    assert (whole["name"], len(Path(whole["path"]).read_text()) > 1e6) == ("output.txt", True)


def run_with(value: Any) -> Run:
    return Run(Execution(Status.SUCCEEDED, stdout="x" * 100, result="x"), value=value, deleted=("a",) * 1000)


def test_what_is_long_or_deep_is_left_out() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert artifact_of(slim(run_with("x" * 300), 200))["value"] is None
    assert artifact_of(slim(run_with(deep), 50_000))["value"] is None
    assert artifact_of(slim(run_with(deep[0]), 50_000))["value"] is None
    assert slim(run_with(1), 200).execution.stdout == ""
    assert len(artifact_of(run_with(1))["deleted"]) == 100
    nested = json.loads("[" * 150 + "]" * 150)
    assert artifact_of(slim(run_with(nested), 50_000))["value"] is None


@pytest.mark.parametrize("service", ["openai", "responses"])
def test_pictures_reach_the_model_as_image_blocks(service: str, pool: LocalPool) -> None:
    script: list[Any] = [Call("node_interpreter", code=DRAW), Say("A dot.")]
    with ScriptedModel(script) as model:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, return_images=True) as executor:
            create_agent(langchain_model(model, service), tools=[executor]).invoke({"messages": [("user", "Draw.")]})
        sent = model.requests[1].body["messages" if service == "openai" else "input"][-1]
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    if service == "openai":
        text, picture = sent["content"]
        assert picture == {"type": "image_url", "image_url": {"url": url}}
    else:
        text, picture = sent["output"]
        assert (picture["type"], picture["image_url"]) == ("input_image", url)
    assert text["text"].startswith("=> 'drawn'\nFiles saved:\n- dot.png")


async def test_pictures_come_on_request_and_leave_text_alone_elsewhere(
    pool: LocalPool, executor: NodeSessionsCodeExecutor
) -> None:
    assert isinstance((await executor.ainvoke(tool_call(DRAW))).content, str)
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, return_images=True) as showing:
        _, picture = (await showing.ainvoke(tool_call(DRAW))).content
        assert (picture["type"], picture["mime_type"], picture["base64"]) == (
            "image",
            "image/png",
            base64.b64encode(PNG).decode(),
        )
        assert await showing.ainvoke({"code": "1"}) == "=> 1"
        large = DRAW.replace("; 'drawn'", "; fs.truncateSync('/mnt/data/dot.png', 4_000_000)")
        assert isinstance(await showing.ainvoke({"code": large}), str)
        assert showing.dump_component().config["return_images"] is True


def test_a_model_client_that_is_not_asked_sees_no_picture(executor: NodeSessionsCodeExecutor) -> None:
    with ScriptedModel([Call("node_interpreter", code=DRAW), Say("A dot.")]) as model:
        chat = ChatOpenAI(model=model.name, base_url=model.base_url, api_key=model.api_key)  # type: ignore[arg-type]
        create_agent(chat, tools=[executor]).invoke({"messages": [("user", "Draw.")]})
        assert "base64" not in json.dumps(model.requests[1].body["messages"][-1])
