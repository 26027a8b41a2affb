"""A LangChain agent that gets a CSV file, works on it in JavaScript, and sends a chart back.

The model is scripted; with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT set, it is that deployment. The code runs
either way: in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the embedded one.
"""

from __future__ import annotations

import os
from typing import Any

from azure.identity import DefaultAzureCredential, get_bearer_token_provider
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_openai import AzureChatOpenAI

from aca_node_interpreter import NodeSessionsCodeExecutor

SALES = "region,amount\nNorth,120\nSouth,310\nNorth,95\nWest,178\nSouth,42\nEast,260\n"
TASK = "Add up /mnt/data/sales.csv by region, and draw the totals as a bar chart in /mnt/data/sales.svg."
CODE = """\
var totals = {};
for (var line of fs.readFileSync('/mnt/data/sales.csv', 'utf8').trim().split('\\n').slice(1)) {
  var [region, amount] = line.split(',');
  totals[region] = (totals[region] || 0) + Number(amount);
}
var bars = Object.entries(totals).map(([region, total], i) => `
  <text x="10" y="${i * 40 + 28}">${region}</text>
  <rect x="70" y="${i * 40 + 10}" width="${total}" height="26" fill="#4f8ef7"/>
  <text x="${total + 78}" y="${i * 40 + 28}">${total}</text>`);
fs.writeFileSync('/mnt/data/sales.svg', `<svg xmlns="http://www.w3.org/2000/svg" width="480" height="170"
  font-family="sans-serif" font-size="14">${bars.join('')}\\n</svg>`);
totals
"""
SCRIPT = [
    AIMessage("", tool_calls=[ToolCall(name="node_interpreter", args={"code": CODE}, id="1", type="tool_call")]),
    AIMessage("The South sold most, 352. The chart is in sales.svg."),
]


class ScriptedModel(GenericFakeChatModel):
    """Says what the script says, whatever tools it may use."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Leave the script as it is."""
        return self


def model() -> BaseChatModel:
    """Return the deployment that the environment names, or else the script."""
    endpoint, deployment = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("AZURE_OPENAI_DEPLOYMENT")
    if not endpoint or not deployment:
        return ScriptedModel(messages=iter(SCRIPT))
    return AzureChatOpenAI(
        azure_endpoint=endpoint,
        azure_deployment=deployment,
        api_version="2024-10-21",
        azure_ad_token_provider=get_bearer_token_provider(
            DefaultAzureCredential(), "https://cognitiveservices.azure.com/.default"
        ),
    )


def main() -> None:
    """Send the file, give the agent its task, print the conversation and where the chart is."""
    with NodeSessionsCodeExecutor(artifacts_dir="results") as executor:
        executor.upload(SALES.encode(), name="sales.csv")
        agent = create_agent(model(), tools=[executor])
        for message in agent.invoke({"messages": [HumanMessage(TASK)]})["messages"]:
            message.pretty_print()
            if isinstance(message, ToolMessage) and message.artifact:
                print(*(f"saved as {file['path']}" for file in message.artifact["files"]), sep="\n")


if __name__ == "__main__":
    main()
