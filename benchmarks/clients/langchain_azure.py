"""`langchain-azure-dynamic-sessions`' `SessionsPythonREPLTool`."""

from __future__ import annotations

from langchain_azure_dynamic_sessions import SessionsPythonREPLTool

from .blocking import BlockingConversation
from .conversation import Pool

PACKAGES = ("langchain-azure-dynamic-sessions",)


class Conversation(BlockingConversation):
    """Its tool, which an agent invokes."""

    def __init__(self, pool: Pool) -> None:
        self._tool = SessionsPythonREPLTool(
            pool_management_endpoint=pool.endpoint, access_token_provider=lambda: pool.token
        )

    def run(self, code: str) -> object:
        """Invoke the tool."""
        return self._tool.invoke(code)

    def list_names(self) -> list[str]:
        """List the session's files."""
        return [each.filename for each in self._tool.list_files()]

    def download(self, name: str, path: str) -> object:
        """Save one file."""
        return self._tool.download_file(remote_file_path=name, local_file_path=path)

    def upload_one(self, path: str) -> object:
        """Upload one file."""
        return self._tool.upload_file(local_file_path=path)

    def end(self) -> None:
        """Delete the session; it does so in a thread."""
        self._tool.close()
