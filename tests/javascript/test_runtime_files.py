"""What a run did below /mnt/data comes with its envelope."""

from __future__ import annotations

import hashlib
import time

from tests.javascript.kernels import Result, Session


def names(result: Result, kind: str) -> list[str]:
    return sorted(entry if isinstance(entry, str) else entry[0] for entry in result.files[kind])


def test_created_changed_deleted(session: Session) -> None:
    (session.data / "there.txt").write_text("before")
    result = session.run(
        "fs.mkdirSync('a/b', {recursive: true}); fs.writeFileSync('a/b/c.txt', 'hello'); fs.writeFileSync('ü😀.txt', '')"
    )
    assert names(result, "created") == ["a/b/c.txt", "ü😀.txt"]
    path, size, changed, digest = min(result.files["created"])
    stat = (session.data / "a/b/c.txt").stat()
    assert (path, size, digest) == ("a/b/c.txt", 5, hashlib.sha256(b"hello").hexdigest())
    assert abs(changed - stat.st_mtime_ns / 1e6) < 0.01
    result = session.run("fs.appendFileSync('there.txt', '!'); fs.rmSync('a', {recursive: true})")
    assert (names(result, "changed"), names(result, "deleted"), names(result, "created")) == (
        ["there.txt"],
        ["a/b/c.txt"],
        [],
    )
    result = session.run("fs.readFileSync('there.txt'); fs.writeFileSync('x', '1'); fs.rmSync('x')")
    assert result.files == {"created": [], "changed": [], "deleted": [], "more": 0}


def test_what_the_client_put_there_is_not_the_runs(session: Session) -> None:
    session.run("1")
    (session.data / "up.txt").write_text("uploaded")
    (session.data / "up2.txt").write_text("uploaded")
    session.seen = ["up.txt", "up2.txt", "gone.txt"]
    result = session.run("fs.writeFileSync('up2.txt', 'changed')")
    assert (names(result, "created"), names(result, "changed")) == ([], ["up2.txt"])


def test_links_and_hidden_folders_are_left_alone(session: Session) -> None:
    result = session.run(
        """
fs.symlinkSync('/etc/passwd', 'link'); fs.symlinkSync('/etc', 'folder'); fs.symlinkSync('.', 'round');
for (const d of ['node_modules/x', '.cache', 'a/node_modules']) { fs.mkdirSync(d, {recursive: true}); fs.writeFileSync(d + '/f', '') }
fs.writeFileSync('.env', ''); require('child_process').execSync('mkfifo pipe');
"""
    )
    assert result.error == {}
    assert names(result, "created") == [".env"]


def test_many_files(session: Session) -> None:
    result = session.run(
        "for (let i = 0; i < 10000; i++) { if (i % 100 == 0) fs.mkdirSync('d' + i); fs.writeFileSync(`d${i - i % 100}/${i}`, '') }"
    )
    assert len(result.files["created"]) == 1000
    assert result.files["more"] == 9000
    result = session.run("1")
    assert result.files == {"created": [], "changed": [], "deleted": [], "more": 0}
    assert result.ms < 2000
    assert session.run("fs.writeFileSync('d0/0', 'x')").files["changed"][0][0] == "d0/0"


def test_names_that_are_not_utf8(session: Session) -> None:
    result = session.run(
        "fs.writeFileSync(Buffer.from([0x2f, 0x6d, 0x6e, 0x74, 0x2f, 0x64, 0x61, 0x74, 0x61, 0x2f, 0xff]), 'x'); fs.writeFileSync('ok', '')"
    )
    assert names(result, "created") == ["ok"]
    assert len(result.warnings) == 1


def test_large_files_have_no_hash(session: Session) -> None:
    result = session.run("fs.writeFileSync('big', Buffer.alloc(1 << 21))")
    assert result.files["created"][0][1:4:2] == [1 << 21, None]


def test_files_that_are_still_written(session: Session) -> None:
    code = "require('child_process').spawn('sh', ['-c', 'while true; do echo x >> grows; done'], {detached: true, stdio: 'ignore'}).unref()"
    result = session.run(code + "; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)")
    created = result.files["created"]
    assert [entry[0] for entry in created] == ["grows"]
    time.sleep(0.1)
    assert names(session.run("require('child_process').execSync('pkill -f grows || true')"), "changed") == ["grows"]
