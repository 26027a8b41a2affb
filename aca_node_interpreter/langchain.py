"""A LangChain toolkit: run code in a thread's session, and put files into it, list them and bring them back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, BaseToolkit, ToolException
from pydantic import BaseModel, Field, PrivateAttr

from .artifacts import Artifact
from .errors import AcaNodeError
from .executor import NodeSessionsCodeExecutor
from .inputs import AllowedPaths
from .runs import reason
from .tool_results import Content, FilesArtifact, content_of, saved_file


class NodeSessionsToolkit(BaseToolkit):
    """The tools of an executor: run code, upload, list and download files.

    Each call works in the session of its thread, as the executor's own. The tools are named after the executor, so that
    an agent can have two toolkits.

    Args:
        executor: runs the code; who made it closes it.
        allowed_paths: the files on this machine, and directories with all that lies in them, that a model may upload.
            Without any there is no tool for uploads.
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
    handle_tool_error: Any = True

    def __init__(self, executor: NodeSessionsCodeExecutor, suffix: str, **settings: Any) -> None:
        super().__init__(executor=executor, **{"name": f"{executor.name}_{suffix}", **settings})


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

    def _run(self, path: str, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None) -> str:
        thread_id = self.executor.conversation_of(config)
        with _told():
            self.executor.upload(self._allowed.resolved(path), thread_id=thread_id)
            return f"Uploaded. {self.executor.describe_files(thread_id=thread_id)}"

    async def _arun(
        self, path: str, config: RunnableConfig, run_manager: AsyncCallbackManagerForToolRun | None = None
    ) -> str:
        thread_id = self.executor.conversation_of(config)
        with _told():
            allowed = await asyncio.to_thread(self._allowed.resolved, path)
            await self.executor.aupload(allowed, thread_id=thread_id)
            return f"Uploaded. {await self.executor.adescribe_files(thread_id=thread_id)}"


class Nothing(BaseModel):
    """What a model fills in to list files."""


class ListFiles(_SessionTool):
    """Tell what is in the session's `/mnt/data`."""

    description: str = "List the files in /mnt/data of the Node.js session."
    args_schema: type[BaseModel] = Nothing

    def __init__(self, executor: NodeSessionsCodeExecutor, **settings: Any) -> None:
        super().__init__(executor, "list_files", **settings)

    def _run(self, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None) -> str:
        with _told():
            return self.executor.describe_files(thread_id=self.executor.conversation_of(config))

    async def _arun(self, config: RunnableConfig, run_manager: AsyncCallbackManagerForToolRun | None = None) -> str:
        with _told():
            return await self.executor.adescribe_files(thread_id=self.executor.conversation_of(config))


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
        self, path: str, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None
    ) -> tuple[Content, FilesArtifact]:
        with _told():
            artifact = self.executor.download(path, thread_id=self.executor.conversation_of(config))
        return self._content_and_artifact(artifact)

    async def _arun(
        self, path: str, config: RunnableConfig, run_manager: AsyncCallbackManagerForToolRun | None = None
    ) -> tuple[Content, FilesArtifact]:
        with _told():
            artifact = await self.executor.adownload(path, thread_id=self.executor.conversation_of(config))
        return await asyncio.to_thread(self._content_and_artifact, artifact)

    def _content_and_artifact(self, artifact: Artifact) -> tuple[Content, FilesArtifact]:
        picture = artifact.picture() if self.executor.return_images else None
        return content_of(f"Files saved:\n- {artifact}", [picture] if picture else []), {
            "files": [saved_file(artifact)]
        }


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors into what the model is told."""
    try:
        yield
    except AcaNodeError as error:
        raise ToolException(str(error)) from error
    except OSError as error:
        raise ToolException(f"It did not work: {reason(error)}.") from error
