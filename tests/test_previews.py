"""What a preview tells of each kind of file."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from aca_node_interpreter.previews import preview

Previewed = Callable[[str, bytes], str]


@pytest.fixture
def previewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Previewed:
    """Preview a file with a name and content, on a machine that is fast enough to count all of its lines."""
    monkeypatch.setattr("aca_node_interpreter.previews.source._COUNT_SECONDS", 60)

    def look(name: str, content: bytes) -> str:
        path = tmp_path / "file"
        path.write_bytes(content)
        return preview(path, name)

    return look


def records(number: int) -> list[dict[str, object]]:
    return [
        {"id": i, "name": "x", "tags": [1, 2, 3], "owner": {"id": i, "mail": ""}, **({"note": ""} if i % 2 else {})}
        for i in range(number)
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("n,square\n1,1\n2,4\n3,9", "3 rows: n integer, square integer"),
        ("n,square\r\n1,1.5\r\n2,-4e3\r\n", "2 rows: n integer, square number"),
        ("1,1\n2,4\n3,9", "3 rows, no header: integer × 2"),
        ("ada,1\nbob,2\n", "2 rows, no header: text, integer"),
        ("city,country\nBerlin,DE\n", "1 row: city text, country text"),
        ("a,a\n1,2\n", "2 rows, no header: text × 2"),
        ("name,city\n", "0 rows: name, city"),
        ("word\nto\nbe\n", "2 rows: word text"),
        ("when,ok,zip\n2026-01-02,true,01234\n2026-01-02T10:00:00Z,FALSE,1", "2 rows: when date, ok boolean, zip text"),
        ("when\n31.12.2026\n1.1.2027\n", "2 rows: when date"),
        ("a;b\n1,5;x\n2;y\n", "2 rows: a number, b text"),
        ("a|b\n1|2\n", "1 row: a integer, b integer"),
        ("a\tb,c\n1\t2\n", '1 row: a integer, "b,c" integer'),
        ("a,b\n,1\nNaN,2\n,\n", "3 rows: a, b integer"),
        ('a,b\n"x\ny",1\n"z ""q""",2\n', "2 rows: a text, b integer"),
        ('size,n\n5",1\n6",2\n', "2 rows: size text, n integer"),
        ("a,b\n1,2\n1,2,3\n1\n", "3 rows of 1 to 3 columns: a integer, b integer"),
        ("\n\n", ""),
        ("PK,name\n1,ada\n", "1 row: PK integer, name text"),
        ("BMI,age\n21.5,33\n", "1 row: BMI number, age integer"),
    ],
)
def test_a_table_has_rows_and_typed_columns(content: str, said: str, previewed: Previewed) -> None:
    assert previewed("a.csv", content.encode()) == said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_table_may_have_any_encoding_that_spreadsheets_write(encoding: str, previewed: Previewed) -> None:
    assert previewed("a.csv", "größe,n\nä,1\nö,2\n".encode(encoding)) == "2 rows: größe text, n integer"


def test_columns_of_a_tsv_are_separated_by_tabs(previewed: Previewed) -> None:
    assert previewed("a.TSV", b"a,b\tc\n1,2\t3\n1,2\t3\n") == '2 rows: "a,b" number, c integer'


def test_of_many_columns_the_first_are_named(previewed: Previewed) -> None:
    wide = ",".join(f"c{i}" for i in range(40)) + "\n" + ",".join("1" * 40)
    said = previewed("a.csv", wide.encode())
    assert said.startswith("1 row: c0 integer, c1 integer")
    assert said.endswith(", … 28 more")
    assert previewed("a.csv", ",".join("1" * 40).encode()) == "1 row, no header: integer × 30, 40 columns"


def test_rows_of_a_long_table_are_counted_beyond_what_is_parsed(previewed: Previewed) -> None:
    assert previewed("a.csv", b"id,v\n" + b"1,2.5\n" * 300_000) == "300,000 rows: id integer, v number"
    quoted = b"id,v\n" + b'1,"a ""b"" \n c"\n' * 120_000
    assert previewed("a.csv", quoted) == "120,000 rows: id integer, v text"
    assert previewed("a.csv", "id,v\n1,2\n".encode("utf-16") + "1,ਊ\n".encode("utf-16-le") * 300_000).startswith(
        "300,001"
    )


