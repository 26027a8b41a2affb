"""The plain `openai` client with JavaScript as a function tool: the loop that agent frameworks hide.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the
embedded one.
"""

from __future__ import annotations

from typing import Any

from openai import AzureOpenAI

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.openai_tools import answer, chat_tool
from aca_node_interpreter.testing import Call, Say, Turn
from deployment import deployment

TASK = "Which months of 2028 have a Friday the 13th?"
CODE = """\
const days = Array.from({ length: 12 }, (_, month) => new Date(Date.UTC(2028, month, 13)));
days.filter((day) => day.getUTCDay() === 5).map((day) => day.toISOString().slice(0, 7))"""
SCRIPT = [
    Turn(Call("node_interpreter", code=CODE)),
    Turn(Say("October is the only one."), output="[ '2028-10' ]"),
]


def main() -> None:
    """Let the model run code until it has an answer."""
    messages: list[Any] = [{"role": "user", "content": TASK}]
    with (
        deployment(SCRIPT) as azure,
        AzureOpenAI(
            azure_endpoint=azure.endpoint, api_version=azure.api_version, azure_ad_token_provider=azure.token
        ) as client,
        NodeSessionsCodeExecutor() as executor,
    ):
        while True:
            completion = client.chat.completions.create(
                model=azure.name, messages=messages, tools=[chat_tool(executor)]
            )
            reply = completion.choices[0].message
            if not reply.tool_calls:
                break
            results = answer(executor, reply.tool_calls)
            print(*(result["content"] for result in results), sep="\n")
            messages += [reply, *results]
    print(reply.content)


if __name__ == "__main__":
    main()
