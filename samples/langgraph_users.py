"""A LangGraph agent that serves two users at once: one executor, and a session of its own for each thread.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, or else in the
embedded one.
"""

from __future__ import annotations

import asyncio

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import AzureChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Call, ModelRequest, Say, Turn
from deployment import deployment


def say_result(request: ModelRequest) -> Say:
    """Answer with what the code gave."""
    return Say(f"Node.js says {request.output}")


LOOK = [Turn(Call("node_interpreter", code="typeof budget")), Turn(say_result, output="'undefined'")]
SCRIPT = [
    Turn(Call("node_interpreter", code="let budget = 1200")),
    Turn(Say("Noted.")),
    *LOOK,
    Turn(Call("node_interpreter", code="budget - 375")),
    Turn(say_result, output="825"),
    *LOOK,
]


async def main() -> None:
    """Serve Ada and Grace; a web server would call `reply` with the signed-in user."""
    with deployment(SCRIPT) as azure:
        async with NodeSessionsCodeExecutor() as executor:
            model = AzureChatOpenAI(
                azure_endpoint=azure.endpoint,
                azure_deployment=azure.name,
                api_version=azure.api_version,
                azure_ad_token_provider=azure.token,
            )
            agent = create_agent(model, tools=[executor], checkpointer=InMemorySaver())

            async def reply(user: str, text: str) -> None:
                config: RunnableConfig = {"configurable": {"thread_id": user}}
                answer = await agent.ainvoke({"messages": [HumanMessage(text)]}, config)
                print(f"{user}: {text}\n  {answer['messages'][-1].text}")

            await reply("ada", "My budget is 1200: keep it in a variable.")
            await reply("grace", "Is there a variable called budget?")
            await reply("ada", "I spent 375. What is left?")
            await executor.aclose("ada")  # she signs off: her session ends, Grace's goes on
            await reply("ada", "Is my budget still there?")


if __name__ == "__main__":
    asyncio.run(main())
