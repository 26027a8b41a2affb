"""An AutoGen agent that writes JavaScript, has it run in a session, and answers from what came out.

The model is scripted; with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT set, it is that deployment. The code runs
either way: in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the embedded one.
"""

from __future__ import annotations

import asyncio
import os

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
from autogen_agentchat.ui import Console
from autogen_core.models import ChatCompletionClient, ModelFamily, ModelInfo
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient
from autogen_ext.models.replay import ReplayChatCompletionClient
from azure.identity import DefaultAzureCredential, get_bearer_token_provider

from aca_node_interpreter import NodeSessionsCodeExecutor

TASK = "How many primes are there below one million?"
SCRIPT = [
    """I will count them with a sieve.

```javascript
var limit = 1_000_000, composite = new Uint8Array(limit), primes = 0;
for (var n = 2; n < limit; n++) {
  if (composite[n]) continue;
  primes++;
  for (var multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
}
console.log(`Node.js ${process.version} counted ${primes} primes.`);
```""",
    "There are 78,498 primes below one million.",
]


def model() -> ChatCompletionClient:
    """Return the deployment that the environment names, or else the script."""
    endpoint, deployment = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("AZURE_OPENAI_DEPLOYMENT")
    if not endpoint or not deployment:
        return ReplayChatCompletionClient(SCRIPT)
    return AzureOpenAIChatCompletionClient(
        azure_endpoint=endpoint,
        azure_deployment=deployment,
        model=deployment,
        api_version="2024-10-21",
        azure_ad_token_provider=get_bearer_token_provider(
            DefaultAzureCredential(), "https://cognitiveservices.azure.com/.default"
        ),
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            structured_output=True,
            family=ModelFamily.UNKNOWN,
        ),
    )


def approve(request: ApprovalRequest) -> ApprovalResponse:
    """Let all code run, since a session is isolated; a cautious program would ask a person here."""
    return ApprovalResponse(approved=True, reason="It runs in an isolated session.")


async def main() -> None:
    """Give the agent its task and print the conversation."""
    client = model()
    async with NodeSessionsCodeExecutor() as executor:
        agent = CodeExecutorAgent(
            "coder",
            executor,
            model_client=client,
            supported_languages=list(executor.SUPPORTED_LANGUAGES),
            system_message=executor.SYSTEM_MESSAGE,
            approval_func=approve,
        )
        await Console(agent.run_stream(task=TASK))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