def test_rows_that_take_long_to_count_are_at_least_some(previewed: Previewed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aca_node_interpreter.previews.source._COUNT_SECONDS", -1)
    # One chunk more than the head, of which all is counted.
    assert previewed("a.csv", b"id,v\n" + b"1,2.5\n" * 400_000) == "at least 218,452 rows: id integer, v number"
    assert previewed("a.csv", b"id,v\n" + b"1,2.5\n" * 100_000) == "100,000 rows: id integer, v number"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (records(120), "{id, name, tags[3], owner{id, mail}, note?} × 120"),
        (records(30)[1] | {"name": "x" * 80}, "{id, name, tags[3], owner{id, mail}, note}"),
        (
            {"meta": {"a": {"b": 1}}, "rows": records(100)},
            "{meta{a{…}}, rows[100]{id, name, tags[3], owner{…}, note?}}",
        ),
        ([[1, 2, 3]] * 100, "[number × 3] × 100"),
        ([[1, 2], ["a"]] * 100, "[mixed × 1 to 2] × 200"),
        (["text", None] * 50, "text × 100"),
        ([1, "a", True] * 50, "mixed × 150"),
        ([[]] * 100, "[] × 100"),
        ([None] * 100, "null × 100"),
        ("x" * 100, "text"),
        ({"n": 3, "mean": 4.25}, '{"n": 3, "mean": 4.25}'),
        ([], "[]"),
        ({"": 1, "a,b": 2, "c": "x" * 80}, '{"", "a,b", c}'),
    ],
)
def test_json_has_a_shape_or_is_shown(value: object, said: str, previewed: Previewed) -> None:
    assert previewed("a.json", json.dumps(value).encode()) == said


def test_json_that_is_none_is_said_to_be_none(previewed: Previewed) -> None:
    assert previewed("a.json", b'{"a": 1,\n "b": }') == "not valid JSON, 2 lines"
    assert previewed("a.jsonl", b'{"a": 1}\nwhat?\n') == "not valid NDJSON, 2 lines"


def test_of_large_json_the_beginning_is_told(previewed: Previewed) -> None:
    rows = [{"id": i, "v": "x" * 200} for i in range(10_000)]
    assert previewed("a.json", json.dumps(rows).encode()) == "{id, v} × at least 4,707"
    said = previewed("a.json", json.dumps({"meta": {"n": 1}, "rows": rows, "more": 1}).encode())
    assert said == "{meta{n}, rows[at least 4,706]{id, v}, …}"


def test_lines_of_json_have_a_shape(previewed: Previewed) -> None:
    lines = "\n".join(json.dumps(record) for record in records(20_000))
    assert previewed("a.ndjson", lines.encode()) == "{id, name, tags[3], owner{id, mail}, note?} × 20,000"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L4sLL", 13, b"IHDR", width, height) + b"\x08\x06\0\0\0"


JPEG = (
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xff\xc2\0\x11\x08"
    + struct.pack(">HH", 480, 640)
    + b"\3"
    + b"\0" * 9
)
BMP = b"BM" + b"\0" * 12 + struct.pack("<Lll", 40, 640, -480)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(640, 480), "PNG 640×480"),
        (png(100_000, 100_000), "PNG 100000×100000"),
        (png(0, 0), ""),
        (JPEG, "JPEG 640×480"),
        (JPEG[:15], ""),
        (JPEG.replace(b"\xff\xff\xc2", b"\xff\xd0\xff\xc2"), "JPEG 640×480"),
        (JPEG.replace(b"\xff\xff\xc2", b"what?"), ""),
        (b"\0\0\1\0\0\0", ""),
        (b"BM" + b"\0" * 12 + struct.pack("<LHH", 12, 640, 480), "BMP 640×480"),
        (b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0\0\0", "GIF 640×480"),
        (BMP, "BMP 640×480"),
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x7f\2\0" + b"\xdf\1\0", "WebP 640×480"),
        (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<L", 639 | 479 << 14), "WebP 640×480"),
        (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\1\x2a" + struct.pack("<HH", 640, 480), "WebP 640×480"),
        (b"RIFF\0\0\0\0WAVEfmt ", ""),
        (b"\0\0\1\0\2\0" + b"\x20\x20" + b"\0" * 14 + b"\0\0" + b"\0" * 14, "ICO 256×256"),
    ],
)
def test_a_picture_has_a_format_and_a_size_in_pixels(content: bytes, said: str, previewed: Previewed) -> None:
    assert previewed("picture", content) == said


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480.5px">', "SVG 640×480.5"),
        ("<?xml version='1.0'?>\n<!DOCTYPE svg>\n<svg viewBox='0 0 640 480'>", "SVG 640×480"),
        ('<svg width="100%" height="100%" viewBox="0,0,64,48">', "SVG 64×48"),
        ('<svg width="460.8pt" height="345.6pt">', "SVG 460.8pt×345.6pt"),
        ("<svg>", "SVG"),
        ("<html>", ""),
    ],
)
def test_a_drawing_has_the_size_that_its_first_tag_says(tag: str, said: str, previewed: Previewed) -> None:
    assert previewed("a.svg", f"{tag}<rect/></svg>".encode()) == said


