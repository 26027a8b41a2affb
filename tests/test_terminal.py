"""What `aca-node` writes to a real terminal obeys nobody, and what it writes into a pipe is what the code printed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aca_node_interpreter import LocalPool
from aca_node_interpreter.terminal import harmless
from tests.http_server import Request, Response, serve

COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
ATTACKS = {
    "title": "\x1b]0;hacked\x07",
    "clipboard": "\x1b]52;c;aGFja2Vk\x1b\\",
    "link": "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "up and over": "\x1b[1A\x1b[2Kaca-node: all is well",
    "answer": "\x1b[6n\x1b[c\x1b[>0q\x05",
    "paste": "\x1bP$qm\x1b\\",
    "reset": "\x1bc\x1b[!p",
    "alternate screen": "\x1b[?1049h",
    "8-bit": "\x9b2J\x9d0;hacked\x9c\x90q\x9c",
    "overwrite": "all is lost\rall is well\b\b",
    "split": "\x1b\x1b[\x1b[2J",
    "colour that is none": "\x1b[>4;2m\x1b[31;2J\x1b[?1m",
    "direction": "\u202egpj.exe\u2066",
}
ATTACK = "".join(ATTACKS.values())
TERMINAL_CODE = f"process.stdout.write({json.dumps(ATTACK)}); console.error({json.dumps(ATTACK)}); {json.dumps(ATTACK)}"


def check(shown: str) -> None:
    """Nothing is left for a terminal to do but to show letters, lines and colours."""
    plain = COLOURS.sub("", shown.replace("\r\n", "\n"))
    assert [c for c in plain if c not in "\n\t" and (ord(c) < 32 or 127 <= ord(c) < 160)] == []
    assert not set(plain) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def at_a_terminal(*arguments: str, folder: Path, stdin: str = "", **settings: str) -> str:
    """Run `aca-node` with a terminal for its output, and return all that arrived there."""
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "aca_node_interpreter", *arguments]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **settings}
    with subprocess.Popen(command, stdin=-1, stdout=inner, stderr=inner, cwd=folder, env=environment) as process:
        os.close(inner)
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        shown = b""
        while True:
            try:
                chunk = os.read(outer, 65_536)
            except OSError:  # that is how Linux says that nobody writes any more
                break
            if not chunk:
                break
            shown += chunk
    os.close(outer)
    return shown.decode()


@pytest.fixture
def in_pool(pool: LocalPool) -> dict[str, str]:
    return {"ACA_POOL_MANAGEMENT_ENDPOINT": pool.endpoint, "ACA_POOL_TOKEN": pool.token}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_spelled_out(attack: str) -> None:
    check(harmless(attack))
    assert harmless(attack) != attack


def test_lines_and_colours_stay_and_colours_end() -> None:
    assert harmless("a\r\n\tb\n") == "a\r\n\tb\n"
    assert harmless("naïve 🦊 👩‍👩‍👧") == "naïve 🦊 👩‍👩‍👧"
    assert harmless("\x1b[1;38;2;1;2;3mred\x1b[0m") == "\x1b[1;38;2;1;2;3mred\x1b[0m\x1b[0m"
    assert harmless("\x1b]0;x\x07") == r"\u001b]0;x\u0007"


@given(
    st.lists(st.sampled_from(["\x1b", "[", "]", "0", ";", "m", "J", "\x9b", "\r", "\n", "\\"]) | st.text(), max_size=30)
)
def test_any_text_is_harmless(pieces: list[str]) -> None:
    shown = harmless("".join(pieces))
    check(shown)
    shown.encode()


@pytest.mark.parametrize("mode", [(), ("--raw",)], ids=["managed", "raw"])
def test_a_run_can_not_command_the_terminal(mode: tuple[str, ...], in_pool: dict[str, str], tmp_path: Path) -> None:
    shown = at_a_terminal("run", "-", *mode, folder=tmp_path, stdin=TERMINAL_CODE, **in_pool)
    check(shown)
    assert shown.count(r"\u001b]0;hacked\u0007") == 2  # what `util.inspect` shows is spelled out there


def test_names_problems_and_the_errors_of_a_run_can_not_either(in_pool: dict[str, str], tmp_path: Path) -> None:
    files = (
        f"for (const end of ['a', 'b/']) fs.writeFileSync('/mnt/data/' + {json.dumps(ATTACK.replace('/', ''))}, '');"
    )
    shown = at_a_terminal(
        "run", "-", folder=tmp_path, stdin=f"{files} throw new Error({json.dumps(ATTACK)})", **in_pool
    )
    check(shown)
    assert "saved " in shown
    assert "hacked" in shown


def test_a_pipe_gets_what_the_code_printed(in_pool: dict[str, str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "aca_node_interpreter", "run", "-"],
        input=f"process.stdout.write({json.dumps(ATTACK)}); undefined".encode(),
        env={**os.environ, **in_pool},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == ATTACK.encode()


def hostile(request: Request) -> Response:
    """Answer as a server would that wants the terminal of whoever asks."""
    if request.path == "/files" and request.method == "GET":
        entry = {"name": ATTACK, "directory": ATTACK, "sizeInBytes": 1, "type": "directory"}
        return Response(body=json.dumps({"value": [entry, {**entry, "name": "a\nforged"}]}).encode())
    if request.path == "/files":
        return Response(body=json.dumps({"name": ATTACK, "sizeInBytes": 1}).encode())
    return Response(400, json.dumps({"error": {"code": ATTACK, "message": f"{ATTACK}\nsaved me"}}).encode())


@pytest.mark.parametrize(
    "arguments",
    [("run", "-"), ("files", "ls"), ("files", "get", f"a{ATTACKS['title']}"), ("files", "put", "a.txt")],
    ids=" ".join,
)
def test_a_server_can_not_command_the_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    session = () if arguments[0] == "run" else ("--session", "some-session")
    with serve(hostile) as server:
        settings = {"ACA_POOL_MANAGEMENT_ENDPOINT": server.url, "ACA_POOL_TOKEN": "t"}
        shown = at_a_terminal(*arguments, *session, folder=tmp_path, stdin="1", **settings)
    check(shown)
    assert "hacked" in shown
    assert "\nforged" not in shown
    assert "Traceback" not in shown
