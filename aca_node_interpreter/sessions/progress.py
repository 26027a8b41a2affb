"""How far a transfer of files is, in a terminal or a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from io import BytesIO
from types import TracebackType
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from aca_node_interpreter.rest.local_files import Sink
from aca_node_interpreter.rest.operations import Upload

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Count: TypeAlias = Callable[[int], object]
"""Takes the number of bytes that went; a negative one for those that go once more."""
Progress: TypeAlias = Callable[[str, Sequence[int]], AbstractContextManager[Count]]
"""Takes what is done, in a word, and the files' sizes in bytes; is entered before the first byte."""

# What is less is over before anybody has read it.
_MANY_FILES = 3
_MANY_BYTES = 5 * 1024 * 1024


@contextmanager
def no_progress(what: str, sizes: Sequence[int]) -> Iterator[Count]:
    """Show nothing."""
    yield int


@contextmanager
def show_progress(what: str, sizes: Sequence[int]) -> Iterator[Count]:
    """Show a bar for more than a few files or bytes, where the program prints to a terminal or a notebook."""
    bar = _bar() if len(sizes) >= _MANY_FILES or sum(sizes) >= _MANY_BYTES else None
    if bar is None:
        yield int
        return
    with bar:
        task = bar.add_task(what if len(sizes) == 1 else f"{what} {len(sizes)} files", total=sum(sizes))
        yield lambda count: bar.advance(task, count)


class Counted:
    """Where a download goes, with a count of what comes."""

    def __init__(self, to: AbstractContextManager[Sink], count: Count) -> None:
        self._to = to
        self._count = count

    def __enter__(self) -> Sink:
        self._sink = self._to.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._to.__exit__(kind, error, trace)

    def write(self, chunk: bytes) -> int:
        """Pass bytes on."""
        self._count(len(chunk))
        return self._sink.write(chunk)


@contextmanager
def counted(source: AbstractContextManager[Upload], count: Count) -> Iterator[Upload]:
    """Open what is to be sent, with a count of what goes."""
    with source as upload:
        content = BytesIO(upload.content) if isinstance(upload.content, bytes) else upload.content
        # It has all that is used of a file.
        yield replace(upload, content=cast("IO[bytes]", _CountedFile(content, count)))


class _CountedFile:
    def __init__(self, file: IO[bytes], count: Count) -> None:
        self._file = file
        self._count = count
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._read += len(chunk)
        self._count(len(chunk))
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        # It is sent once more.
        self._count(-self._read)
        self._read = 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _bar() -> Bar | None:
    """Return a bar if it can be shown where the program prints."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    bar = Bar(*columns, transient=True)
    return bar if bar.console.is_terminal or bar.console.is_jupyter else None
