"""Two AutoGen agents: one writes JavaScript, the other runs it and says what came out, until it works.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the
embedded one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from autogen_agentchat.agents import ApprovalResponse, AssistantAgent, CodeExecutorAgent
from autogen_agentchat.conditions import FunctionalTermination, MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Say, Turn
from deployment import deployment

TASK = "Write a function that turns a number into Roman numerals, and try it with 1984 and 2028."
FIRST = """\
```javascript
const signs = { M: 1000, CM: 900, D: 500, CD: 400, C: 100, XC: 90, L: 50, XL: 40, X: 10, IX: 9, V: 5, IV: 4, I: 1 };
const roman = (n) => signs.map(([sign, value]) => {
  const times = Math.floor(n / value);
  n -= times * value;
  return sign.repeat(times);
}).join('');
console.log(roman(1984), roman(2028));
```"""
SECOND = "An object has no `map`: I take its entries.\n\n" + FIRST.replace("signs.map", "Object.entries(signs).map")
SCRIPT = [
    Turn(Say(FIRST), message=TASK),
    Turn(Say(SECOND), message="TypeError: signs.map is not a function"),
    Turn(Say("It works: 1984 is MCMLXXXIV and 2028 is MMXXVIII."), message="MCMLXXXIV MMXXVIII"),
]


def has_answered(messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> bool:
    """Tell that the coder has no more code to run."""
    return messages[-1].source == "coder" and "```" not in messages[-1].to_text()


async def main() -> None:
    """Give the team its task and print the conversation."""
    with deployment(SCRIPT) as azure:
        async with NodeSessionsCodeExecutor() as executor:
            model = AzureOpenAIChatCompletionClient(
                azure_endpoint=azure.endpoint,
                azure_deployment=azure.name,
                api_version=azure.api_version,
                azure_ad_token_provider=azure.token,
                model="gpt-4.1",  # what the deployment runs
            )
            coder = AssistantAgent("coder", model, system_message=executor.SYSTEM_MESSAGE)
            runner = CodeExecutorAgent(
                "runner",
                executor,
                supported_languages=list(executor.SUPPORTED_LANGUAGES),
                approval_func=lambda request: ApprovalResponse(approved=True, reason="It runs in an isolated session."),
            )
            ends = FunctionalTermination(has_answered) | MaxMessageTermination(12)
            team = RoundRobinGroupChat([coder, runner], termination_condition=ends)
            await Console(team.run_stream(task=TASK))
            await model.close()


if __name__ == "__main__":
    asyncio.run(main())
