"""The pool on a Unix socket: only this user comes in, and nothing but a dead pool's socket is ever replaced."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AuthenticationError, LocalPoolError
from aca_node_interpreter.local.listening import listen_at
from tests.local.remote import NEWEST

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A path for a socket, where other users get to and whose directory has a name that needs quoting."""
    folder = Path(tempfile.mkdtemp(prefix="aca 100% ä?"))
    folder.chmod(0o777)
    yield folder / "pool's.sock"
    shutil.rmtree(folder)


def plain_pool(place: Path) -> LocalPool:
    return LocalPool(socket=place, isolation="none", ready_sessions=0)


def leave_a_dead_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
        dead.listen()


def test_clients_and_executor_reach_it(place: Path, isolation: Any, client_class: Any, tmp_path: Path) -> None:
    with LocalPool(socket=place, isolation=isolation) as pool:
        assert pool.endpoint.startswith("unix:///")
        with client_class(pool.endpoint, token=pool.token) as client:
            assert client.execute("1+1").result == "2"
            client.upload_file(b"x" * 1_000_000, name="big")
            client.download_file_to(tmp_path / "big", "big")
            assert (tmp_path / "big").stat().st_size == 1_000_000
            run = client.start_execution("6*7")
            assert client.get_execution(run.id).id == run.id
        with client_class(pool.endpoint, token="wrong") as stranger, pytest.raises(AuthenticationError):
            stranger.list_files()
        with NodeSessionsCodeExecutor(pool_management_endpoint=pool.endpoint, token=pool.token) as executor:
            assert executor.invoke({"code": "fs.writeFileSync('/mnt/data/a', 'x'); 6*7"}).startswith("=> 42")
    assert not place.exists()


def test_the_environment_names_it(
    place: Path, isolation: Any, monkeypatch: pytest.MonkeyPatch, client_class: Any
) -> None:
    with LocalPool(socket=place, isolation=isolation) as pool:
        monkeypatch.setenv("ACA_POOL_MANAGEMENT_ENDPOINT", pool.endpoint)
        monkeypatch.setenv("ACA_POOL_TOKEN", pool.token)
        # What leads elsewhere must not be asked for a local pool.
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        with client_class(pool.endpoint) as client, NodeSessionsCodeExecutor() as executor:
            assert client.execute("1+1").result == "2"
            assert executor.invoke({"code": "1+1"}) == "=> 2"


def test_its_addresses_are_those_of_its_host_and_foreign_ones_are_refused(place: Path, isolation: Any) -> None:
    with LocalPool(socket=place, isolation=isolation) as pool:
        headers = {"Authorization": f"Bearer {pool.token}"}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), headers=headers) as http:
            address = f"http://localhost/executions?api-version={NEWEST}&identifier=test-session"
            answer = http.post(address, json={"code": "1"})
            assert http.get(answer.headers["operation-location"]).json()["status"] == "Succeeded"
            assert http.post(address, json={"code": "1"}, headers={"Host": "evil.example"}).status_code == 403
            assert http.get(f"http://localhost/metadata?api-version={NEWEST}").status_code == 200
        with pytest.raises(LocalPoolError, match="no browser opens"):
            _ = pool.inspector


CONNECT = """
import os, socket, sys
place, user = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setgid(user); os.setuid(user)
socket.socket(socket.AF_UNIX).connect(place)
"""


