"""Names and links that would lead a file out of the directory for artifacts, hide it, or pass it off as another."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aca_node_interpreter.artifacts import ArtifactDirectory, IncomingArtifact
from aca_node_interpreter.local_names import folded, local_name, local_parts
from aca_node_interpreter.rest.local_files import opened_target


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


PIECES = [
    *("..", ".", "/", "//", "\\", "C:", "con", "NUL", "com¹", "lpt9", "clock$", " ", ".", "...", "-", "~", "a", "A"),
    *(
        "\u202e",
        "\u200f",
        "\u2066",
        "\u200b",
        "\u2028",
        "\x00",
        "\x1b",
        "\x9b",
        "\n",
        "\r",
        "\ud800",
        "\udcff",
        "\u3164",
    ),
    *(
        "é",
        "e\u0301",
        "ß",
        "ss",
        "İ",
        "ﬀ",
        "\u034f",
        "\ufe0f",
        "\u00a0",
        ":",
        "?",
        "*",
        "|",
        ".txt",
        ".tar.gz",
        "x" * 250,
    ),
]
DEVICES = {"con", "prn", "aux", "nul", "clock$", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
PATHS = st.lists(st.sampled_from(PIECES) | st.text(st.characters(), max_size=8), max_size=12).map("".join)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that nothing may be written to, and `tmp_path / "root"` beside it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_bytes(b"kept")
    return tmp_path / "outside"


@given(PATHS)
def test_every_part_of_a_path_is_a_name_on_every_system(path: str) -> None:
    for part in local_parts(path):
        assert part not in ("", ".", "..")
        assert part.isprintable()
        assert not set(part) & set('/\\<>:"|?*')
        assert part.split(".")[0].rstrip().lower() not in DEVICES
        assert part == part.strip(" ").rstrip(".")
        assert part[0] not in ".-"
        assert unicodedata.is_normalized("NFC", part)
        assert len(part.encode()) <= 201


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(PATHS, min_size=1, max_size=4))
def test_all_paths_stay_inside_and_none_takes_anothers_place(paths: list[str], outside: Path) -> None:
    root = outside.parent / "root"
    saved = [ArtifactDirectory(root).save(path, path.encode("utf-8", "replace")) for path in paths]
    for path, artifact in zip(paths, saved, strict=True):
        assert artifact.path.resolve().is_relative_to(root)
        assert artifact.read_bytes() == path.encode("utf-8", "replace")
    assert names_in(outside) == ["a.txt"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("COM¹.txt", "_COM¹.txt"),
        ("con .txt", "_con .txt"),
        ("a\u2028b", "a_b"),
        ("a\u00a0b", "a_b"),
        ("a\u3164", "a_"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("-rf", "_rf"),
        ("  .bashrc", "_bashrc"),
        ("x" * 199 + " .longer than a suffix is", "x" * 199),
        ("x" * 1_000_000 + ".csv", "x" * 196 + ".csv"),
    ],
)
def test_names_become_safe(name: str, safe: str) -> None:
    assert local_name(name) == safe


def test_a_path_of_a_thousand_directories_is_saved_less_deep(tmp_path: Path) -> None:
    artifact = ArtifactDirectory(tmp_path).save("a/" * 2_000 + "b.txt", b"x")
    assert artifact.path == tmp_path.joinpath(*["a"] * 250, "b.txt")
    assert artifact.name.count("/") == 2_000


@pytest.mark.parametrize("names", [("A.txt", "a.TXT"), ("é.txt", "e\u0301.txt"), ("straße", "STRASSE"), ("a?b", "a*b")])
def test_names_that_are_one_elsewhere_are_two_here(names: tuple[str, str], tmp_path: Path) -> None:
    saved = [ArtifactDirectory(tmp_path).save(name, name.encode()) for name in names]
    assert [artifact.read_bytes() for artifact in saved] == [name.encode() for name in names]
    assert len({folded(artifact.path.name) for artifact in saved}) == 2


@pytest.mark.parametrize("path", ["link/b.txt", "link/deep/b.txt", "a/link/b.txt"])
def test_a_link_to_a_directory_is_not_followed(path: str, outside: Path) -> None:
    root = outside.parent / "root"
    link = root / path[: path.index("link") + 4]
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    artifact = ArtifactDirectory(root).save(path, b"x")
    assert artifact.path == root / path.replace("link", "link-2")
    assert names_in(outside) == ["a.txt"]


def test_a_link_to_a_file_is_not_written_through(outside: Path) -> None:
    root = outside.parent / "root"
    (root / "a.txt").symlink_to(outside / "a.txt")
    (root / "b.txt").symlink_to(outside / "new.txt")
    for name in ("a.txt", "b.txt"):
        assert ArtifactDirectory(root).save(name, b"x").path == root / name.replace(".", "-2.")
    assert (names_in(outside), (outside / "a.txt").read_bytes()) == (["a.txt"], b"kept")


def test_a_link_that_takes_a_directorys_place_meanwhile_is_noticed(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = outside.parent / "root"

    def swapped(directory: Path) -> list[Path]:
        directory.rmdir()
        directory.symlink_to(outside)
        return []

    monkeypatch.setattr(Path, "iterdir", swapped)
    with pytest.raises(OSError, match="a link leads out"):
        ArtifactDirectory(root).save("sub/b.txt", b"x")
    monkeypatch.undo()
    assert names_in(outside) == ["a.txt"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_link_that_takes_a_files_place_while_it_arrives_is_no_artifact(fails: bool, outside: Path) -> None:
    root = outside.parent / "root"
    incoming = IncomingArtifact("a.txt", ArtifactDirectory(root, max_bytes=1))

    def arrives() -> None:
        with incoming:
            (root / "a.txt").unlink()
            (root / "a.txt").symlink_to(outside / "a.txt")
            incoming.write(b"xx" if fails else b"x")

    with pytest.raises(OSError, match="larger than" if fails else "took its place"):
        arrives()
    assert (outside / "a.txt").read_bytes() == b"kept"
    assert (root / "a.txt").is_symlink()


def test_what_failed_to_arrive_below_a_link_deletes_nothing(outside: Path) -> None:
    root = outside.parent / "root"
    incoming = IncomingArtifact("sub/a.txt", ArtifactDirectory(root, max_bytes=1))

    def arrives() -> None:
        with incoming:
            (root / "sub").rename(root / "moved")
            (root / "sub").symlink_to(outside)
            incoming.write(b"xx")

    with pytest.raises(OSError, match="larger than"):
        arrives()
    assert (outside / "a.txt").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("name", "saved"), [("a.txt", "a.txt"), (".bashrc", "_bashrc"), ("..\\evil", "_.\\evil"), ("a\x1b[2J", "a_[2J")]
)
def test_a_download_into_a_directory_gets_a_safe_name(name: str, saved: str, tmp_path: Path) -> None:
    with opened_target(tmp_path, name) as sink:
        sink.write(b"x")
    assert names_in(tmp_path) == [saved.replace("\\", "_")]
