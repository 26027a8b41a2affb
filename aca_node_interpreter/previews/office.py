"""Office documents: a workbook's sheets and their sizes, how many slides or paragraphs there are.

Their XML is searched and not parsed: what is looked for are a few tags, and entities are never expanded.
"""

from __future__ import annotations

import html
import posixpath
import re
from itertools import islice

from .archives import Zip
from .wording import counted, label, listed

_SHEETS = 8
_TAGS = 500
_DIMENSION_BYTES = 4 * 1024
# Of all sheets that don't tell their size.
_SHEET_BYTES = 2 * 1024 * 1024
_WIDTH_WITHIN = 64 * 1024

_SHEET = re.compile(rb"<(?:\w{1,9}:)?sheet\s([^<>]{0,1000})>")
_RELATION = re.compile(rb"<(?:\w{1,9}:)?Relationship\s([^<>]{0,2000})>")
_DIMENSION = re.compile(
    rb"<(?:\w{1,9}:)?dimension\s[^<>]{0,50}?ref=\"([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})\""
)
_ROW = re.compile(rb"<(?:\w{1,9}:)?row[\s>/]")
_CELL = re.compile(rb'<(?:\w{1,9}:)?c\s[^<>]{0,50}?r="([A-Z]{1,3})')
_PARAGRAPH = re.compile(rb"<w:p[\s>]")
_SLIDE = re.compile(r"ppt/slides/slide[0-9]{1,5}\.xml")


def office(archive: Zip) -> str:
    """Return what an Office document has; empty for any other archive."""
    if "xl/workbook.xml" in archive.members:
        return _workbook(archive)
    if "ppt/presentation.xml" in archive.members:
        return counted(sum(1 for name in archive.members if _SLIDE.fullmatch(name)), "slide")
    if "word/document.xml" in archive.members:
        body = archive.read("word/document.xml")
        return counted(len(_PARAGRAPH.findall(body)), "paragraph", is_whole=b"</w:document>" in body[-100:])
    return ""


def _workbook(archive: Zip) -> str:
    relations = _tags(_RELATION, archive.read("xl/_rels/workbook.xml.rels"))
    # A target is relative to the workbook, or begins with a slash.
    targets = {each.get("Id", ""): posixpath.join("/xl", each.get("Target", ""))[1:] for each in relations}
    sheets = _tags(_SHEET, archive.read("xl/workbook.xml"))
    if not sheets:
        return ""
    most = _SHEET_BYTES // len(sheets[:_SHEETS])
    said = [
        f"{label(each.get('name', ''))} {_size(archive, targets.get(each.get('id', ''), ''), most)}".rstrip()
        for each in sheets[:_SHEETS]
    ]
    return f"{counted(len(sheets), 'sheet')} (rows×columns): {listed(said, total=len(sheets), most=_SHEETS)}"


def _size(archive: Zip, name: str, most: int) -> str:
    """Return a sheet's size, as it says itself or else counted."""
    if found := _DIMENSION.search(archive.read(name, _DIMENSION_BYTES)):
        left, top, right, bottom = found.groups()
        return f"{int(bottom) - int(top) + 1}×{_column(right) - _column(left) + 1}"
    sheet = archive.read(name, most)
    if not sheet:
        return ""
    rows = len(_ROW.findall(sheet))
    columns = max(map(_column, set(_CELL.findall(sheet[:_WIDTH_WITHIN]))), default=0)
    more = "" if b"</" in sheet[-30:] and b"worksheet>" in sheet[-30:] else "≥"
    return f"{more}{rows}×{columns}"


def _column(letters: bytes) -> int:
    """Return the number of a column: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def _tags(tag: re.Pattern[bytes], xml: bytes) -> list[dict[str, str]]:
    return [_attributes(match[1]) for match in islice(tag.finditer(xml), _TAGS)]


def _attributes(words: bytes) -> dict[str, str]:
    """Return a tag's attributes, by name without namespace."""
    found = re.findall(r'\b(\w{1,40})\s?=\s?"([^"<]{0,1000})"', words.decode("utf-8", "replace"))
    return {name: html.unescape(value) for name, value in found}