def test_no_other_user_can_connect(place: Path) -> None:
    if os.geteuid() != 0:
        # In CI, too, when it does not run as root.
        pytest.skip("only root can become another user")

    def connect(user: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", "-c", CONNECT, str(place), str(user)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with plain_pool(place):
        assert stat.S_IMODE(place.lstat().st_mode) == 0o600
        assert "PermissionError" in connect(NOBODY).stderr
        assert connect(os.getuid()).returncode == 0
        place.chmod(0o666)
        # So it was the mode that kept the other one out.
        assert connect(NOBODY).returncode == 0


def test_it_is_closed_to_others_before_anybody_can_connect(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    listen = socket.socket.listen

    def seen(listener: socket.socket, *queue: int) -> None:
        if listener.family == socket.AF_UNIX:
            modes.append(stat.S_IMODE(place.lstat().st_mode))
            with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
                early.connect(str(place))
        listen(listener, *queue)

    monkeypatch.setattr(socket.socket, "listen", seen)
    with ExitStack() as undo:
        listen_at(place, undo)
    assert modes == [0o600]


def test_it_starts_again_at_the_same_place(place: Path) -> None:
    pool = plain_pool(place)
    for _ in range(2):
        with pool:
            assert stat.S_ISSOCK(place.lstat().st_mode)
        assert list(place.parent.iterdir()) == []


KILLED = """
import sys, threading
from aca_node_interpreter import LocalPool
with LocalPool(socket=sys.argv[1], isolation="none", ready_sessions=0):
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_the_socket_of_a_killed_pool_is_replaced_and_that_of_a_living_one_is_not(place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(place)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            living = place.lstat()
            with pytest.raises(LocalPoolError, match="another pool or program listens there"):
                plain_pool(place).start()
            assert os.path.samestat(place.lstat(), living)
        finally:
            process.kill()
    assert place.exists()
    with plain_pool(place) as pool, NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        assert executor.invoke({"code": "1+1"}) == "=> 2"


def test_a_program_that_does_not_take_connections_still_has_its_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, ExitStack() as undo:
        busy.bind(str(place))
        busy.listen(0)
        waiting = undo.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(place))
        with pytest.raises(LocalPoolError, match="another pool or program listens there"):
            plain_pool(place).start()


def test_of_many_that_find_a_dead_socket_at_once_one_gets_the_place(place: Path) -> None:
    for _ in range(20):
        leave_a_dead_socket(place)
        barrier = threading.Barrier(8)
        outcomes: list[Any] = []

        def attempt(undo: ExitStack, barrier: threading.Barrier = barrier, outcomes: list[Any] = outcomes) -> None:
            barrier.wait()
            try:
                outcomes.append(listen_at(place, undo))
            except LocalPoolError as error:
                outcomes.append(error)

        with ExitStack() as undo:
            threads = [threading.Thread(target=attempt, args=(undo,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            (winner,) = [outcome for outcome in outcomes if isinstance(outcome, socket.socket)]
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(place))
                winner.accept()[0].close()
        assert not place.exists()


@pytest.mark.parametrize("what", ["file", "directory", "symlink", "foreign socket"])
def test_what_is_no_dead_socket_of_this_user_stays(place: Path, what: str) -> None:
    if what == "file":
        place.write_text("kept")
    elif what == "directory":
        place.mkdir()
    elif what == "symlink":
        leave_a_dead_socket(place.with_name("other"))
        place.symlink_to("other")
    elif os.geteuid() == 0:
        leave_a_dead_socket(place)
        os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    else:
        # In CI, too, when it does not run as root.
        pytest.skip("only root can make another user's socket")
    there = place.lstat()
    with pytest.raises(LocalPoolError, match="something else is there"):
        plain_pool(place).start()
    assert os.path.samestat(place.lstat(), there)


def test_what_took_its_place_meanwhile_stays(place: Path) -> None:
    with plain_pool(place):
        place.unlink()
        place.write_text("kept")
    assert place.read_text() == "kept"
    place.unlink()
    with plain_pool(place):
        shutil.rmtree(place.parent)
    place.parent.mkdir()


def test_a_start_that_fails_later_leaves_no_socket(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = place.with_name("kernel.js")
    broken.write_text("throw new Error('broken kernel')")
    monkeypatch.setattr("aca_node_interpreter.local.isolation.unmounted.KERNEL", broken)
    with pytest.raises(LocalPoolError, match="broken kernel"):
        plain_pool(place).start()
    assert not place.exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/tmp/" + "x" * 103, "at most 107 bytes; choose a shorter one"),
        ("/tmp/" + "ä" * 52, "at most 107 bytes; choose a shorter one"),
        ("/missing/folder/aca.sock", "its directory does not exist; make it first"),
        ("/proc/aca.sock", "can't listen at /proc/aca.sock: "),
    ],
)
def test_a_place_that_can_not_be_is_told(path: str, words: str) -> None:
    with pytest.raises(LocalPoolError, match=words):
        LocalPool(socket=path, isolation="none").start()


def test_the_longest_path_works() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        with ExitStack() as undo:
            listen_at(folder / ("x" * (107 - len(str(folder)) - 1)), undo)
    finally:
        shutil.rmtree(folder)


def test_a_relative_path_is_one_from_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)
    pool = LocalPool(socket="here.sock", isolation="none", ready_sessions=0)
    monkeypatch.chdir("/")
    with pool:
        assert (place.parent / "here.sock").exists()


def test_a_port_and_a_socket_do_not_go_together() -> None:
    with pytest.raises(LocalPoolError, match="only one of them"):
        LocalPool(port=5000, socket="/tmp/aca.sock")
