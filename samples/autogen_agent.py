"""An AutoGen agent that writes JavaScript, has it run in a session, and answers from what came out.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the
embedded one.
"""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import AzureOpenAIChatCompletionClient

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Say, Turn
from deployment import deployment

TASK = "How many primes are there below one million?"
SIEVE = """\
I will count them with a sieve.

```javascript
const limit = 1_000_000, composite = new Uint8Array(limit);
let primes = 0;
for (let n = 2; n < limit; n++) {
  if (composite[n]) continue;
  primes++;
  for (let multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
}
console.log(`Node.js ${process.version} counted ${primes} primes.`);
```"""
SCRIPT = [Turn(Say(SIEVE)), Turn(Say("There are 78,498 primes below one million."), message="78498")]


def approve(request: ApprovalRequest) -> ApprovalResponse:
    """Let all code run, since a session is isolated; a cautious program would ask a person here."""
    return ApprovalResponse(approved=True, reason="It runs in an isolated session.")


async def main() -> None:
    """Give the agent its task and print the conversation."""
    with deployment(SCRIPT) as azure:
        async with NodeSessionsCodeExecutor() as executor:
            model = AzureOpenAIChatCompletionClient(
                azure_endpoint=azure.endpoint,
                azure_deployment=azure.name,
                api_version=azure.api_version,
                azure_ad_token_provider=azure.token,
                model="gpt-4.1",  # what the deployment runs
            )
            agent = CodeExecutorAgent(
                "coder",
                executor,
                model_client=model,
                supported_languages=list(executor.SUPPORTED_LANGUAGES),
                system_message=executor.SYSTEM_MESSAGE,
                approval_func=approve,
            )
            await Console(agent.run_stream(task=TASK))
            await model.close()


if __name__ == "__main__":
    asyncio.run(main())
