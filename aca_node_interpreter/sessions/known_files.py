"""What is known of a session's files, and which of them somebody is still to get. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aca_node_interpreter.javascript.envelope import Manifest
from aca_node_interpreter.rest.models import RemoteFile

from .collecting import Version, may_be_artifact, version, versions


@dataclass
class KnownFiles:
    """The files below `/mnt/data`, as far as they are known from here."""

    there: dict[str, Version] | None = None
    """What is there, by path; `None` while nobody has looked."""
    owed: dict[str, RemoteFile] = field(default_factory=dict, init=False)
    """Files that a run made and of which nobody has a result yet, by path."""
    hashes: dict[str, str] = field(default_factory=dict, init=False)
    """Their sha256 by path, where the session told it."""
    _brought: set[str] = field(default_factory=set, init=False)
    """Those of them that came, until somebody has the result with them."""

    def add(self, files: Iterable[RemoteFile]) -> None:
        """Note files that are there."""
        if self.there is not None:
            self.there |= versions(files)

    def changes(self, listed: Iterable[RemoteFile]) -> Manifest:
        """Tell which of the files of a listing are new, or otherwise than they were."""
        there = self.there or {}
        return Manifest(tuple(f for f in listed if may_be_artifact(f) and there.get(f.path) != version(f)))

    def owe(self, manifest: Manifest) -> None:
        """Note the files that a run made."""
        for path in manifest.deleted:
            self.owed.pop(path, None)
            if self.there is not None:
                self.there.pop(path, None)
        for file in filter(may_be_artifact, manifest.changed):
            self.owed[file.path] = file
            self.hashes.pop(file.path, None)
        self.hashes |= manifest.hashes

    def miss(self, listed: Mapping[str, Version], *, is_whole: bool) -> set[str]:
        """Forget the files that are not in a listing any more, and return their paths.

        `is_whole` tells whether it names what lies in directories, too.
        """
        there = self.there or {}
        gone = {path for path in {*there, *self.owed} - listed.keys() if is_whole or "/" not in path}
        self.there = {path: known for path, known in there.items() if path not in gone}
        self.owed = {path: file for path, file in self.owed.items() if path not in gone}
        return gone & there.keys()

    def bring(self, missing: set[str]) -> None:
        """Note that what is owed came, but for some paths, and waits for somebody to get it."""
        self._brought = self.owed.keys() - missing
        self.add(self.owed.values())

    def drop(self) -> None:
        """Note that nobody gets what came last: it stays owed."""
        self._brought.clear()

    def deliver(self) -> None:
        """Note that somebody got what came."""
        self.owed = {path: file for path, file in self.owed.items() if path not in self._brought}
        self.hashes = {path: sha256 for path, sha256 in self.hashes.items() if path in self.owed}
        self._brought.clear()
