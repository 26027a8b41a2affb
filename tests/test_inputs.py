"""What is put into a session: files, bytes, tables, directories; and what a model may name and is told."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import ConfigurationError, InvalidFileNameError, NotFoundError, UploadError
from aca_node_interpreter.sessions.inputs import AllowedPaths


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


@pytest.fixture
def executor(pool: LocalPool, tmp_path: Path) -> Iterator[NodeSessionsCodeExecutor]:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path / "out") as made:
        yield made


class Frame:
    """What pandas gives, as far as it matters."""

    columns = ("a", "b")

    def to_csv(self, *, index: bool) -> str:
        assert not index
        return "a,b\n1,x\n"


class GroupedFrame(Frame):
    """What pandas gives after grouping: rows with names."""

    class index:  # noqa: N801  # as pandas calls it
        names = ("region",)

    def to_csv(self, *, index: bool) -> str:
        assert index
        return "region,a\nnorth,1\n"


class PolarsFrame:
    """What polars gives."""

    columns = ("a",)

    def write_csv(self) -> str:
        return "a\n1\n"


@pytest.mark.parametrize(
    ("source", "name", "path", "content"),
    [
        (b"bytes", "b.txt", "b.txt", "bytes"),
        (io.BytesIO(b"stream"), "s.txt", "s.txt", "stream"),
        (Frame(), None, "data.csv", "a,b\n1,x\n"),
        (Frame(), "sales.csv", "sales.csv", "a,b\n1,x\n"),
        (GroupedFrame(), None, "data.csv", "region,a\nnorth,1\n"),
        (PolarsFrame(), None, "data.csv", "a\n1\n"),
    ],
)
def test_kinds_of_sources(
    executor: NodeSessionsCodeExecutor, source: Any, name: str | None, path: str, content: str
) -> None:
    [sent] = executor.upload(source, name=name)
    assert (sent.path, sent.size) == (path, len(content))
    run = executor.execute(f"fs.readFileSync('/mnt/data/{path}', 'utf8')")
    assert (run.value, run.artifacts) == (content, ())


async def test_a_directory_keeps_its_shape(executor: NodeSessionsCodeExecutor, tmp_path: Path) -> None:
    top = tmp_path / "in"
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt", ".hidden", ".git/config", "node_modules/x/index.js"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (top / "link").symlink_to(tmp_path / "secret")
    (top / "folder").symlink_to(tmp_path)
    sent = await executor.aupload(top)
    assert [each.path for each in sent] == ["a.txt", "sub/b.txt", "sub/deep/c.txt"]
    assert [each.path for each in await executor.aupload(str(top), path="more/of")] == [
        f"more/of/{each.path}" for each in sent
    ]
    run = await executor.aexecute("fs.readFileSync('/mnt/data/more/of/sub/deep/c.txt', 'utf8')")
    assert (run.value, run.artifacts) == ("sub/deep/c.txt", ())


def test_a_directory_that_can_not_be_read_is_an_error(
    executor: NodeSessionsCodeExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    errors: dict[str, OSError] = {"sub": PermissionError(13, "Permission denied")}
    scan = os.scandir

    def scanned(path: str) -> Any:
        if Path(path).name in errors:
            raise errors[Path(path).name]
        return scan(path)

    monkeypatch.setattr(os, "scandir", scanned)
    with pytest.raises(PermissionError):
        executor.upload(tmp_path / "in")
    # It was there when the directory above was read.
    errors["sub"] = FileNotFoundError(2, "No such file or directory")
    assert [each.path for each in executor.upload(tmp_path / "in")] == ["a.txt"]


def test_previews_of_a_directory_take_a_moment_only(
    executor: NodeSessionsCodeExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aca_node_interpreter.sessions.inputs._PREVIEWS_SECONDS", 0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a,b\n1,2\n")
    executor.upload(tmp_path / "in")
    assert executor.describe_files().endswith("- a.csv (8 bytes)")


def test_many_go_side_by_side_and_some_may_fail(executor: NodeSessionsCodeExecutor, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(20):
        (tmp_path / "in" / f"{number}.txt").write_text(str(number))
    assert len(executor.upload(tmp_path / "in")) == 20
    (tmp_path / "in" / "a\\b").write_text("no such name there")
    with pytest.raises(UploadError, match="1 of 21 files could not be uploaded"):
        executor.upload(tmp_path / "in")
    with pytest.raises(InvalidFileNameError):
        executor.upload(b"x", name="../x")


@pytest.mark.parametrize("source", [1, None, object(), ["a"], {"a": 1}])
def test_what_can_not_be_uploaded(executor: NodeSessionsCodeExecutor, source: Any) -> None:
    with pytest.raises(ConfigurationError, match="can't be uploaded"):
        executor.upload(source)
    with pytest.raises(ConfigurationError, match="name"):
        executor.upload(b"bytes")


async def test_files_are_listed_described_and_brought(executor: NodeSessionsCodeExecutor, tmp_path: Path) -> None:
    assert executor.list_files() == []
    assert executor.describe_files() == "There are no files in /mnt/data."
    executor.upload(b"name,score\nada,3\n", name="scores.csv")
    await executor.aexecute("fs.mkdirSync('d'); fs.writeFileSync('d/made.txt', 'made'); fs.mkdirSync('node_modules')")
    assert [each.path for each in await executor.alist_files()] == ["d/made.txt", "scores.csv"]
    assert (await executor.adescribe_files()).splitlines() == [
        "Files in /mnt/data:",
        "- d/made.txt (4 bytes)",
        "- scores.csv (17 bytes, 1 row: name text, score integer)",
    ]
    artifact = executor.download("/mnt/data/scores.csv")
    assert (artifact.read_bytes(), artifact.preview) == (b"name,score\nada,3\n", "1 row: name text, score integer")
    assert artifact.path.parent == tmp_path / "out"
    assert (await executor.adownload("d/made.txt")).read_bytes() == b"made"
    with pytest.raises(NotFoundError):
        executor.download("none.txt")
    executor.upload(b"", name="base.csv")
    with pytest.raises(NotFoundError):
        executor.download("/mnt/database.csv")
    assert executor.list_files(thread_id="other") == []


def test_only_what_is_allowed_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    for name in ("data/a.csv", "data/sub/b.csv", "data/.env", "data/sub/.git", "alone.txt", "secret.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "data" / "circle").symlink_to("circle")
    (tmp_path / "data" / "shown").symlink_to(".env")
    allowed = AllowedPaths([tmp_path / "data", tmp_path / "alone.txt"])
    for named, found in {
        "a.csv": "data/a.csv",
        "sub/b.csv": "data/sub/b.csv",
        "sub/../a.csv": "data/a.csv",
        str(tmp_path / "data" / "a.csv"): "data/a.csv",
        "alone.txt": "alone.txt",
    }.items():
        assert allowed.resolved(named) == (tmp_path / found).resolve()
    outside = ("../secret.txt", str(tmp_path / "secret.txt"), "link", "/etc/passwd", "sub/../../secret.txt")
    hidden = (".env", "sub/.git", "shown", str(tmp_path / "data" / ".env"))
    nothing = ("none", "circle", "a\0b", "\ud800", "x" * 5_000, "/\0")
    for named in (*outside, *hidden, *nothing):
        with pytest.raises(ConfigurationError, match="no file"):
            allowed.resolved(named)
    assert AllowedPaths([tmp_path / "data" / ".env"]).resolved(".env").read_text() == "x"
    assert not AllowedPaths([])
    with pytest.raises(ConfigurationError):
        AllowedPaths([]).resolved("/etc/passwd")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_in_a_terminal(
    pool: LocalPool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1" if is_terminal else "")
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("x")
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, show_progress=True) as executor:
        executor.upload(tmp_path)
        assert ("Uploading" in capsys.readouterr().out) == is_terminal
        executor.execute("for (const n of 'abcde') fs.writeFileSync(n, n)")
        printed = capsys.readouterr().out
        assert ("Downloading" in printed) == is_terminal
        assert is_terminal or not printed
        # One file is worth it when it is large.
        for size, is_large in ((10, False), (6 << 20, True)):
            executor.upload(bytes(size), name="one.bin")
            printed = capsys.readouterr().out
            assert ("Uploading" in printed) == (is_terminal and is_large)
            assert ("6.3/6.3 MB" in printed) == (is_terminal and is_large)
