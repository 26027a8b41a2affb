"""Real attempts to get out of a session, each first shown to succeed without isolation, so that none fails by mistake.

As the user who runs the tests and, for root, as an ordinary user too; with egress off and on. Limits are tested in
test_limits.py, forged messages in test_failures.py, single system calls in test_seccomp.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local.remote import NEWEST, Remote
from tests.machine import unavailable, why_no_sandbox

ORDINARY = 65534


@dataclass
class Scene:
    """A pool in a process of its own, and around it what code in a session must not reach."""

    http: httpx.Client
    port: int
    user: int
    folder: Path
    target: subprocess.Popen[bytes]
    tcp: int
    path: str
    abstract: str

    def session(self, name: str = "attacker") -> Remote:
        return Remote(self.http, f"{name}-session")


def python_of(user: int) -> tuple[str, str]:
    """Give a Python that a user may run, and where it finds packages: this one may lie in a home that is closed."""
    packages = os.pathsep.join((str(Path(__file__).parents[2]), *filter(None, sys.path)))
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [python, "-c", "import aca_node_interpreter.cli, httptools"]
        with contextlib.suppress(OSError):
            options = {"env": {"PYTHONPATH": packages}, "capture_output": True, "cwd": "/", **becoming(user)}
            if subprocess.run(command, check=False, **options).returncode == 0:
                return python, packages
    # In CI, too: where a Python lies that only root may run is nothing that CI could install.
    pytest.skip(f"user {user} may not run this Python, nor is there another of its version")


def becoming(user: int) -> dict[str, Any]:
    """Give the options of `subprocess` that start something as that user."""
    return {} if user == os.getuid() else {"user": user, "group": user, "extra_groups": []}


def start(command: list[str], user: int, folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.environ["PATH"], "SECRET": "of the target"}
    environment["PYTHONPATH"] = python_of(user)[1]
    return subprocess.Popen(command, env=environment, cwd=folder, **becoming(user), **options)


@contextlib.contextmanager
def listening(family: int, address: object) -> Iterator[socket.socket]:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind(address)  # type: ignore[arg-type]
    server.listen()

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"greetings")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    yield server
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@contextlib.contextmanager
def scene(user: int, isolation: str, *, egress: bool) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        # Not pytest's own folder, which only its owner may enter.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aca-node-escape-")))
        os.chown(folder, user, user)
        folder.joinpath("secret.txt").write_text("of the home")
        folder.joinpath("secret.txt").chmod(0o600)
        os.chown(folder / "secret.txt", user, user)
        target = start(["sleep", "1000"], user, folder)
        stack.callback(target.wait)
        stack.callback(target.kill)
        tcp = stack.enter_context(listening(socket.AF_INET, ("127.0.0.1", 0)))
        stack.enter_context(listening(socket.AF_UNIX, str(folder / "socket")))
        (folder / "socket").chmod(0o777)
        abstract = f"aca-node-escape-{os.getpid()}-{user}-{isolation}-{egress}"
        # Node.js before 22 fills the name up with zeros.
        for name in (f"\0{abstract}", f"\0{abstract}".ljust(108, "\0")):
            stack.enter_context(listening(socket.AF_UNIX, name))
        command = [python_of(user)[0], "-m", "aca_node_interpreter", "serve", "--json", "--isolation", isolation]
        pool = start([*command, *(["--egress"] if egress else [])], user, folder, stdout=subprocess.PIPE)
        stack.callback(pool.wait)
        stack.callback(pool.terminate)
        assert pool.stdout is not None
        stack.callback(pool.stdout.close)
        line = pool.stdout.readline()
        if not line:
            unavailable(f"user {user} can't start a pool here")
        served = json.loads(line)
        headers = {"Authorization": f"Bearer {served['token']}"}
        http = stack.enter_context(httpx.Client(base_url=served["endpoint"], headers=headers, timeout=60))
        port = int(served["endpoint"].rpartition(":")[2])
        yield Scene(http, port, user, folder, target, tcp.getsockname()[1], str(folder / "socket"), abstract)


def connects(options: str) -> str:
    return f"""$$.async(); net.connect({options}).on('data', data => $$.done(data.toString()))
        .on('error', error => $$.done(error.code)).on('close', () => setTimeout($$.done, 10, 'closed'))"""


def read_secret_of_the_home(scene: Scene) -> bool:
    return "of the home" in str(scene.session().run(f"fs.readFileSync('{scene.folder}/secret.txt', 'utf8')"))


def read_passwords(scene: Scene) -> bool:
    if scene.user != 0:
        return read_secret_of_the_home(scene)  # only root reads them anyway
    return "root:" in str(scene.session().run("fs.readFileSync('/etc/shadow', 'utf8')"))


def read_the_file_of_another_session(scene: Scene) -> bool:
    scene.session("victim").upload("private.txt", b"of the victim")
    (file,) = scene.folder.glob("aca-node-pool-*/sessions/*/data/private.txt")
    places = [str(file), *(f"/proc/{pid}/root{file}" for pid in ("1", "self", "thread-self"))]
    places += ["/mnt/data/../../victim/data/private.txt", f"/proc/1/cwd/{file}"]
    code = f"{places}.map(it => {{ try {{ return fs.readFileSync(it, 'utf8') }} catch {{}} }}).join()"
    return "of the victim" in str(scene.session().run(code))


def read_the_environment_of_a_process(scene: Scene) -> bool:
    return any_process(scene, "environ", "of the target")


def see_a_process(scene: Scene) -> bool:
    return any_process(scene, "cmdline", "serve")


def any_process(scene: Scene, file: str, text: str) -> bool:
    code = f"""fs.readdirSync('/proc').filter(Number).some(pid => {{
        try {{ return fs.readFileSync(`/proc/${{pid}}/{file}`, 'utf8').includes('{text}') }} catch {{}} }})"""
    return bool(scene.session().run(code).get("executionResult") == "true")


def signal_a_process(scene: Scene) -> bool:
    scene.session().run(f"for (const pid of [{scene.target.pid}, -1]) process.kill(pid, 'SIGCONT')")
    return "1" in scene.session().run(f"process.kill({scene.target.pid}, 'SIGSTOP'); 1")["executionResult"] and stopped(
        scene.target.pid
    )


def stopped(pid: int) -> bool:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            os.kill(pid, 18)
            return True
        time.sleep(0.02)
    return False


def succeeds(scene: Scene, code: str) -> bool:
    return str(scene.session().run(code)["executionResult"]) == "0"


def make_a_user_namespace(scene: Scene) -> bool:
    return succeeds(scene, "child_process.spawnSync('unshare', ['-U', 'true']).status")


def make_a_mount_namespace_as_root(scene: Scene) -> bool:
    code = "child_process.spawnSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status"
    return succeeds(scene, code)


def reach_the_pool(scene: Scene) -> bool:
    code = f"""$$.async(); http.get({{port: {scene.port}, host: '127.0.0.1'}}, it => $$.done(it.statusCode))
        .on('error', error => $$.done(error.code))"""
    return str(scene.session().run(code)["executionResult"]).isdigit()


def reach_the_hosts_loopback(scene: Scene) -> bool:
    return "greetings" in str(scene.session().run(connects(f"{scene.tcp}, '127.0.0.1'")))


def reach_a_unix_socket(scene: Scene) -> bool:
    return "greetings" in str(scene.session().run(connects(f"'{scene.path}'")))


def reach_an_abstract_socket(scene: Scene) -> bool:
    return "greetings" in str(scene.session().run(connects(f"'\\0{scene.abstract}'")))


def write_outside(scene: Scene) -> bool:
    scene.session().run(f"fs.writeFileSync('{scene.folder}/written', '')")
    return (scene.folder / "written").exists()


def link_to_the_outside(scene: Scene) -> bool:
    """Plant a link, and let the pool itself follow it."""
    session = scene.session()
    session.run(
        f"fs.symlinkSync('{scene.folder}/secret.txt', '/mnt/data/link'); fs.symlinkSync('/etc', '/mnt/data/etc')"
    )
    answers = [
        session.call("GET", "/files/link/content", version=NEWEST),
        session.call("GET", "/files/passwd/content", version=NEWEST, params={"path": "etc"}),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    return "of the home" in str(session.run("fs.readFileSync('/mnt/data/link', 'utf8')"))


def poison_the_next_session(scene: Scene) -> bool:
    poison = """for (const place of process.env.PATH.split(':').concat('/opt/aca-node')) {
        for (const name of ['npm', 'kernel.js', '../kernel.js']) {
          try { fs.appendFileSync(`${place}/${name}`, '// poison') } catch {} } }
        try { fs.writeFileSync(`${process.env.TMPDIR}/../poison`, 'poison') } catch {}"""
    scene.session().run(poison)
    look = "fs.readFileSync(process.env.PATH.split(':')[0] + '/npm', 'utf8')"
    return "poison" in str(scene.session("next").run(look))


def make_a_device(scene: Scene) -> bool:
    if scene.user != 0:
        return make_a_user_namespace(scene)  # only root makes devices
    code = "child_process.spawnSync('mknod', [os.tmpdir() + '/device' + Math.random(), 'c', '1', '5']).status"
    return succeeds(scene, code)


def leave_a_daemon_behind(scene: Scene) -> bool:
    """It runs as long as the session does, wherever; it must not run any longer."""
    session = scene.session("daemon")
    mark = f"5{os.getpid()}"
    session.value(f"child_process.spawn('setsid', ['sleep', '{mark}'], {{detached: true, stdio: 'ignore'}}).unref(); 1")
    deadline = time.monotonic() + 5
    while not running(mark):
        assert time.monotonic() < deadline, "it never ran"
    session.call("DELETE", "/session", version=NEWEST)
    deadline = time.monotonic() + 5
    while running(mark):
        assert time.monotonic() < deadline, "it still runs"
    return True


def running(mark: str) -> bool:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes().split(b"\0")[:2] == [b"sleep", mark.encode()]:
                return True
    return False


ATTEMPTS: list[Callable[[Scene], bool]] = [
    read_secret_of_the_home,
    read_passwords,
    read_the_file_of_another_session,
    read_the_environment_of_a_process,
    see_a_process,
    signal_a_process,
    make_a_user_namespace,
    make_a_mount_namespace_as_root,
    reach_the_pool,
    reach_the_hosts_loopback,
    reach_a_unix_socket,
    reach_an_abstract_socket,
    write_outside,
    link_to_the_outside,
    poison_the_next_session,
    make_a_device,
]
USERS = [0, ORDINARY] if os.getuid() == 0 else [os.getuid()]


@pytest.fixture(scope="module", params=USERS, ids=lambda user: "root" if user == 0 else "ordinary")
def user(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def exposed(user: int) -> Iterator[Scene]:
    with scene(user, "none", egress=False) as exposed:
        yield exposed


@pytest.fixture(scope="module", params=["bubblewrap", "bubblewrap-egress", "landlock"])
def isolated(request: pytest.FixtureRequest, user: int) -> Iterator[Scene]:
    if reason := why_no_sandbox():
        unavailable(f"this is about the sandbox: {reason}")
    isolation, _, egress = request.param.partition("-")
    with scene(user, isolation, egress=bool(egress)) as isolated:
        yield isolated


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_attempt(attempt: Callable[[Scene], bool], exposed: Scene, isolated: Scene) -> None:
    assert attempt(exposed)
    assert not attempt(isolated)


def test_no_daemon_stays(exposed: Scene, isolated: Scene) -> None:
    assert leave_a_daemon_behind(exposed)
    assert leave_a_daemon_behind(isolated)
