"""`NodeWorkbench`: AutoGen's workbench over a session, to run code and move files, with pictures in its results."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from autogen_core import CancellationToken, Component, ComponentModel
from autogen_core.model_context import ChatCompletionContext
from autogen_core.tools import ToolResult, ToolSchema, Workbench
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import Self

from aca_node_interpreter import prompts
from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.errors import AcaNodeError, ConfigurationError
from aca_node_interpreter.executor import NodeSessionsCodeExecutor, RunJavaScript
from aca_node_interpreter.sessions.inputs import AllowedPaths
from aca_node_interpreter.sessions.output import lines_about
from aca_node_interpreter.sessions.runs import reason

from .cancelling import until_cancelled
from .offers import DOWNLOAD, LIST, UPLOAD, DownloadFile, ListFiles, UploadFile, file_tools, offer
from .pictures import PictureContext, Pictures, images_of
from .results import failed, told
from .tool import executor_of

_REMEMBERED_ARTIFACTS = 1_000


class NodeWorkbenchConfig(BaseModel):
    """What `dump_component` writes."""

    executor: ComponentModel
    return_images: bool = True
    allowed_paths: list[str] = Field(default_factory=list)
    thread_id: str | None = None


class NodeWorkbenchState(BaseModel):
    """What `save_state` returns: the conversation's name, which is no session identifier."""

    type: Literal["NodeWorkbenchState"] = "NodeWorkbenchState"
    thread_id: str | None = None


class NodeWorkbench(Workbench, Component[NodeWorkbenchConfig]):
    """Tools over one session: run code, upload, list and download files. Calls take turns, in their order.

    Code that fails is a result to read; when the call fails, the result is an error in words for a model.

    Args:
        executor: what runs the code; `stop` stops it, too.
        return_images: whether results carry the pictures that a run made, the last few. `AssistantAgent` drops them;
            with `model_context()` as its `model_context` its model sees them.
        allowed_paths: files, and directories with all that lies in them but what is hidden there, that the model may
            upload. Without any, there is no tool to upload.
        thread_id: a conversation of the executor, which has a session of its own. With the executor's `session_secret`,
            a workbench that loads this one's state goes on in the same session. Without it, the session is the one of
            the executor itself.
    """

    # AutoGen declares it without ClassVar.
    component_config_schema: ClassVar[type[NodeWorkbenchConfig]] = NodeWorkbenchConfig  # type: ignore[misc]
    component_provider_override: ClassVar[str] = "aca_node_interpreter.autogen.NodeWorkbench"
    component_description: ClassVar[str] = "Runs JavaScript and keeps files in an Azure Container Apps session."

    def __init__(
        self,
        executor: NodeSessionsCodeExecutor,
        *,
        return_images: bool = True,
        allowed_paths: Sequence[str | os.PathLike[str]] = (),
        thread_id: str | None = None,
    ) -> None:
        self.executor = executor
        self._return_images = return_images
        self._allowed_paths = list(allowed_paths)
        self._allowed = AllowedPaths(self._allowed_paths)
        self._thread_id = thread_id
        self._pictures = Pictures()
        self._saved: deque[Artifact] = deque(maxlen=_REMEMBERED_ARTIFACTS)

    @property
    def artifacts(self) -> list[Artifact]:
        """The files that calls saved, the oldest first; the last 1,000."""
        return list(self._saved)

    def model_context(self, inner: ChatCompletionContext | None = None) -> PictureContext:
        """Return a context for `AssistantAgent(model_context=...)`, which shows its model what pictures calls made.

        They are the last eight. `inner` keeps the messages; by default all of them.
        """
        return PictureContext(self._pictures, inner)

    async def list_tools(self) -> list[ToolSchema]:
        """List the tools."""
        run = offer(self.executor.name, self.executor.description, RunJavaScript)
        return [run, *file_tools(self._allowed_paths)]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Call a tool; what goes wrong is a result, too, and so is that the token was cancelled."""
        called = self._called(name, arguments or {})
        try:
            text, pictures = await until_cancelled(called, cancellation_token or CancellationToken())
        except ValidationError as error:
            return failed(name, _wrong(error))
        except AcaNodeError as error:
            return failed(name, str(error))
        except OSError as error:
            return failed(name, reason(error))
        images = await asyncio.to_thread(images_of, pictures) if self._return_images else []
        if images and call_id is not None:
            self._pictures.remember(call_id, images)
        return told(name, text, images)

    async def start(self) -> None:
        """Open the session pool now instead of at the first call."""
        await self.executor.start()

    async def stop(self) -> None:
        """Stop the executor: its sessions end, except those that replicas may go on with."""
        await self.executor.stop()

    async def reset(self) -> None:
        """Go on with a new, empty session."""
        if self._thread_id is None:
            await self.executor.restart()
        else:
            await self.executor.aclose(self._thread_id)

    async def save_state(self) -> Mapping[str, Any]:
        """Return the name of the conversation.

        A session's identifier is a key to it, so it is not part of the state: only who has the executor's
        `session_secret` can work it out from the name.
        """
        return NodeWorkbenchState(thread_id=self._thread_id).model_dump()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the conversation of a state."""
        self._thread_id = NodeWorkbenchState.model_validate(state).thread_id

    async def _called(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, list[bytes]]:
        """Return the text and the pictures that come of a call."""
        if name == self.executor.name:
            return await self._run(RunJavaScript.model_validate(arguments))
        if name == UPLOAD and self._allowed:
            return await self._upload(UploadFile.model_validate(arguments))
        if name == LIST:
            ListFiles.model_validate(arguments)
            return await self._list()
        if name == DOWNLOAD:
            return await self._download(DownloadFile.model_validate(arguments))
        raise ConfigurationError(f"There is no tool {name!r}.")

    async def _run(self, filled_in: RunJavaScript) -> tuple[str, list[bytes]]:
        run = await self.executor.aexecute(filled_in.code, thread_id=self._thread_id)
        self._saved.extend(run.artifacts)
        return run.text or prompts.NO_OUTPUT, [content for _, content in run.pictures()]

    async def _upload(self, filled_in: UploadFile) -> tuple[str, list[bytes]]:
        path = self._allowed.resolved(filled_in.path)
        await self.executor.aupload(path, thread_id=self._thread_id)
        return await self._list()

    async def _list(self) -> tuple[str, list[bytes]]:
        return await self.executor.adescribe_files(thread_id=self._thread_id), []

    async def _download(self, filled_in: DownloadFile) -> tuple[str, list[bytes]]:
        artifact = await self.executor.adownload(filled_in.path, thread_id=self._thread_id)
        self._saved.append(artifact)
        picture = artifact.picture()
        return lines_about([artifact], []), [] if picture is None else [picture[1]]

    def _to_config(self) -> NodeWorkbenchConfig:
        return NodeWorkbenchConfig(
            executor=self.executor.dump_component(),
            return_images=self._return_images,
            allowed_paths=[os.fspath(path) for path in self._allowed_paths],
            thread_id=self._thread_id,
        )

    @classmethod
    def _from_config(cls, config: NodeWorkbenchConfig) -> Self:
        return cls(
            executor_of(config.executor),
            return_images=config.return_images,
            allowed_paths=config.allowed_paths,
            thread_id=config.thread_id,
        )


def _wrong(error: ValidationError) -> str:
    """Say what is wrong with the arguments, without what they were."""
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return f"The arguments are wrong. {'; '.join(problems)}."
