"""`NodeTool`: an AutoGen tool that runs a model's JavaScript."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar

from autogen_core import CancellationToken, Component, ComponentModel
from autogen_core.code_executor import CodeExecutor
from autogen_core.tools import BaseTool
from pydantic import BaseModel, Field
from typing_extensions import Self

from aca_node_interpreter import prompts
from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.executor import NodeSessionsCodeExecutor, RunJavaScript

from .cancelling import until_cancelled


class NodeToolOutput(BaseModel):
    """What came of a run; its text is what a model reads."""

    exit_code: int
    output: str
    artifacts: list[Artifact] = Field(default_factory=list)
    """Files that the run created or changed; `output` names them too."""

    def __str__(self) -> str:
        return self.output


class NodeToolConfig(BaseModel):
    """What `dump_component` writes."""

    executor: ComponentModel
    name: str | None = None
    description: str | None = None


class NodeTool(BaseTool[RunJavaScript, NodeToolOutput], Component[NodeToolConfig]):
    """Run a model's JavaScript, in the session of an executor.

    Code that fails is a result to read. When the call fails, `AcaNodeError` is raised, which an agent turns into an
    error that its model reads.

    Args:
        executor: what runs the code.
        name: what the model calls it; by default the executor's.
        description: what the model is told; by default the executor's.
    """

    # AutoGen declares it without ClassVar.
    component_config_schema: ClassVar[type[NodeToolConfig]] = NodeToolConfig  # type: ignore[misc]
    component_provider_override: ClassVar[str] = "aca_node_interpreter.autogen.NodeTool"
    component_description: ClassVar[str] = "Runs JavaScript with Node.js in an Azure Container Apps session pool."

    def __init__(
        self, executor: NodeSessionsCodeExecutor, *, name: str | None = None, description: str | None = None
    ) -> None:
        # Strict, since OpenAI's client gives structured answers only beside strict tools.
        told = executor.stating_rules(description or executor.description)
        super().__init__(RunJavaScript, NodeToolOutput, name or executor.name, told, strict=True)
        self.executor = executor

    async def run(self, args: RunJavaScript, cancellation_token: CancellationToken) -> NodeToolOutput:
        """Run code.

        Raises:
            AcaNodeError: the call failed, or the token was cancelled.
        """
        run = await until_cancelled(self.executor.aexecute(args.code), cancellation_token)
        return NodeToolOutput(
            exit_code=run.exit_code, output=run.text or prompts.NO_OUTPUT, artifacts=list(run.artifacts)
        )

    def return_value_as_string(self, value: Any) -> str:
        """Return what the model reads."""
        return str(value)

    async def close(self) -> None:
        """Stop the executor; needed only where nobody else does."""
        await self.executor.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _to_config(self) -> NodeToolConfig:
        return NodeToolConfig(executor=self.executor.dump_component(), name=self.name, description=self.description)

    @classmethod
    def _from_config(cls, config: NodeToolConfig) -> Self:
        return cls(executor_of(config.executor), name=config.name, description=config.description)


def executor_of(component: ComponentModel) -> NodeSessionsCodeExecutor:
    """Return the executor that is written down inside another component.

    Raises:
        ConfigurationError: it is one of another kind, which knows no Node.js.
    """
    executor = CodeExecutor.load_component(component)
    if not isinstance(executor, NodeSessionsCodeExecutor):
        raise ConfigurationError(f"The executor must be a NodeSessionsCodeExecutor, not {type(executor).__name__}.")
    return executor
