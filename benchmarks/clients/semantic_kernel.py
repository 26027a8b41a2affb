"""semantic-kernel's `SessionsPythonTool`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx
from semantic_kernel.core_plugins import SessionsPythonTool

from .conversation import BareCall, Pool

PACKAGES = ("semantic-kernel",)


class Conversation:
    """Its tool; it has no call that ends a session."""

    def __init__(self, pool: Pool) -> None:
        self._tool = self._made(pool)
        # After a run, its headers no longer let an upload through: uploads are another tool's, in the same session.
        self._uploading = self._made(pool)
        self._uploading.settings.session_id = self._tool.settings.session_id

    def _made(self, pool: Pool) -> SessionsPythonTool:
        return SessionsPythonTool(
            auth_callback=lambda: pool.token,
            pool_management_endpoint=pool.endpoint,
            enable_dangerous_file_uploads=True,
            allowed_upload_directories=[tempfile.gettempdir()],
        )

    async def run(self, code: str) -> Any:
        """Run code."""
        return await self._tool.execute_code(code)

    async def bring(self, code: str, names: list[str], directory: Path) -> None:
        """Run, list, and download what is new."""
        await self.run(code)
        there = {each.filename for each in await self._tool.list_files()}
        for name in names:
            assert name in there
            await self._tool.download_file(remote_file_name=name, local_file_path=str(directory / name))

    async def upload(self, files: list[Path]) -> None:
        """Upload one by one."""
        for each in files:
            await self._uploading.upload_file(local_file_path=str(each))

    async def end(self) -> None:
        """Close its connections."""
        await self._tool.http_client.aclose()
        await self._uploading.http_client.aclose()

    @staticmethod
    async def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of its transport."""
        http = httpx.AsyncClient(headers=pool.headers)
        url, body = pool.url("bare", legacy=True), pool.body(code, legacy=True)

        async def call() -> None:
            response = await http.post(url, json=body)
            response.raise_for_status()
            response.json()

        return call
