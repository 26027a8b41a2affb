"""The rules for identifiers, file names and folders that callers send."""

from __future__ import annotations

import re

from .api_errors import ApiError, invalid

DATA = "/mnt/data"

# The pattern of the published API description.
_IDENTIFIER = re.compile(r"""[a-zA-Z0-9_|}{\[\]:"';<>?/.,@#$%^&*()\-+=!~`]{4,128}""")

# Documented: letters, digits and these; any other Unicode text, but no controls and no halves of characters.
_FILE_NAME = re.compile(r"[A-Za-z0-9\-_ .@$&=;,#%^()\u00a0-\ud7ff\ue000-\U0010ffff]+")

_MAX_NAME_BYTES = 255


def read_identifier(value: str | None) -> str:
    """Check a session identifier.

    Raises:
        ApiError: it is missing or breaks the rule.
    """
    if not value:
        raise invalid("The `identifier` query parameter is required.", "identifier")
    if _IDENTIFIER.fullmatch(value) is None:
        raise invalid("The `identifier` must be 4 to 128 characters of the documented set.", "identifier")
    return value


def read_folder(path: str | None) -> tuple[str, ...]:
    """Read the `path` parameter: relative to `/mnt/data`, or absolute below it.

    Raises:
        ApiError: a part of it can't be a folder's name.
    """
    path = path or ""
    if path == DATA or path.startswith(f"{DATA}/"):
        path = path[len(DATA) :]
    parts = tuple(part for part in path.split("/") if part)
    for part in parts:
        if "." in part or not _fits(part):
            reason = "path cannot contain any reserved file path characters"
            raise ApiError(400, "FilePathInvalid", f"File Path '{path}' is invalid because '{reason}'.")
    return parts


def read_existing_folder(path: str) -> tuple[str, ...]:
    """Read the path of a folder to look into: relative to `/mnt/data`, any names that folders can have.

    Raises:
        ApiError: a part of it can't be one.
    """
    return tuple(read_existing_name(part) for part in path.split("/") if part)


def read_upload_name(filename: str) -> tuple[tuple[str, ...], str]:
    """Read an upload's file name; older clients put the folder in front. Gives the folder and the name.

    Raises:
        ApiError: the name has a character outside the documented set.
    """
    folder: tuple[str, ...] = ()
    name = filename
    if name.startswith(f"{DATA}/"):
        before, _, name = name.rpartition("/")
        folder = read_folder(before)
    if name in (".", "..") or _FILE_NAME.fullmatch(name) is None or not _fits(name):
        raise invalid_name(filename)
    return folder, name


def read_existing_name(name: str) -> str:
    """Check the name of a file to look up: any single name that a file can have.

    Raises:
        ApiError: it can't be one.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise invalid_name(name)
    return name


def invalid_name(name: str) -> ApiError:
    """Refuse a file name."""
    return ApiError(400, "FileNameInvalid", f"File name '{name}' is invalid.")


def _fits(name: str) -> bool:
    return "\0" not in name and len(name.encode("utf-8", "surrogateescape")) <= _MAX_NAME_BYTES
