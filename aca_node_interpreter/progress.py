"""How far a transfer of many files is, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[], object]]]
"""Takes what is done, in a word, and the number of files; is entered before the first and gives what follows each."""

# Fewer are over before anybody has read it.
_MANY = 3


@contextmanager
def no_progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """Show nothing."""
    yield bool


@contextmanager
def show_progress(what: str, total: int) -> Iterator[Callable[[], object]]:
    """Show a bar for more than a few files, where rich is installed, as it is with the extra `local`."""
    bar = _bar() if total >= _MANY else None
    if bar is None:
        yield bool
        return
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _bar() -> Bar | None:
    """Return a bar if it can be shown where the program prints."""
    try:
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    bar = Bar(transient=True)
    return bar if bar.console.is_terminal or bar.console.is_jupyter else None
