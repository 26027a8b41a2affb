"""The plain `openai` client with JavaScript as a function tool: the loop that agent frameworks hide.

The model is scripted; with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT set, it is that deployment. The code runs
either way: in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the embedded one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from azure.identity import DefaultAzureCredential, get_bearer_token_provider
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import AzureOpenAI
from openai.types.chat import ChatCompletionMessage

from aca_node_interpreter import NodeSessionsCodeExecutor

TASK = "Which months of 2028 have a Friday the 13th?"
CODE = """\
var months = Array.from({ length: 12 }, (_, month) => new Date(Date.UTC(2028, month, 13)));
months.filter((day) => day.getUTCDay() === 5).map((day) => day.toISOString().slice(0, 7)).join(' and ')
"""
SCRIPT: list[dict[str, Any]] = [
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "node_interpreter", "arguments": json.dumps({"code": CODE})},
            }
        ],
    },
    {"role": "assistant", "content": "October is the only one."},
]

Model = Callable[[list[Any], list[Any]], ChatCompletionMessage]
"""Takes the messages and the tools, and answers."""


def model() -> Model:
    """Return the deployment that the environment names, or else the script."""
    endpoint, deployment = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("AZURE_OPENAI_DEPLOYMENT")
    if not endpoint or not deployment:
        script = iter(SCRIPT)
        return lambda messages, tools: ChatCompletionMessage.model_validate(next(script))
    client = AzureOpenAI(
        azure_endpoint=endpoint,
        api_version="2024-10-21",
        azure_ad_token_provider=get_bearer_token_provider(
            DefaultAzureCredential(), "https://cognitiveservices.azure.com/.default"
        ),
    )

    def complete(messages: list[Any], tools: list[Any]) -> ChatCompletionMessage:
        return client.chat.completions.create(model=deployment, messages=messages, tools=tools).choices[0].message

    return complete


def main() -> None:
    """Let the model run code until it has an answer."""
    complete = model()
    messages: list[Any] = [{"role": "user", "content": TASK}]
    with NodeSessionsCodeExecutor() as executor:
        tools = [convert_to_openai_tool(executor)]
        reply = complete(messages, tools)
        while reply.tool_calls:
            messages.append(reply)
            for call in reply.tool_calls:
                assert call.type == "function"
                output = executor.invoke(json.loads(call.function.arguments))
                print(output)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
            reply = complete(messages, tools)
    print(reply.content)


if __name__ == "__main__":
    main()
