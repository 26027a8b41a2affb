"""The messages between the pool and one Node.js process, as bytes.

A frame is one type byte, the payload's length as four bytes (big-endian), and the payload. No I/O happens here. What
the process sends is hostile input: user code shares the process and can write to the pipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

RUN = b"R"
LOADED = ord("L")
STDOUT = ord("O")
STDERR = ord("E")
DISPLAY = ord("D")
VALUE = ord("V")
EXIT = ord("X")

_KNOWN = frozenset({LOADED, STDOUT, STDERR, DISPLAY, VALUE, EXIT})
_HEADER_BYTES = 5

MAX_PARTS = 500_000
"""Objects with more keys and items than about this are refused unread: reading them would take seconds."""

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Longer frames are refused before their payload is kept."""


class FrameError(Exception):
    """The process sent what is not a frame of this protocol."""


def encode_run(run_id: int, code: str) -> bytes:
    """Word the request to run `code`."""
    payload = json.dumps({"id": run_id, "code": code}).encode("ascii")
    return RUN + len(payload).to_bytes(4, "big") + payload


def decode_object(payload: bytes) -> dict[str, Any]:
    """Read a frame's payload as a JSON object."""
    if _parts(payload) > MAX_PARTS and _parts(_outside_strings(payload)) > MAX_PARTS:
        raise FrameError("a payload has too many parts")
    try:
        message = _DECODER.decode(payload.decode())
    except (ValueError, RecursionError) as error:
        raise FrameError("a payload is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("a payload is not a JSON object")
    return message


def _parts(payload: bytes) -> int:
    return payload.count(b",") + payload.count(b"[") + payload.count(b"{")


def _outside_strings(payload: bytes) -> bytes:
    """Leave out the strings: a table as text or the path of an SVG may have millions of commas."""
    if b"\\" in payload:
        payload = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    if payload.count(b'"') > 4 * MAX_PARTS:
        raise FrameError("a payload has too many strings")
    return b"".join(payload.split(b'"')[::2])


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise FrameError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_parse_int)


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take the next bytes and give the frames that they complete."""
        pending = self._pending
        pending += data
        start = 0
        try:
            while len(pending) - start >= _HEADER_BYTES:
                kind = pending[start]
                size = int.from_bytes(pending[start + 1 : start + _HEADER_BYTES], "big")
                if kind not in _KNOWN or size > MAX_FRAME_BYTES:
                    raise FrameError("not a frame")
                end = start + _HEADER_BYTES + size
                if len(pending) < end:
                    break
                payload = bytes(pending[start + _HEADER_BYTES : end])
                start = end
                yield kind, payload
        finally:
            # One deletion for all frames: a deletion for each would move the rest every time.
            del pending[:start]
