"""What a file holds, in a few words: columns, shape, size in pixels, so that a model need not open it to know.

Files come from code nobody trusts. So everything is bounded (bytes read, bytes unpacked, time, characters), nothing is
executed or expanded, no name reaches a reader unprintable, and a preview that fails is none.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from aca_node_interpreter.artifacts import media_type

from . import databases
from .archives import Zip, tar_entries, zip_entries
from .databases import database
from .documents import lines, markdown, page, pdf
from .office import office
from .pictures import drawing, picture
from .shapes import document, records
from .source import Source
from .tables import DELIMITERS, table
from .wording import clipped

__all__ = ["preview"]

_log = logging.getLogger("aca_node_interpreter")

_BY_SUFFIX: dict[str, Callable[[Source], str]] = {
    **dict.fromkeys(DELIMITERS, table),
    **dict.fromkeys((".json", ".geojson", ".ipynb", ".map", ".webmanifest"), document),
    **dict.fromkeys((".ndjson", ".jsonl"), records),
    **dict.fromkeys((".html", ".htm", ".xhtml"), page),
    **dict.fromkeys((".md", ".markdown", ".mdx"), markdown),
    ".svg": drawing,
}

# Source code and settings, some of which have another media type, or one for video.
_TEXTS = frozenset(
    {
        *(".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".py", ".sh", ".sql"),
        *(".yaml", ".yml", ".toml", ".xml", ".graphql", ".tex", ".log", ".ini", ".env"),
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def preview(path: Path, name: str) -> str:
    """Return what a file holds, in at most 200 characters; empty where that is not known or not worth a word.

    Args:
        path: the file.
        name: what it is called where it comes from; its suffix decides where the content does not.
    """
    try:
        source = Source.of(path, name) if path.is_file() else None
        return clipped(_said(source)) if source is not None and source.size else ""
    except Exception:  # whatever a hostile file brings about
        _log.debug("no preview of %s", path, exc_info=True)
        return ""


def _said(source: Source) -> str:
    head = source.head
    if said := picture(source):
        return said
    if head.startswith(b"%PDF-"):
        return pdf(source)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        archive = Zip.of(source)
        return "" if archive is None else office(archive) or zip_entries(archive)
    if head.startswith(databases.MAGIC):
        return database(source)
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return tar_entries(source)
    words = _BY_SUFFIX.get(source.suffix)
    if words is None:
        words = lines if source.suffix in _TEXTS or media_type(source.name).startswith("text/") else _text
    return words(source) if source.encoding else ""


def _text(source: Source) -> str:
    """Return how many lines a file has that is not called a text, but is one."""
    is_text = source.encoding != "cp1252" and not _CONTROL.search(source.text[:4_096])
    return f"text, {lines(source)}" if is_text else ""