def test_a_page_has_a_title(previewed: Previewed) -> None:
    assert previewed("a.html", b"<!doctype html><TITLE>\n Sales &amp;\n more </TITLE>") == 'title "Sales & more"'
    assert previewed("a.html", b"<p>\n</p>\n<p>And some words that make it longer</p>") == "3 lines"


def test_text_has_lines_and_the_shortest_is_shown(previewed: Previewed) -> None:
    assert previewed("a.txt", b"Hello, world!\n") == '"Hello, world!"'
    assert previewed("a.txt", b"a\nb") == "2 lines"
    assert previewed("a.md", b"---\n---\n# Results of *May*\n\nGood.\n") == '5 lines, "Results of *May*"'
    assert previewed("a.ts", b"let a\nlet b\n") == "2 lines"
    assert previewed("a", b"a\nb") == "text, 2 lines"
    assert previewed("a.txt", b"line\n" * 400_000) == "400,000 lines"


NOTHING = [
    *(b"", b"\1\2\3", b"a\0b", b"a" * 2_000 + b"\0", b"\xff\xfa\xfbabc", b"PAR1" + b"\0" * 20),
    *(b"PK\3\4nothing", b"PK\5\6", b"SQLite format 3\0" + b"\0" * 2_000, b"\x1f\x8bnothing"),
]


@pytest.mark.parametrize("content", NOTHING)
def test_of_what_is_unknown_nothing_is_said(content: bytes, previewed: Previewed) -> None:
    assert previewed("a.bin", content) == ""


def test_what_is_no_file_has_no_preview(tmp_path: Path) -> None:
    assert preview(tmp_path, "a.csv") == ""
    assert preview(tmp_path / "gone.csv", "gone.csv") == ""


PDF_PAGES = b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 12 >>"


def test_a_pdf_has_pages(previewed: Previewed) -> None:
    plain = b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n2 0 obj\n" + PDF_PAGES + b"\nendobj\n"
    assert previewed("a.pdf", plain) == "12 pages"
    assert previewed("a.pdf", plain.replace(PDF_PAGES, b"") + b"%" * 3_000_000 + PDF_PAGES) == "12 pages"
    packed = zlib.compress(b"1 0 2 20 <</Type/Catalog>> " + PDF_PAGES)
    stream = b"<< /Type /ObjStm /N 2 /First 9 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (
        len(packed),
        packed,
    )
    assert previewed("a.pdf", b"%PDF-1.7\n5 0 obj\n" + stream) == "12 pages"
    assert previewed("a.pdf", b"%PDF-1.7\n<< /Type /ObjStm >>\nstream\nencrypted") == ""


