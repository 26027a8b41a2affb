"""Documents and text: a page's title, a PDF's pages, a text's lines."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator

from .source import HEAD_BYTES, Source
from .wording import clipped, counted

_TITLE_CHARS = 60
_TITLE_WITHIN = 64 * 1024
_TITLE = re.compile(r"<title(?:\s[^<>]{0,200})?>([^<]{1,1000})</title", re.IGNORECASE)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]{1,9}(\S[^\r\n]{0,200})", re.MULTILINE)
_LINE_CHARS = 40

_PDF_TAIL_BYTES = 512 * 1024
_PDF_STREAMS, _PDF_UNPACKED_BYTES = 50, 2 * 1024 * 1024
_PDF_DICTIONARY_BYTES = 16 * 1024
_PAGES = re.compile(rb"/Type\s{0,4}/Pages\b")
_PAGES_MOST = 100
_COUNT = re.compile(rb"/Count\s{1,4}([0-9]{1,6})\b")
_OBJECT_STREAM = re.compile(rb"/Type\s{0,4}/ObjStm\b")
_STREAM = re.compile(rb"stream\r?\n")


def page(source: Source) -> str:
    """Return an HTML page's title, or its lines."""
    title = _TITLE.search(source.text[:_TITLE_WITHIN])
    said = clipped(html.unescape(title[1]), _TITLE_CHARS) if title else ""
    return f'title "{said}"' if said else lines(source)


def markdown(source: Source) -> str:
    """Return a Markdown text's lines and first heading."""
    heading = _HEADING.search(source.text[:_TITLE_WITHIN])
    return lines(source) + (f', "{clipped(heading[1], _TITLE_CHARS)}"' if heading else "")


def lines(source: Source) -> str:
    """Return how many lines a text has; a single short one itself."""
    count, is_whole = source.count_lines()
    only = source.text.strip()
    if count == 1 and only and len(only) <= _LINE_CHARS:
        return f'"{clipped(only)}"'
    return counted(count, "line", is_whole=is_whole)


def pdf(source: Source) -> str:
    """Return how many pages a PDF says that it has; empty where that is not found."""
    tail_at = max(HEAD_BYTES, source.size - _PDF_TAIL_BYTES)
    plain = [source.head, source.read(tail_at, _PDF_TAIL_BYTES)]
    pages = max((_pages(part) for part in (*plain, *_unpacked(plain))), default=0)
    return counted(pages, "page") if pages else ""


def _pages(part: bytes) -> int:
    """Return the largest count of the page trees in some bytes: the root's is."""
    found = 0
    for number, match in enumerate(_PAGES.finditer(part)):
        if number == _PAGES_MOST:
            break
        start = max(part.rfind(b"<<", max(0, match.start() - _PDF_DICTIONARY_BYTES), match.start()), 0)
        end = part.find(b">>", match.end(), match.end() + _PDF_DICTIONARY_BYTES)
        count = _COUNT.search(part, start, end if end >= 0 else match.end() + _PDF_DICTIONARY_BYTES)
        found = max(found, int(count[1])) if count else found
    return found


def _unpacked(parts: list[bytes]) -> Iterator[bytes]:
    """Yield the object streams, in which newer PDFs keep their page tree."""
    left, streams = _PDF_UNPACKED_BYTES, 0
    for part in parts:
        for match in _OBJECT_STREAM.finditer(part):
            streams += 1
            begins = _STREAM.search(part, match.end(), match.end() + 1_000)
            if left <= 0 or streams > _PDF_STREAMS or begins is None:
                break
            try:
                unpacked = zlib.decompressobj().decompress(part[begins.end() : begins.end() + left], left)
            except zlib.error:  # encrypted, or packed in another way
                continue
            left -= len(unpacked)
            yield unpacked
