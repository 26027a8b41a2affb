"""Files over HTTP: names, folders, shapes, limits, and what a session plants against the host."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from aca_node_interpreter.local import answers
from tests.local.remote import CURRENT, LEGACY, NEWEST, Remote

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")


@pytest.mark.parametrize(
    "name",
    ["a.txt", "with space.csv", "päß.txt", "😀.png", "👩‍🚀", "a@$&=;,#%^().b", "%41", "...", ".hidden", "x" * 255],
)
def test_a_file_makes_the_round_trip_under_its_name(remote: Remote, name: str) -> None:
    answer = remote.upload(name, b"content")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == name
    assert remote.names() == [name]
    place = f"/files/{quote(name, safe='')}"
    assert remote.call("GET", f"{place}/content", version=NEWEST).content == b"content"
    assert remote.call("GET", place, version=NEWEST).json()["sizeInBytes"] == 7
    assert remote.call("DELETE", place, version=NEWEST).status_code == 204
    assert remote.names() == []


@pytest.mark.parametrize(
    "name", ["a/b", "/etc/passwd", "..", ".", "a\\b", "a|b", "a:b", "a*", "a'b", "a+b", "", "x" * 256, "😀" * 64]
)
def test_a_name_outside_the_documented_set_is_refused(remote: Remote, name: str) -> None:
    answer = remote.upload(name, b"")
    assert answer.status_code == 400
    assert remote.names() == []


@pytest.mark.parametrize("name", ['quo"te', "it's", "a:b", "a+b", "line\nbreak", "\t", "-rf", "*"])
def test_a_name_that_only_code_can_make_is_downloaded_and_deleted(remote: Remote, name: str) -> None:
    remote.value(
        f"fs.writeFileSync('/mnt/data/' + decodeURIComponent('{quote(name, safe='')}'.replace(\"'\", '%27')), 'x')"
    )
    assert remote.names() == [name]
    place = f"/files/{quote(name, safe='')}"
    assert remote.call("GET", f"{place}/content", version=NEWEST).content == b"x"
    assert remote.call("DELETE", place, version=NEWEST).status_code == 204


@pytest.mark.parametrize("name", ["%2e%2e", "%2E", "..%2f..%2fetc%2fpasswd", "a%2fb", "%00", "a%00b"])
def test_a_name_that_leads_elsewhere_is_refused(remote: Remote, name: str) -> None:
    for path in (f"/files/{name}/content", f"/files/{name}", f"/files/content/{name}"):
        answer = remote.http.build_request("GET", path, params={"identifier": remote.identifier})
        answer.url = answer.url.copy_with(
            raw_path=f"{path}?identifier={remote.identifier}&api-version={NEWEST}".encode()
        )
        assert remote.http.send(answer).status_code == 400, path


def test_names_that_are_not_utf8_do_not_break_the_list(remote: Remote) -> None:
    remote.value("fs.writeFileSync(Buffer.from('/mnt/data/\\xff.txt', 'latin1'), '')")
    assert remote.names() == ["\ufffd.txt"]


def test_folders_are_created_by_uploads_and_listed_apart(remote: Remote) -> None:
    assert remote.upload("x.txt", b"1", params={"path": "a/b"}).json()["directory"] == "a/b"
    remote.upload("y.txt", b"2", params={"path": "/mnt/data/a"})
    remote.upload("/mnt/data/z.txt", b"3")
    remote.upload("/mnt/data/c/w.txt", b"4")
    assert remote.names() == ["a", "c", "z.txt"]
    assert remote.names(path="") == remote.names(path="/") == remote.names(path="/mnt/data") == ["a", "c", "z.txt"]
    assert remote.names(path="a") == ["b", "y.txt"]
    answer = remote.call("GET", "/files", version=NEWEST, params={"recursive": "true"})
    assert [(entry["directory"], entry["name"], entry["type"]) for entry in answer.json()["value"]] == [
        (".", "a", "directory"),
        ("a", "b", "directory"),
        ("a/b", "x.txt", "file"),
        ("a", "y.txt", "file"),
        (".", "c", "directory"),
        ("c", "w.txt", "file"),
        (".", "z.txt", "file"),
    ]
    assert remote.call("GET", "/files/x.txt/content", version=NEWEST, params={"path": "a/b"}).content == b"1"
    assert remote.call("GET", "/files/x.txt/content", version=NEWEST).status_code == 404
    assert remote.value("fs.readFileSync('/mnt/data/a/b/x.txt', 'utf8')") == "'1'"


@pytest.mark.parametrize("path", ["..", "a/../..", ".ade/bin", "/mnt/data/../..", "a.b", "\0"])
def test_a_folder_with_a_dot_is_refused(remote: Remote, path: str) -> None:
    for answer in (
        remote.upload("x", b"", params={"path": path}),
        remote.call("GET", "/files", version=NEWEST, params={"path": path}),
        remote.call("GET", "/files/x/content", version=NEWEST, params={"path": path}),
    ):
        assert answer.status_code == 400
        assert answer.headers["x-ms-error-code"] == answer.json()["error"]["code"] == "FilePathInvalid"


def test_a_missing_file_is_not_found(remote: Remote) -> None:
    for method, path in [
        ("GET", "/files/no"),
        ("GET", "/files/no/content"),
        ("GET", "/files/content/no"),
        ("DELETE", "/files/no"),
    ]:
        assert remote.call(method, path, version=NEWEST).status_code == 404
    assert remote.call("GET", "/files", version=NEWEST, params={"path": "no"}).status_code == 404


def test_the_shapes_of_both_families(remote: Remote) -> None:
    legacy = remote.call("POST", "/files/upload", version=LEGACY, files={"file": ("a.txt", b"1234567")}).json()
    stamp = legacy["value"][0]["properties"]["lastModifiedTime"]
    assert STAMP.fullmatch(stamp)
    entry = {"$id": "3", "filename": "a.txt", "size": 7, "lastModifiedTime": stamp}
    assert legacy == {"$id": "1", "value": [{"$id": "2", "properties": entry}]}
    assert remote.call("GET", "/files").json() == legacy
    one = {"name": "a.txt", "sizeInBytes": 7, "lastModifiedAt": stamp}
    kind = {"type": "file", "contentType": "text/plain; charset=utf-8"}
    assert remote.call("GET", "/files/a.txt", version=CURRENT).json() == {"$id": "1", **one}
    assert remote.call("GET", "/files/a.txt", version=NEWEST).json() == {"$id": "1", **one, **kind, "directory": "."}
    assert remote.call("GET", "/files", version=CURRENT).json() == {"$id": "1", "value": [{"$id": "2", **one, **kind}]}
    uploaded = remote.call("POST", "/files", version=CURRENT, files={"file": ("a.txt", b"")}).json()
    assert (uploaded["type"], uploaded["contentType"], uploaded["sizeInBytes"]) == ("", "", 0)


def test_a_large_file_is_streamed_both_ways(remote: Remote, tmp_path: Path) -> None:
    size = 100 * 1024 * 1024
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        file.truncate(size)
        file.write(b"end")
    with source.open("rb") as file:
        assert remote.call("POST", "/files", version=NEWEST, files={"file": ("large.bin", file)}).status_code == 200
    digest = hashlib.sha256()
    params = {"identifier": remote.identifier, "api-version": NEWEST}
    with remote.http.stream("GET", "/files/large.bin/content", params=params) as answer:
        assert answer.headers["content-length"] == str(size)
        for chunk in answer.iter_bytes():
            digest.update(chunk)
    assert digest.hexdigest() == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_file_over_the_limit_is_refused_when_announced(remote: Remote) -> None:
    answer = remote.upload("big", bytes(129 * 1024 * 1024))
    assert answer.status_code == 413
    assert remote.names() == []


def test_a_file_over_the_limit_is_refused_while_it_comes(remote: Remote) -> None:
    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
        for _ in range(129):
            yield bytes(1024 * 1024)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = remote.call("POST", "/files", version=NEWEST, content=body(), headers=headers)
    assert answer.status_code == 413
    assert remote.names() == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data"}, b""),
        ({"content-type": "multipart/form-data; boundary=x"}, b"nothing"),
        (
            {"content-type": "multipart/form-data; boundary=x"},
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
        ),
    ],
)
def test_a_form_without_a_file_is_refused(remote: Remote, headers: dict[str, str], body: bytes) -> None:
    answer = remote.call("POST", "/files", version=NEWEST, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "SessionRequestValidationFailed"


def test_an_upload_replaces_a_file_but_no_directory(remote: Remote) -> None:
    remote.upload("a", b"old")
    assert remote.upload("a", b"new").status_code == 200
    assert remote.value("fs.readFileSync('/mnt/data/a', 'utf8')") == "'new'"
    remote.value("fs.mkdirSync('/mnt/data/d')")
    assert remote.upload("d", b"").status_code == 400
    assert remote.upload("x", b"", params={"path": "a"}).status_code == 400


def test_planted_links_and_devices_lead_nowhere(remote: Remote, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    remote.value(f"""
        fs.symlinkSync('{canary}', '/mnt/data/leaf');
        fs.symlinkSync('{tmp_path}', '/mnt/data/parent');
        fs.symlinkSync('/', '/mnt/data/root');
        child_process.execSync('mkfifo fifo', {{cwd: '/mnt/data'}}); 1""")
    assert remote.names() == []
    for name in ("leaf", "fifo", "parent"):
        assert remote.call("GET", f"/files/{name}/content", version=NEWEST).status_code == 404
        assert remote.call("GET", f"/files/{name}", version=NEWEST).status_code == 404
    for folder in ("parent", f"root{tmp_path}"):
        assert remote.call("GET", "/files/canary/content", version=NEWEST, params={"path": folder}).status_code in (
            400,
            404,
        )
        assert remote.call("GET", "/files", version=NEWEST, params={"path": folder}).status_code in (400, 404)
        assert remote.call("DELETE", "/files/canary", version=NEWEST, params={"path": folder}).status_code in (400, 404)
        assert remote.upload("new", b"", params={"path": folder}).status_code == 400
    # An upload replaces a link, it does not write through it.
    assert remote.upload("leaf", b"mine").status_code == 200
    assert canary.read_text() == "secret"
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


def test_folders_without_end_cost_the_pool_nothing(remote: Remote) -> None:
    remote.value("for (var i = 0; i < 1500; i++) { fs.mkdirSync('d'); process.chdir('d') }; process.chdir('/mnt/data')")
    answer = remote.call("GET", "/files", version=NEWEST, params={"recursive": "true"})
    assert answer.status_code == 200
    assert len(answer.json()["value"]) == 65


def test_a_listing_is_worded_beside_the_loop_and_entry_by_entry(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of thousands of files would otherwise keep everybody else waiting for seconds."""
    encoded: list[tuple[str, Any]] = []
    encode = answers._encode

    def watch(body: Any) -> str:
        encoded.append((threading.current_thread().name, body))
        return encode(body)

    remote.value("for (let i = 0; i < 20; i++) fs.writeFileSync(`/mnt/data/${i}`, '')")
    monkeypatch.setattr(answers, "_encode", watch)
    assert len(remote.names()) == 20
    assert len(encoded) == 21
    assert "aca-node-pool" not in {thread for thread, _ in encoded}
    assert all(len(body.get("value", ())) == 0 for _, body in encoded)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("name=file; filename=\"=?utf-8?B?w6QgYi50eHQ=?=\"; filename*=utf-8''%C3%A4%20b.txt", "ä b.txt"),
        ("name=\"file\"; filename*=UTF-8'en'%C3%A4.txt; filename=plain.txt", "ä.txt"),
        ("name=\"file\"; filename*=utf-8''50%2525.txt", "50%25.txt"),
        ('name="file"; filename="a; filename*=b.txt"', None),
        ("name=\"file\"; filename*=utf-8''a%22%0D%0Ab", None),
        ("name=\"file\"; filename*=utf-8''..%2Fx", None),
    ],
)
def test_names_in_the_extended_form(remote: Remote, parameters: str, name: str | None) -> None:
    """.NET sends both forms for each name, and in the plain one what only mail programs read."""
    body = f"--b\r\nContent-Disposition: form-data; {parameters}\r\n\r\ncontent\r\n--b--\r\n".encode()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = remote.call("POST", "/files", version=NEWEST, content=body, headers=headers)
    if name is None:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "FileNameInvalid")
    else:
        assert answer.json()["name"] == name
