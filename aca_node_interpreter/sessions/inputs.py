"""What may be put into a session: a file, bytes, a table, an open file, or all that lies in a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.previews import preview
from aca_node_interpreter.rest.local_files import FileSource

# Of bytes that are larger, nothing is written to the disk only to say what they hold.
_PREVIEWED_BYTES = 8 * 1024 * 1024
# Seconds for the previews of a directory's files: of thousands, a description names the first few only.
_PREVIEWS_SECONDS = 1.0


@dataclass(frozen=True)
class Input:
    """One file on its way into a session."""

    name: str | None
    directory: str
    """Below `/mnt/data`; empty for its top."""
    content: FileSource = field(repr=False)
    preview: str = ""
    """What it holds, in a few words for a model."""

    @property
    def size(self) -> int:
        """Bytes, as far as that is known before it is read."""
        if isinstance(self.content, bytes):
            return len(self.content)
        try:
            return Path(self.content).stat().st_size if isinstance(self.content, (str, os.PathLike)) else 0
        except OSError:  # whoever opens it tells
            return 0

    @property
    def is_path(self) -> bool:
        """Whether it lies on this machine's disk."""
        return isinstance(self.content, (str, os.PathLike))


def inputs_of(source: Any, name: str | None, directory: str | None) -> list[Input]:
    """Return the files that something to be uploaded consists of.

    Args:
        source: a path, bytes, an open binary file, a data frame (pandas or polars), or a directory, whose files keep
            their places in it. Links and what is hidden stay where they are.
        name: what to call it there; needed for bytes, no use for a directory.
        directory: the directory below `/mnt/data`.

    Raises:
        ConfigurationError: it is nothing of the kind, or has no name.
        OSError: the directory can't be read.
    """
    where = directory or ""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            if name is not None:
                raise ConfigurationError("A directory has no `name` to be uploaded under: its files keep theirs.")
            return list(_files_in(path, where))
        return [Input(name or path.name, where, source, preview(path, name or path.name))]
    if (table := _csv_of(source)) is not None:
        name, source = name or "data.csv", table
    if isinstance(source, bytes):
        if name is None:
            raise ConfigurationError("Bytes need a `name` to be uploaded under.")
        return [Input(name, where, source, _preview_of(source, name))]
    if not hasattr(source, "read"):
        raise ConfigurationError(
            f"A {type(source).__name__} can't be uploaded: pass a path, bytes, an open binary file, a data frame or a "
            "directory."
        )
    return [Input(name, where, source)]


def _files_in(top: Path, where: str) -> Iterator[Input]:
    previews_end = time.monotonic() + _PREVIEWS_SECONDS
    for folder, folders, names in os.walk(top, onerror=_passed_on):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "node_modules")
        below = Path(folder).relative_to(top).as_posix()
        directory = "/".join(part for part in (where, "" if below == "." else below) if part)
        for each in sorted(names):
            path = Path(folder, each)
            if not each.startswith(".") and path.is_file() and not path.is_symlink():
                yield Input(each, directory, path, preview(path, each) if time.monotonic() < previews_end else "")


def _passed_on(error: OSError) -> None:
    """Raise what keeps a directory from being read, unless it is that it has gone meanwhile."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _csv_of(table: Any) -> bytes | None:
    """Return a data frame as CSV, without mere numbers of its rows; `None` where it is none."""
    if hasattr(table, "to_csv") and hasattr(table, "columns"):
        # Rows that have names, as after grouping, keep them.
        names = getattr(getattr(table, "index", None), "names", ())
        return str(table.to_csv(index=any(name is not None for name in names))).encode()
    if hasattr(table, "write_csv") and hasattr(table, "columns"):
        return str(table.write_csv()).encode()
    return None


def _preview_of(content: bytes, name: str) -> str:
    if len(content) > _PREVIEWED_BYTES:
        return ""
    with TemporaryDirectory(prefix="aca-node-") as folder:
        path = Path(folder, "upload")
        path.write_bytes(content)
        return preview(path, name)


class AllowedPaths:
    """The files on this machine that a model may name, and no others.

    Args:
        paths: files, and directories with all that lies in them but what is hidden there. Links are followed before
            anything is compared.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self._allowed = [Path(path).resolve() for path in paths]

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def resolved(self, named: str) -> Path:
        """Return the path that a model named, if it may.

        A relative path is looked for in each directory that is allowed.

        Raises:
            ConfigurationError: it is not allowed, or not there; the message says no more than the model did.
        """
        candidates = [Path(named)] if Path(named).is_absolute() else [allowed / named for allowed in self._allowed]
        candidates += [allowed for allowed in self._allowed if allowed.name == named]
        for candidate in candidates:
            try:
                path = candidate.resolve()
                if path.exists() and any(_is_in(allowed, path) for allowed in self._allowed):
                    return path
            except (OSError, RuntimeError, ValueError):  # too long, links in a circle, no characters of a path
                continue
        raise ConfigurationError(f"There is no file {named!r} that may be uploaded.")


def _is_in(allowed: Path, path: Path) -> bool:
    """Tell whether a path is an allowed one, or lies in it and is not hidden there."""
    return path.is_relative_to(allowed) and not any(part.startswith(".") for part in path.relative_to(allowed).parts)
