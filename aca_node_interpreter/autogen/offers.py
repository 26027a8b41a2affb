"""The tools that a workbench offers: their names, what models fill in, and what they are told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autogen_core.tools import ParametersSchema, ToolSchema
from pydantic import BaseModel, ConfigDict, Field

UPLOAD, LIST, DOWNLOAD = "upload_file", "list_files", "download_file"

# Allowed paths that are named to the model.
_NAMED = 20


class UploadFile(BaseModel):
    """What a model fills in to upload."""

    model_config = ConfigDict(extra="forbid")
    path: str = Field(description="The file's name.")


class ListFiles(BaseModel):
    """What a model fills in to list: nothing."""

    model_config = ConfigDict(extra="forbid")


class DownloadFile(BaseModel):
    """What a model fills in to download."""

    model_config = ConfigDict(extra="forbid")
    path: str = Field(description="The file's path in the session, such as /mnt/data/chart.png.")


def offer(name: str, description: str, arguments: type[BaseModel]) -> ToolSchema:
    """Return a tool as a model is told of it."""
    schema = arguments.model_json_schema()
    return ToolSchema(
        name=name,
        description=description,
        parameters=ParametersSchema(
            type="object",
            properties=schema["properties"],
            required=schema.get("required", []),
            additionalProperties=False,
        ),
        strict=True,  # see `NodeTool`
    )


def file_tools(allowed_paths: Sequence[str | os.PathLike[str]]) -> list[ToolSchema]:
    """Return the tools for files; the one that uploads only where there is something to upload."""
    offers = [
        offer(LIST, "List the files in the session's /mnt/data.", ListFiles),
        offer(
            DOWNLOAD,
            "Save a file of the session's /mnt/data for the user. What a run writes there is saved without it.",
            DownloadFile,
        ),
    ]
    if allowed_paths:
        offers.insert(0, offer(UPLOAD, _upload_description(allowed_paths), UploadFile))
    return offers


def _upload_description(allowed_paths: Sequence[str | os.PathLike[str]]) -> str:
    """Say what may be uploaded, by names only: where it lies is no model's business."""
    names = [
        f"{path.resolve().name} (a directory, or any file in it by its path there)" if path.is_dir() else path.name
        for path in map(Path, allowed_paths[:_NAMED])
    ]
    more = f", and {len(allowed_paths) - _NAMED} more" if len(allowed_paths) > _NAMED else ""
    return f"Put one of the user's files into the session's /mnt/data. There are: {', '.join(names)}{more}."
