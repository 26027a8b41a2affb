"""A download that may break and go on: no byte is written twice, and what comes again must be what had come before."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from aca_node_interpreter.errors import MalformedResponseError

from .local_files import Sink

_CHANGED = "The file changed while it was fetched: fetch it again."


class Transfer:
    """One file on its way, in as many attempts as it takes.

    Where the service names the file's version (`ETag`), another attempt asks for the rest only (RFC 9110, section 14),
    from the last byte on that had come: where only the end was lost, a rest of no bytes would be refused. Where it
    names none, or sends all of it again, what had come before is compared and left out.
    """

    def __init__(self, sink: Sink) -> None:
        self.size = 0
        """Bytes that were written."""
        self._sink = sink
        self._sum = 0
        self._last = b""
        self._version = ""
        self._repeated = 0
        self._expected_sum = 0
        self._repeated_sum = 0

    @property
    def headers(self) -> dict[str, str]:
        """What to ask with. Compressed, a part could not be told from the whole."""
        plain = {"Accept-Encoding": "identity"}
        if not self.size or not self._version:
            return plain
        return {**plain, "Range": f"bytes={self.size - 1}-", "If-Range": self._version}

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of the answer that comes.

        Raises:
            MalformedResponseError: it is not the part that was asked for.
        """
        is_rest = status == 206
        if is_rest and not headers.get("content-range", "").startswith(f"bytes {self.size - 1}-"):
            raise MalformedResponseError("The session pool sent another part of the file than it was asked for.")
        self._repeated, self._expected_sum = (1, crc32(self._last)) if is_rest else (self.size, self._sum)
        self._repeated_sum = 0
        version = headers.get("etag", "")
        self._version = "" if version.startswith("W/") or headers.get("content-encoding") else version

    def write(self, chunk: bytes) -> None:
        """Take bytes as they come.

        Raises:
            MalformedResponseError: the file is not what it was in the attempt before.
        """
        if self._repeated:
            known, chunk = chunk[: self._repeated], chunk[self._repeated :]
            self._repeated -= len(known)
            self._repeated_sum = crc32(known, self._repeated_sum)
            if not self._repeated and self._repeated_sum != self._expected_sum:
                raise MalformedResponseError(_CHANGED)
        if chunk:
            self._sink.write(chunk)
            self._sum, self._last = crc32(chunk, self._sum), chunk[-1:]
            self.size += len(chunk)

    def end(self) -> None:
        """Take note that all has come.

        Raises:
            MalformedResponseError: it is less than had come before.
        """
        if self._repeated:
            raise MalformedResponseError(_CHANGED)
