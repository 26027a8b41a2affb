"""Where a runner's artifacts are saved: a temporary directory is made for the first of them, and removed at closing."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from aca_node_interpreter.artifacts import ArtifactDirectory
from aca_node_interpreter.temporary import make_temporary_directory

from .settings import Settings


class ArtifactPlace:
    """The directory in the settings, or one that is made when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.artifacts_dir
        self._is_closed = False
        # A place that nobody closed leaves no directory behind either.
        self._remove: weakref.finalize[..., Any] | None = None
        self._state = threading.Lock()

    @property
    def is_temporary(self) -> bool:
        """Whether closing removes it."""
        return self._settings.artifacts_dir is None and not self._settings.keep_artifacts

    @property
    def is_to_be_removed(self) -> bool:
        """Whether there is something that closing removes."""
        return self._remove is not None

    @property
    def directory(self) -> ArtifactDirectory:
        """The directory, for runs to save in."""
        most = self._settings.max_artifact_bytes
        return ArtifactDirectory(self.path, max_bytes=most, is_temporary=self.is_temporary)

    def path(self) -> Path:
        """Return where it is; from now on it is there.

        Raises:
            OSError: it can't be made, or it was removed.
        """
        with self._state:
            if self._path is None:
                if self._is_closed:
                    raise FileNotFoundError(errno.ENOENT, "the executor was closed meanwhile")
                if self.is_temporary:
                    undo = ExitStack()
                    self._path = make_temporary_directory("aca-node-temporary-", undo)
                    self._remove = weakref.finalize(self, in_this_process(undo.close))
                else:
                    self._path = Path(mkdtemp(prefix="aca-node-artifacts-"))
            return self._path

    def close(self) -> None:
        """Remove it if it is temporary."""
        with self._state:
            self._is_closed = True
            if self._remove is not None:
                self._remove()


def in_this_process(clean_up: Callable[[], object]) -> Callable[[], None]:
    """Return a function that does nothing in a forked child, which would clean up what its parent still uses."""
    owner = os.getpid()

    def call() -> None:
        if os.getpid() == owner:
            clean_up()

    return call
