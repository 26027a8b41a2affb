"""The host's way to a session's files, which the session may have prepared against it.

Every step from the directory down refuses symbolic links, and only regular files are opened: a planted link, fifo or
device leads nowhere. Uploads are written outside the directory and moved in whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, or opening a fifo would wait for its other end.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_CHUNK_BYTES = 256 * 1024

# A session can nest folders without end; nobody's files lie this deep.
_LISTED_DEPTH = 64


@dataclass(frozen=True)
class FileEntry:
    """A file or directory of a session."""

    name: str
    directory: str
    """Relative to the session's directory: `.` at the top, else such as `a/b`."""
    is_directory: bool
    size: int
    """Bytes."""
    modified_ns: int
    """Nanoseconds since the epoch."""


class DataDirectory:
    """A session's `/mnt/data` as the host sees it. A folder is given as the tuple of its parts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, folder: tuple[str, ...] = (), *, recursive: bool = False) -> list[FileEntry]:
        """List a folder by name; recursive lists each folder before what is in it.

        Raises:
            OSError: there is no such folder.
        """
        entries: list[FileEntry] = []
        for name, entry in self._scan(folder):
            entries.append(entry)
            if recursive and entry.is_directory and len(folder) < _LISTED_DEPTH:
                with suppress(OSError):  # it was removed, or turned into something else
                    entries += self.list((*folder, name), recursive=True)
        return entries

    def stat(self, folder: tuple[str, ...], name: str) -> FileEntry:
        """Describe one file or directory.

        Raises:
            OSError: there is no such file, or it is neither.
        """
        with self._open_folder(folder) as descriptor:
            entry = _entry(descriptor, folder, name)
        if entry is None:
            raise FileNotFoundError(name)
        return entry

    def has(self, folder: tuple[str, ...], name: str) -> bool:
        """Tell whether there is a file or directory of that name."""
        try:
            self.stat(folder, name)
        except OSError:
            return False
        return True

    def open(self, folder: tuple[str, ...], name: str) -> tuple[BinaryIO, int]:
        """Open a regular file for reading; gives it and its size in bytes.

        Raises:
            OSError: there is no such file, or it is something else.
        """
        with self._open_folder(folder) as descriptor:
            file = os.fdopen(os.open(name, _FILE_FLAGS, dir_fd=descriptor), "rb")
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise FileNotFoundError(name)
        return file, status.st_size

    def delete(self, folder: tuple[str, ...], name: str) -> None:
        """Delete one file.

        Raises:
            OSError: there is no such file, or it is a directory.
        """
        with self._open_folder(folder) as descriptor:
            os.unlink(name, dir_fd=descriptor)

    def place(self, staged: Path, folder: tuple[str, ...], name: str) -> FileEntry:
        """Move a finished upload into a folder, which is created when missing; it replaces a file of that name.

        Raises:
            OSError: there is something in the way.
        """
        with self._open_folder(folder, create=True) as descriptor:
            os.rename(staged, name, dst_dir_fd=descriptor)
            entry = _entry(descriptor, folder, name)
        if entry is None:
            raise FileNotFoundError(name)
        return entry

    def shrink(self, most: int) -> None:
        """Remove the newest files until the others take at most `most` bytes; harmless when they do."""
        entries = [entry for entry in self.list(recursive=True) if not entry.is_directory]
        entries.sort(key=lambda entry: entry.modified_ns)
        size = sum(entry.size for entry in entries)
        while entries and size > most:
            newest = entries.pop()
            size -= newest.size
            folder = () if newest.directory == "." else tuple(newest.directory.split("/"))
            with suppress(OSError):
                self.delete(folder, newest.name)

    def _scan(self, folder: tuple[str, ...]) -> Iterator[tuple[str, FileEntry]]:
        """Describe what lies in one folder; it is closed again before anybody looks deeper."""
        with self._open_folder(folder) as descriptor:
            names = sorted(os.listdir(descriptor))  # noqa: PTH208 - pathlib knows no descriptors
            entries = [_entry(descriptor, folder, name) for name in names]
        return ((name, entry) for name, entry in zip(names, entries, strict=True) if entry is not None)

    @contextmanager
    def _open_folder(self, folder: tuple[str, ...], *, create: bool = False) -> Iterator[int]:
        descriptor = os.open(self._root, _DIRECTORY_FLAGS)
        try:
            for part in folder:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                below = os.open(part, _DIRECTORY_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


def chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Read and close a file, never more of it than was announced: the session may still write to it."""
    with file:
        while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
            size -= len(chunk)
            yield chunk


def _entry(descriptor: int, folder: tuple[str, ...], name: str) -> FileEntry | None:
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory and not stat.S_ISREG(status.st_mode):
        return None
    return FileEntry(
        name=_readable(name),
        directory=_readable("/".join(folder) or "."),
        is_directory=is_directory,
        # What a directory's own entry takes differs by file system; the service shows this.
        size=4096 if is_directory else status.st_size,
        modified_ns=status.st_mtime_ns,
    )


def _readable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")
