"""An AutoGen assistant that has Node.js among its tools, and calls it as often as it needs to.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the
embedded one.
"""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.autogen import NodeTool
from aca_node_interpreter.testing import Call, Say, Turn
from deployment import deployment

TASK = "How are 1234567.8 euros written in Berlin, Dublin and Kolkata? And how many signs does each of them take?"
WRITE = """\
const amounts = Object.fromEntries(['de-DE', 'en-IE', 'en-IN'].map((place) => [
  place, new Intl.NumberFormat(place, { style: 'currency', currency: 'EUR' }).format(1234567.8)]));
amounts"""
COUNT = "Object.values(amounts).map((text) => text.length)"
SCRIPT = [
    Turn(Call("node_interpreter", code=WRITE), message="Kolkata"),
    Turn(Call("node_interpreter", code=COUNT), output="€12,34,567.80"),
    Turn(Say("1.234.567,80 €, €1,234,567.80 and €12,34,567.80: 14, 13 and 13 signs."), output="[ 14, 13, 13 ]"),
]


async def main() -> None:
    """Give the assistant its task and print the conversation."""
    with deployment(SCRIPT) as azure:
        async with NodeSessionsCodeExecutor() as executor:
            model = AzureOpenAIChatCompletionClient(
                azure_endpoint=azure.endpoint,
                azure_deployment=azure.name,
                api_version=azure.api_version,
                azure_ad_token_provider=azure.token,
                model="gpt-4.1",  # what the deployment runs
            )
            agent = AssistantAgent("assistant", model, tools=[NodeTool(executor)], max_tool_iterations=5)
            await Console(agent.run_stream(task=TASK))
            await model.close()


if __name__ == "__main__":
    asyncio.run(main())
