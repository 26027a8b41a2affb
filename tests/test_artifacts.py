"""What a session's file names become on the local disk, and how artifacts show themselves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from aca_node_interpreter.artifacts import Artifact, ArtifactDirectory
from aca_node_interpreter.local_names import local_name

PNG = b"\x89PNG\r\n\x1a\n"


def test_an_artifact_knows_what_it_is(tmp_path: Path) -> None:
    artifact = ArtifactDirectory(tmp_path).save("charts/a.png", PNG)
    assert (artifact.name, artifact.size, artifact.media_type) == ("charts/a.png", 8, "image/png")
    assert artifact.path == tmp_path / "charts" / "a.png"
    assert artifact.read_bytes() == PNG
    assert artifact.sha256 == hashlib.sha256(PNG).hexdigest()


def test_a_preview_takes_the_place_of_the_media_type_and_survives_a_checkpoint(tmp_path: Path) -> None:
    artifact = ArtifactDirectory(tmp_path).save("a.png", PNG)
    assert (artifact.preview, str(artifact)) == ("", "a.png (image/png, 8 bytes)")
    previewed = replace(artifact, preview="PNG 640×480")
    assert str(previewed) == "a.png (8 bytes, PNG 640×480)"
    serializer = JsonPlusSerializer(allowed_msgpack_modules=[Artifact])
    assert serializer.loads_typed(serializer.dumps_typed(previewed)) == previewed


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    directory = ArtifactDirectory(tmp_path)
    saved = [directory.save("data.tar.gz", str(i).encode()) for i in range(3)]
    assert [artifact.path.name for artifact in saved] == ["data.tar.gz", "data-2.tar.gz", "data-3.tar.gz"]
    assert [artifact.read_bytes() for artifact in saved] == [b"0", b"1", b"2"]


def test_a_directory_named_like_an_earlier_file_is_no_obstacle(tmp_path: Path) -> None:
    directory = ArtifactDirectory(tmp_path)
    directory.save("a", b"file")
    assert directory.save("a/b", b"below").read_bytes() == b"below"


def test_a_file_over_the_limit_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="larger than the limit"):
        ArtifactDirectory(tmp_path, max_bytes=3).save("a.txt", b"1234")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("chart.png", "chart.png"),
        ("naïve 🦊.txt", "naïve 🦊.txt"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        (".bashrc", "_bashrc"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("a\\b", "a_b"),
        ("a\x1b[31m\n", "a_[31m_"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("dots...", "dots"),
        ("lone\ud800", "lone_"),
    ],
)
def test_names_become_safe(name: str, safe: str) -> None:
    assert local_name(name) == safe


def test_long_names_keep_their_suffix() -> None:
    shortened = local_name("é" * 1000 + ".csv")
    assert len(shortened.encode()) <= 200
    assert shortened.endswith("é.csv")


@given(st.text(st.characters(), max_size=300))
def test_no_name_escapes_the_directory(name: str) -> None:
    safe = local_name(name)
    assert safe not in ("", ".", "..")
    assert not set(safe) & set('/\\\0<>:"|?*')
    assert len(safe.encode()) <= 201


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a/../../b", "C:\\x", "..\\x"])
def test_hostile_paths_stay_inside(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    artifact = ArtifactDirectory(root).save(name, b"x")
    assert root in artifact.path.resolve().parents
    assert list(tmp_path.iterdir()) == [root]


def test_a_picture_shows_itself_and_a_page_does_not(tmp_path: Path) -> None:
    directory = ArtifactDirectory(tmp_path)
    picture, page = directory.save("a.png", PNG), directory.save("a.html", b"<script>")
    assert picture._repr_mimebundle_()["image/png"] == "iVBORw0KGgo="
    assert set(page._repr_mimebundle_()) == {"text/plain"}
    assert "<script>" not in page._repr_mimebundle_()["text/plain"]


def test_a_picture_that_is_gone_still_has_a_line(tmp_path: Path) -> None:
    artifact = Artifact("a.png", 1, "image/png", "", tmp_path / "gone.png")
    assert set(artifact._repr_mimebundle_()) == {"text/plain"}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\nrest", "image/png"),
        ("a.txt", b"\xff\xd8\xffrest", "image/jpeg"),
        ("a", b"GIF89a", "image/gif"),
        ("a.webp", b"RIFF1234WEBPrest", "image/webp"),
        ("a.wav", b"RIFF1234WAVErest", None),
        ("a.png", b"text", None),
        ("a.svg", b"<svg/>", None),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(4_000_000), None),
    ],
)
def test_pictures_that_a_model_can_look_at(tmp_path: Path, name: str, content: bytes, kind: str | None) -> None:
    artifact = ArtifactDirectory(tmp_path).save(name, content)
    assert artifact.picture() == (None if kind is None else (kind, content))
    artifact.path.unlink()
    assert artifact.picture() is None
