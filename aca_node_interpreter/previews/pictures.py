"""Pictures: format and size in pixels, from the bytes of the header; a picture is never decoded."""

from __future__ import annotations

import re
from collections.abc import Callable

from .source import Source

_JPEG_SEGMENTS = 500
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_ICONS = 64

_SVG_BYTES = 64 * 1024
_SVG_TAG = re.compile(rb"<svg\b([^<>]{0,8000})>")
_SVG_SIZE = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,9})?)\s*(px|pt|mm|cm|in|em)?\s*")

Size = tuple[int, int]


def picture(source: Source) -> str:
    """Return the format and size of a picture whose first bytes tell it; empty for anything else."""
    for kind, begins, size in _FORMATS:
        if source.head.startswith(begins):
            found = size(source.head)
            if found is not None and min(found) > 0:
                return f"{kind} {found[0]}×{found[1]}"
    return ""


def drawing(source: Source) -> str:
    """Return the size of an SVG, from its first tag."""
    tag = _SVG_TAG.search(source.head[:_SVG_BYTES])
    if tag is None:
        return ""
    words = tag[1].decode("utf-8", "replace")
    sizes = [_SVG_SIZE.fullmatch(_attribute(words, name)) for name in ("width", "height")]
    if sizes[0] and sizes[1]:
        return "SVG " + "×".join(f"{float(size[1]):g}{(size[2] or '').replace('px', '')}" for size in sizes if size)
    box = re.split(r"[\s,]+", _attribute(words, "viewBox").strip())
    if len(box) == 4 and all(_SVG_SIZE.fullmatch(each) for each in box[2:]):
        return f"SVG {float(box[2]):g}×{float(box[3]):g}"
    return "SVG"


def _attribute(words: str, name: str) -> str:
    found = re.search(rf"""(?:^|\s){name}\s{{0,9}}=\s{{0,9}}(?:"([^"]{{0,100}})"|'([^']{{0,100}})')""", words)
    return (found[1] or found[2] or "") if found else ""


def _int(data: bytes, at: int, size: int, order: str = "little", *, signed: bool = False) -> int:
    """Return a number in a header; zero where that ends before it."""
    part = data[at : at + size]
    if len(part) < size:
        return 0
    return int.from_bytes(part, "little" if order == "little" else "big", signed=signed)


def _png(head: bytes) -> Size | None:
    return (_int(head, 16, 4, "big"), _int(head, 20, 4, "big")) if head[12:16] == b"IHDR" else None


def _gif(head: bytes) -> Size | None:
    return _int(head, 6, 2), _int(head, 8, 2)


def _bmp(head: bytes) -> Size | None:
    header = _int(head, 14, 4)
    if header not in _BMP_HEADERS:
        return None
    if header == 12:
        return _int(head, 18, 2), _int(head, 20, 2)
    # A negative height says that the rows go down.
    return _int(head, 18, 4, signed=True), abs(_int(head, 22, 4, signed=True))


def _webp(head: bytes) -> Size | None:
    kind = head[8:16]
    if kind == b"WEBPVP8X":
        return _int(head, 24, 3) + 1, _int(head, 27, 3) + 1
    if kind == b"WEBPVP8L" and head[20:21] == b"\x2f":
        bits = _int(head, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"WEBPVP8 " and head[23:26] == b"\x9d\x01\x2a":
        return _int(head, 26, 2) & 0x3FFF, _int(head, 28, 2) & 0x3FFF
    return None


def _jpeg(head: bytes) -> Size | None:
    at = 2
    for _ in range(_JPEG_SEGMENTS):
        if head[at : at + 1] != b"\xff":
            return None
        marker = _int(head, at + 1, 1)
        if marker in _JPEG_FRAMES:
            return _int(head, at + 7, 2, "big"), _int(head, at + 5, 2, "big")
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _JPEG_ALONE:
            at += 2
        else:
            at += 2 + max(2, _int(head, at + 2, 2, "big"))
    return None


def _ico(head: bytes) -> Size | None:
    count = _int(head, 4, 2)
    if not 0 < count <= _ICONS or len(head) < 6 + 16 * count:
        return None
    # Zero stands for 256.
    return max((head[6 + 16 * i] or 256, head[7 + 16 * i] or 256) for i in range(count))


_FORMATS: tuple[tuple[str, bytes, Callable[[bytes], Size | None]], ...] = (
    ("PNG", b"\x89PNG\r\n\x1a\n", _png),
    ("JPEG", b"\xff\xd8\xff", _jpeg),
    ("GIF", b"GIF87a", _gif),
    ("GIF", b"GIF89a", _gif),
    ("WebP", b"RIFF", _webp),
    ("BMP", b"BM", _bmp),
    ("ICO", b"\0\0\x01\0", _ico),
)
