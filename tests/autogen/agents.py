"""What the tests of AutoGen's agents share: a real client for the scripted model, pictures, and how agents are made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import MessageFactory
from autogen_core.models import ChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient
from PIL import Image

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import ScriptedModel


@asynccontextmanager
async def client_of(model: ScriptedModel, **settings: Any) -> AsyncIterator[ChatCompletionClient]:
    client = OpenAIChatCompletionClient(model=model.name, base_url=model.base_url, api_key=model.api_key, **settings)
    try:
        yield client
    finally:
        await client.close()


def approve(request: ApprovalRequest) -> ApprovalResponse:
    return ApprovalResponse(approved=True, reason="It runs in an isolated session.")


def coder(executor: NodeSessionsCodeExecutor, **settings: Any) -> CodeExecutorAgent:
    settings.setdefault("approval_func", approve)
    return CodeExecutorAgent(
        "coder",
        executor,
        supported_languages=list(executor.SUPPORTED_LANGUAGES),
        system_message=executor.SYSTEM_MESSAGE,
        **settings,
    )


def png(width: int = 3, height: int = 2) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "png")
    return file.getvalue()


def writes(name: str, content: bytes) -> str:
    """JavaScript that writes a file."""
    return f"fs.writeFileSync('/mnt/data/{name}', Buffer.from('{content.hex()}', 'hex'))"


def block(code: str) -> str:
    return f"I run this:\n\n```javascript\n{code}\n```\n"


def image_parts(request: Any) -> list[Any]:
    """The pictures in a request to a model."""
    contents = [message["content"] for message in request.body["messages"] if isinstance(message.get("content"), list)]
    return [part for content in contents for part in content if part["type"] == "image_url"]


def written_down(result: TaskResult) -> TaskResult:
    """A task's result as it comes back from a database or another process."""
    stored = json.dumps([message.dump() for message in result.messages])
    return TaskResult(messages=[MessageFactory().create(each) for each in json.loads(stored)])
