"""A LangChain toolkit: run code in a thread's session, and put files into it, list them and bring them back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, BaseToolkit, ToolException
from pydantic import BaseModel, Field, PrivateAttr

from aca_node_interpreter.artifacts import Artifact
from aca_node_interpreter.errors import AcaNodeError
from aca_node_interpreter.executor import NodeSessionsCodeExecutor
from aca_node_interpreter.rest.flow import Compute, Flow
from aca_node_interpreter.sessions.inputs import AllowedPaths
from aca_node_interpreter.sessions.runs import reason
from aca_node_interpreter.sessions.session import Session

from .call_order import Runtime, with_runtime
from .results import Content, FilesArtifact, content_of, saved_file


class NodeSessionsToolkit(BaseToolkit):
    """The tools of an executor: run code, upload, list and download files.

    Each call works in the session of its thread, as the executor's own. The tools are named after the executor, so that
    an agent can have two toolkits.

    Args:
        executor: runs the code; who made it closes it.
        allowed_paths: the files on this machine, and directories with all that lies in them but what is hidden there,
            that a model may upload. Without any there is no tool for uploads.
    """

    executor: NodeSessionsCodeExecutor
    allowed_paths: Sequence[str | Path] = ()

    def get_tools(self) -> list[BaseTool]:
        """Return the tools, the executor first."""
        tools: list[BaseTool] = [self.executor]
        if self.allowed_paths:
            tools.append(UploadFile(self.executor, self.allowed_paths))
        return [*tools, ListFiles(self.executor), DownloadFile(self.executor)]


class _SessionTool(BaseTool):
    """A tool that works on the files of a thread's session."""

    executor: NodeSessionsCodeExecutor = Field(exclude=True, repr=False)
    args_schema: type[BaseModel] = BaseModel
    handle_tool_error: Any = True

    def __init__(self, executor: NodeSessionsCodeExecutor, suffix: str, **settings: Any) -> None:
        super().__init__(executor=executor, **{"name": f"{executor.name}_{suffix}", **settings})

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """Return what a graph looks at to find out what the tool wants of it; the model sees `args_schema`."""
        return with_runtime(self.args_schema)


class LocalPath(BaseModel):
    """What a model fills in to upload."""

    path: str = Field(description="Path or name of the file, as the user gave it.")


class UploadFile(_SessionTool):
    """Put files of this machine, out of those that a model may name, into the session."""

    description: str = "Put a file of the user's into /mnt/data of the Node.js session, where code can read it."
    args_schema: type[BaseModel] = LocalPath

    _allowed: AllowedPaths = PrivateAttr()

    def __init__(
        self, executor: NodeSessionsCodeExecutor, allowed_paths: Sequence[str | Path], **settings: Any
    ) -> None:
        super().__init__(executor, "upload_file", **settings)
        self._allowed = AllowedPaths(allowed_paths)

    def _run(
        self,
        path: str,
        config: RunnableConfig,
        runtime: Runtime = None,
        run_manager: CallbackManagerForToolRun | None = None,
    ) -> str:
        with _told():
            return self.executor.perform(partial(_uploaded, self._allowed, path), config, runtime)

    async def _arun(
        self,
        path: str,
        config: RunnableConfig,
        runtime: Runtime = None,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
    ) -> str:
        with _told():
            return await self.executor.aperform(partial(_uploaded, self._allowed, path), config, runtime)


class Nothing(BaseModel):
    """What a model fills in to list files."""


class ListFiles(_SessionTool):
    """Tell what is in the session's `/mnt/data`."""

    description: str = "List the files in /mnt/data of the Node.js session."
    # LangChain passes nothing at all, not even what a graph fills in, to a tool that has no argument.
    args_schema: type[BaseModel] = with_runtime(Nothing)

    def __init__(self, executor: NodeSessionsCodeExecutor, **settings: Any) -> None:
        super().__init__(executor, "list_files", **settings)

    def _run(
        self, config: RunnableConfig, runtime: Runtime = None, run_manager: CallbackManagerForToolRun | None = None
    ) -> str:
        with _told():
            return self.executor.perform(Session.described, config, runtime)

    async def _arun(
        self, config: RunnableConfig, runtime: Runtime = None, run_manager: AsyncCallbackManagerForToolRun | None = None
    ) -> str:
        with _told():
            return await self.executor.aperform(Session.described, config, runtime)


class RemotePath(BaseModel):
    """What a model fills in to download."""

    path: str = Field(description="Path of the file in /mnt/data.")


class DownloadFile(_SessionTool):
    """Bring back a file of the session's `/mnt/data`; the program finds it in `message.artifact["files"]`."""

    description: str = (
        "Hand the user a file that lies in /mnt/data of the Node.js session. Files that code writes are handed over "
        "without it."
    )
    args_schema: type[BaseModel] = RemotePath
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    def __init__(self, executor: NodeSessionsCodeExecutor, **settings: Any) -> None:
        super().__init__(executor, "download_file", **settings)

    def _run(
        self,
        path: str,
        config: RunnableConfig,
        runtime: Runtime = None,
        run_manager: CallbackManagerForToolRun | None = None,
    ) -> tuple[Content, FilesArtifact]:
        with _told():
            artifact = self.executor.perform(self.executor.fetched(path), config, runtime)
        return self._content_and_artifact(artifact)

    async def _arun(
        self,
        path: str,
        config: RunnableConfig,
        runtime: Runtime = None,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
    ) -> tuple[Content, FilesArtifact]:
        with _told():
            artifact = await self.executor.aperform(self.executor.fetched(path), config, runtime)
        return await asyncio.to_thread(self._content_and_artifact, artifact)

    def _content_and_artifact(self, artifact: Artifact) -> tuple[Content, FilesArtifact]:
        picture = artifact.picture() if self.executor.return_images else None
        return content_of(f"Files saved:\n- {artifact}", [picture] if picture else []), {
            "files": [saved_file(artifact)]
        }


def _uploaded(allowed: AllowedPaths, named: str, session: Session) -> Flow[str]:
    path: Path = yield Compute(partial(allowed.resolved, named))
    yield from session.upload(path)
    return f"Uploaded. {(yield from session.described())}"


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors into what the model is told."""
    try:
        yield
    except AcaNodeError as error:
        raise ToolException(str(error)) from error
    except OSError as error:
        raise ToolException(f"It did not work: {reason(error)}.") from error
