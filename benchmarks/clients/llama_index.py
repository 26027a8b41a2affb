"""`llama-index-tools-azure-code-interpreter`'s `AzureCodeInterpreterToolSpec`."""

from __future__ import annotations

from llama_index.tools.azure_code_interpreter import AzureCodeInterpreterToolSpec

from .blocking import BlockingConversation
from .conversation import Pool

PACKAGES = ("llama-index-tools-azure-code-interpreter",)


class Conversation(BlockingConversation):
    """Its tool specification."""

    def __init__(self, pool: Pool) -> None:
        self._tool = AzureCodeInterpreterToolSpec(pool_management_endpoint=pool.endpoint)
        # It takes no credential.
        self._tool.access_token_provider = lambda: pool.token

    def run(self, code: str) -> object:
        """Run code."""
        return self._tool.code_interpreter(code)

    def list_names(self) -> list[str]:
        """List the session's files."""
        return [each.filename for each in self._tool.list_files()]

    def download(self, name: str, path: str) -> object:
        """Save one file."""
        return self._tool.download_file_to_local(name, path)

    def upload_one(self, path: str) -> object:
        """Upload one file."""
        return self._tool.upload_file(local_file_path=path)
