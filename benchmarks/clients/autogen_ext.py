"""`autogen-ext`'s `ACADynamicSessionsCodeExecutor`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import aiohttp
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.azure import ACADynamicSessionsCodeExecutor
from azure.core.credentials import AccessToken

from .conversation import BareCall, Pool

PACKAGES = ("autogen-ext[azure]", "aiohttp")


class _Credential:
    """One that has its token already."""

    def __init__(self, token: str) -> None:
        self._token = AccessToken(token, 4_000_000_000)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return it."""
        return self._token


class Conversation:
    """Its executor; it has no call that ends a session."""

    def __init__(self, pool: Pool) -> None:
        self._executor = ACADynamicSessionsCodeExecutor(pool.endpoint, credential=_Credential(pool.token))

    async def run(self, code: str) -> Any:
        """Run code; the executor only knows blocks of Python."""
        result = await self._executor.execute_code_blocks([CodeBlock(code, "python")], CancellationToken())
        assert result.exit_code == 0, result.output
        return result

    async def bring(self, code: str, names: list[str], directory: Path) -> Any:
        """Run, then download; the download lists first."""
        await self.run(code)
        brought = await self._executor.download_files(list(names), CancellationToken())
        assert len(brought) == len(names)
        return brought

    async def upload(self, files: list[Path]) -> None:
        """Upload from its working directory."""
        for each in files:
            shutil.copy(each, self._executor.work_dir)
        await self._executor.upload_files([each.name for each in files], CancellationToken())

    async def end(self) -> None:
        """Remove its directory."""
        await self._executor.stop()

    @staticmethod
    async def bare(pool: Pool, code: str) -> BareCall:
        """Return a call on a kept connection of its transport."""
        session = aiohttp.ClientSession(headers=pool.headers)
        url, body = pool.url("bare", legacy=True), pool.body(code, legacy=True)

        async def call() -> None:
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                await response.json()

        return call