def zipped(files: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writing:
        for name, content in files.items():
            writing.writestr(name, content)
    return archive.getvalue()


def test_a_zip_has_entries(previewed: Previewed) -> None:
    assert previewed("a.zip", zipped({"a.txt": "", "b/c, d.txt": "x"})) == 'zip, 2 entries: a.txt, "b/c, d.txt"'
    said = previewed("a.zip", zipped({f"{i}.txt": "" for i in range(20_000)}))
    assert said == "zip, 20,000 entries: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, … 19,994 more"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_has_entries(mode: Literal["w", "w:gz"], kind: int, previewed: Previewed) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode, format=kind) as writing:
        for name in ("./a.txt", "dir/b.txt"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.pax_headers = 1_000, {"comment": "a PAX header"}
            writing.addfile(entry, io.BytesIO(b"x" * 1_000))
    kind_said = "tar.gz" if mode == "w:gz" else "tar"
    assert previewed("a.bin", archive.getvalue()) == f"{kind_said}, 2 entries: a.txt, dir/b.txt"


def test_an_archive_that_is_cut_off_has_at_least_its_first_entries(previewed: Previewed) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writing:
        writing.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    assert previewed("a.tar", archive.getvalue()[:512]) == "tar, at least 1 entry: a.txt"


SHEETS = """<workbook xmlns:r="r"><sheets><sheet name="Sales &amp; more" sheetId="1" r:id="rId1"/>
<sheet name="Notes" sheetId="2" r:id="rId2"/></sheets></workbook>"""
RELATIONS = """<Relationships><Relationship Id="rId1" Type="t" Target="worksheets/sheet1.xml"/>
<Relationship Id="rId2" Type="t" Target="/xl/worksheets/sheet2.xml"/></Relationships>"""


def test_a_workbook_has_sheets(previewed: Previewed) -> None:
    workbook = {
        "xl/workbook.xml": SHEETS,
        "xl/_rels/workbook.xml.rels": RELATIONS,
        "xl/worksheets/sheet1.xml": '<worksheet><dimension ref="A1:AA120"/><sheetData/></worksheet>',
        "xl/worksheets/sheet2.xml": '<worksheet><row r="1"><c r="A1"/><c r="C1"/></row><row/></worksheet>',
    }
    said = "2 sheets (rows×columns): Sales & more 120×27, Notes 2×3"
    assert previewed("a.xlsx", zipped(workbook)) == said


def test_slides_and_paragraphs_are_counted(previewed: Previewed) -> None:
    slides = {f"ppt/slides/slide{i}.xml": "" for i in range(1, 13)}
    assert previewed("a.pptx", zipped({"ppt/presentation.xml": "", **slides})) == "12 slides"
    assert previewed("a.docx", zipped({"word/document.xml": "<w:p/><w:p ><w:p></w:document>"})) == "2 paragraphs"


def test_an_archive_whose_directory_is_elsewhere_has_no_preview(previewed: Previewed) -> None:
    huge = b"PK\5\6" + b"\0" * 4 + b"\xff\xff" * 2 + b"\xff" * 8 + b"\0\0"
    assert previewed("a.zip", b"PK\3\4" + huge) == ""


def test_an_empty_zip_has_no_entries(previewed: Previewed) -> None:
    assert previewed("a.zip", zipped({})) == "zip, 0 entries"


def test_a_workbook_that_is_broken_has_what_can_be_read(previewed: Previewed) -> None:
    assert previewed("a.xlsx", zipped({"xl/workbook.xml": "<workbook/>"})) == "zip, 1 entry: xl/workbook.xml"
    assert previewed("a.xlsx", zipped({"xl/workbook.xml": SHEETS})) == "2 sheets (rows×columns): Sales & more, Notes"
    stored = zipped({"xl/workbook.xml": SHEETS}).replace(b"PK\3\4", b"PK\0\0", 1)
    assert previewed("a.xlsx", b"PK\3\4" + stored) == "zip, 1 entry: xl/workbook.xml"


@pytest.mark.parametrize("tables", [0, 3, 300])
def test_a_database_has_tables(tables: int, previewed: Previewed, tmp_path: Path) -> None:
    path = tmp_path / "made.db"
    connection = sqlite3.connect(path)
    connection.execute("create view v as select 1")
    for i in range(tables):
        connection.execute(f"create table t{i} (id integer primary key autoincrement, name text unique)")
    connection.commit()
    connection.close()
    said = {0: "SQLite, 0 tables", 3: "SQLite, 3 tables: t0, t1, t2"}
    assert previewed("a.db", path.read_bytes()) == said.get(
        tables, "SQLite, 300 tables: t0, t1, t2, t3, t4, t5, t6, t7, … 292 more"
    )
