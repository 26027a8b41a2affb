"""`azure-dynamic-sessions-code-interpreter`'s `CodeInterpreterTool`."""

from __future__ import annotations

from azure_dynamic_sessions_code_interpreter import CodeInterpreterTool

from .blocking import BlockingConversation
from .conversation import Pool

PACKAGES = ("azure-dynamic-sessions-code-interpreter",)


class Conversation(BlockingConversation):
    """Its tool."""

    def __init__(self, pool: Pool) -> None:
        self._tool = CodeInterpreterTool(pool_management_endpoint=pool.endpoint)
        # It takes no credential.
        self._tool.access_token_provider = lambda: pool.token

    def run(self, code: str) -> object:
        """Run code."""
        return self._tool.execute(code)

    def list_names(self) -> list[str]:
        """List the session's files."""
        return [each.filename for each in self._tool.list_files()]

    def download(self, name: str, path: str) -> object:
        """Save one file."""
        return self._tool.download_file(remote_file_path=name, local_file_path=path)

    def upload_one(self, path: str) -> object:
        """Upload one file."""
        return self._tool.upload_file(local_file_path=path)
