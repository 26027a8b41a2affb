"""What the three peers share that call the service by `requests`, one call at a time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import requests

from .conversation import BareCall, Pool


class BlockingConversation:
    """Files as an agent's programmer would have them brought and uploaded, with the client's own calls."""

    def run(self, code: str) -> object:
        """Run code."""
        raise NotImplementedError

    def list_names(self) -> Iterable[str]:
        """List the session's files."""
        raise NotImplementedError

    def download(self, name: str, path: str) -> object:
        """Save one file."""
        raise NotImplementedError

    def upload_one(self, path: str) -> object:
        """Upload one file."""
        raise NotImplementedError

    def bring(self, code: str, names: list[str], directory: Path) -> None:
        """Run, list, and download what is new."""
        self.run(code)
        there = set(self.list_names())
        for name in names:
            assert name in there
            self.download(name, str(directory / name))

    def upload(self, files: list[Path]) -> None:
        """Upload one by one."""
        for each in files:
            self.upload_one(str(each))

    def end(self) -> None:
        """Do nothing: of these only LangChain's has a call that ends a session."""

    @staticmethod
    def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of their transport."""
        session = requests.Session()
        session.headers.update(pool.headers)
        url, body = pool.url("bare", legacy=True), pool.body(code, legacy=True)

        def call() -> None:
            response = session.post(url, json=body, timeout=60)
            response.raise_for_status()
            response.json()

        return call
