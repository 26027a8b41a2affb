"""What a session may use of the machine, with control groups and where only the watchdog looks."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.isolation import cgroups, usage
from aca_node_interpreter.local.isolation.limits import Limits
from tests.local.remote import Remote, http_client
from tests.machine import unavailable

MEBIBYTE = 1 << 20
LIMITS = Limits(memory=256 * MEBIBYTE, processes=64, data=96 * MEBIBYTE, tmp=16 * MEBIBYTE, open_files=128)


@pytest.fixture(scope="module", params=["groups", "watchdog"])
def limited(request: pytest.FixtureRequest, isolation: Any) -> Iterator[httpx.Client]:
    """A pool with small limits, held by control groups or by the watchdog alone."""
    if request.param == "groups" and cgroups.find() is None:
        unavailable("this process may not make control groups here")
    pool = LocalPool(isolation=isolation, limits=LIMITS, ready_sessions=2)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "watchdog":
            patch.setattr(cgroups, "find", lambda: None)
        pool.start()
    with pool:
        with http_client(pool) as http:
            yield http


@pytest.fixture
def session(limited: httpx.Client) -> Iterator[Remote]:
    """A session with small limits, and another one that must not notice."""
    session, other = Remote(limited, "some-session"), Remote(limited, "other-session")
    other.value("var kept = 1")
    yield session
    assert other.value("kept") == "1"
    assert session.value("1") == "1"
    session.call("DELETE", "/session", version="2025-10-02-preview")


def test_memory_outside_the_heap(session: Remote) -> None:
    session.value("fs.writeFileSync('/mnt/data/kept.txt', '')")
    run = session.run(
        """console.log('started'); $$.async(); var hog = [];
        setInterval(() => hog.push(Buffer.alloc(8 << 20, 1)), 10)"""
    )
    assert run["status"] == "Failed"
    assert run["stdout"] == "started\n"
    assert run["stderr"] == "The code used more memory than its session may have.\nExecution aborted"
    assert session.names() == ["kept.txt"]


def test_a_child_that_hoards_memory(session: Remote) -> None:
    hog = "var hog = []; setInterval(() => hog.push(Buffer.alloc(8 << 20, 1)), 10)"
    run = session.run(f"child_process.spawnSync(process.execPath, ['-e', `{hog}`]).signal")
    # A group ends the child, the watchdog the session.
    assert run["executionResult"] == "'SIGKILL'" or "more memory" in run["stderr"]


def test_memory_in_files_that_are_made_of_it(session: Remote) -> None:
    hog = """
import os, time
file = os.memfd_create("x")
for _ in range(80):
    os.write(file, bytes(1 << 20))
time.sleep(20)"""
    run = session.run(
        f"""$$.async();
        for (let i = 0; i < 8; i++) {{
          child_process.spawn('/usr/bin/python3', ['-c', `{hog}`]).on('exit', (code, signal) => $$.done(signal));
        }}"""
    )
    # As above; each file is below the largest that a session may write.
    assert run["executionResult"] == "'SIGKILL'" or "more memory" in run["stderr"]


def test_processes(session: Remote) -> None:
    run = session.run(
        """$$.async(); var started = 0, failed = 0;
        for (let i = 0; i < 100; i++) {
          const child = child_process.spawn('sleep', ['60'], {stdio: 'ignore'});
          child.on('spawn', () => started++).on('error', () => failed++);
        }
        setTimeout(() => $$.done([started < 64, failed > 36].join()), 1000)"""
    )
    assert run["executionResult"] == "'true,true'" or "more processes" in run["stderr"]


def test_more_processes_than_there_may_be_are_not_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """They become more while somebody counts."""
    looked_at = itertools.count(1)

    def endless(root: int) -> Iterator[int]:
        for _ in looked_at:
            yield root

    monkeypatch.setattr(usage, "process_tree", endless)
    assert usage.measure(os.getpid(), most_processes=50).processes > 50
    assert next(looked_at) < 55


def test_thousands_of_processes_end_soon() -> None:
    count = 2500
    fork = f"""
import os, time
for _ in range({count}):
    if os.fork() == 0:
        time.sleep(100)
print(1, flush=True)
time.sleep(100)"""
    code = f"$$.async(); child_process.spawn('/usr/bin/python3', ['-c', `{fork}`]).stdout.on('data', () => $$.done(1))"
    limits = Limits(memory=8 << 30, processes=2 * count)
    with LocalPool(isolation="none", limits=limits, ready_sessions=0) as pool, http_client(pool) as http:
        session = Remote(http, "some-session")
        assert session.value(code) == "1"
        helpers = [pid for pid in usage.process_tree(os.getpid()) if pid != os.getpid()]
        assert len(helpers) > count
        started = time.monotonic()
        session.call("DELETE", "/session", version="2025-10-02-preview")
        while len(list(usage.process_tree(os.getpid()))) > 20:
            assert time.monotonic() < started + 90, "they still end"
            time.sleep(0.05)


def test_a_file(session: Remote) -> None:
    run = session.run("fs.writeFileSync('/mnt/data/big', Buffer.alloc(97 << 20))")
    assert "EFBIG" in run["stderr"]


FILL = """$$.async(); var number = 0, mb = Buffer.alloc(4 << 20, 1);
    setInterval(() => { fs.writeFileSync(`%s/${number++}`, mb) }, 10)"""


@pytest.mark.parametrize("place", ["/mnt/data", "${os.homedir()}"])
def test_disk(session: Remote, place: str) -> None:
    session.value("fs.writeFileSync('/mnt/data/kept.txt', 'kept')")
    run = session.run(FILL.replace("%s", place))
    assert run["stderr"] == (
        "The code wrote more than fits into its session; the newest files were removed.\nExecution aborted"
    )
    # The files are removed while the next process starts.
    measure = f"child_process.spawnSync('du', ['-sm', `{place}`]).stdout.toString().split('\\t')[0]"
    deadline = time.monotonic() + 5
    while int(session.value(measure).strip("'")) > 97:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert session.value("fs.readFileSync('/mnt/data/kept.txt', 'utf8')") == "'kept'"


def test_a_session_that_vanishes_while_it_is_looked_at_blinds_nobody(
    isolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = usage.disk_bytes, 0

    def look(directories: Sequence[Path]) -> list[int] | None:
        nonlocal looks
        looks += 1
        return real([directories[0] / "gone"] if looks == 1 else directories)

    monkeypatch.setattr(usage, "disk_bytes", look)
    with LocalPool(isolation=isolation, limits=LIMITS) as pool, http_client(pool) as http:
        run = Remote(http, "some-session").run(FILL.replace("%s", "/mnt/data"), timeoutInSeconds=6)
    assert looks > 1
    assert "more than fits" in run["stderr"]


@pytest.fixture(params=["with du", "without"])
def du(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setenv("PATH", "")


def test_what_takes_room_on_the_disk(du: None, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "folder").mkdir(parents=True)
    (one / "folder" / "file").write_bytes(bytes(3_000_000))
    (one / "link").symlink_to("/usr")
    with (one / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    other.mkdir()
    for number in range(300):
        (other / str(number)).touch()
    sizes = usage.disk_bytes([one, other])
    assert sizes is not None
    assert 3_000_000 <= sizes[0] < 3_100_000
    # A file without content counts as a block.
    assert 300 <= sizes[1] / os.statvfs(other).f_bsize < 310
    with pytest.raises(FileNotFoundError):
        usage.disk_bytes([tmp_path / "gone"])


# Python has threads and warns; the child does nothing that another thread could hold up.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_folders_that_hide_what_is_in_them_can_not_be_measured(du: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "secret")
        secret.mkdir()
        secret.chmod(0)
        Path(folder).chmod(0o755)
        child = os.fork()
        if child == 0:
            # Nothing is hidden from root.
            with contextlib.suppress(PermissionError):
                os.setuid(65534)
            os._exit(usage.disk_bytes([Path(folder)]) is not None)
        assert os.waitpid(child, 0)[1] == 0


def test_disk_that_is_hidden_in_deleted_files(session: Remote) -> None:
    run = session.run(
        """$$.async(); var open = [], mb = Buffer.alloc(8 << 20, 1);
        setInterval(() => {
          const file = fs.openSync('/mnt/data/hidden', 'w'); fs.writeSync(file, mb); fs.unlinkSync('/mnt/data/hidden');
          open.push(file);
        }, 50)"""
    )
    assert "more than fits" in run["stderr"]


def test_open_files(session: Remote) -> None:
    run = session.run("for (let i = 0; i < 200; i++) fs.openSync('/dev/null')")
    assert "EMFILE" in run["stderr"]


def test_tmp_without_a_mount() -> None:
    with LocalPool(isolation="none", limits=LIMITS) as pool, http_client(pool) as http:
        run = Remote(http, "some-session").run(FILL.replace("%s", "${os.tmpdir()}"), timeoutInSeconds=20)
    assert "more than fits" in run["stderr"]


def test_tmp_and_shared_memory(session: Remote, isolation: str) -> None:
    if isolation != "bubblewrap":
        unavailable("without mounts they are not bounded")
    for place in ("/tmp", "/dev/shm"):
        run = session.run(f"for (let i = 0; i < 20; i++) fs.appendFileSync('{place}/x', Buffer.alloc(4 << 20))")
        assert "ENOSPC" in run["stderr"], place
        session.value(f"fs.rmSync('{place}/x')")


def test_cpu_time(isolation: Any) -> None:
    with LocalPool(isolation=isolation, limits=Limits(cpu_seconds=1)) as pool:
        with http_client(pool) as http:
            run = Remote(http, "busy-session").run("while (true) {}", timeoutInSeconds=20)
            assert run["stderr"] == "Execution aborted"


def test_groups_are_removed(isolation: Any) -> None:
    place = cgroups.find()
    if place is None:
        unavailable("this process may not make control groups here")
    mark = f"aca-node-{os.getpid()}-"
    before = {group for directory in place.directories for group in directory.glob(f"{mark}*")}
    with LocalPool(isolation=isolation):
        during = {group for directory in place.directories for group in directory.glob(f"{mark}*")}
        assert len(during) > len(before)
    assert {group for directory in place.directories for group in directory.glob(f"{mark}*")} == before


def test_a_killed_pools_groups_are_removed_by_the_next() -> None:
    place = cgroups.find()
    if place is None:
        unavailable("this process may not make control groups here")
    make = "import os; from aca_node_interpreter.local.isolation import cgroups; print(os.getpid())\n"
    make += "cgroups.find().make(memory=1 << 20, processes=10)"
    child = subprocess.run([sys.executable, "-c", make], capture_output=True, text=True, check=True).stdout.strip()
    left = [group for directory in place.directories for group in directory.glob(f"aca-node-{child}-*")]
    assert left
    with LocalPool(isolation="none", ready_sessions=0):
        pass
    assert [group.name for group in left if group.exists()] == []


# --- where control groups are, for machines with other layouts than this one ---


def layout(folder: Path, mountinfo: str, own: str) -> cgroups.Place | None:
    proc = folder / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(mountinfo.format(folder=folder))
    (proc / "cgroup").write_text(own)
    return cgroups.find(proc)


def make_group(directory: Path, controllers: str) -> None:
    directory.mkdir(parents=True)
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        (directory / name).write_text("")
    (directory / "cgroup.subtree_control").write_text(controllers)


UNIFIED = "30 23 0:26 / {folder}/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_2_is_found_in_a_parent_that_has_the_controllers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_works", lambda place: True)
    user = tmp_path / "cgroup" / "user.slice" / "app.slice"
    make_group(user, "cpu memory pids")
    make_group(user / "terminal.scope", "")
    assert layout(tmp_path, UNIFIED, "0::/user.slice/app.slice/terminal.scope\n") == cgroups.Place((user,))


def test_a_group_without_controllers_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_works", lambda place: True)
    assert layout(tmp_path, UNIFIED, "0::/user.slice\n") is None
    assert cgroups.find(tmp_path / "missing") is None


def test_version_1_with_mounts_that_show_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_works", lambda place: True)
    memory = "31 30 0:1 /docker/x {folder}/m\\040y rw - cgroup cgroup rw,memory\n"
    mounts = f"{memory}32 30 0:2 / {{folder}}/p rw - cgroup c rw,pids,cpu\n"
    found = layout(tmp_path, mounts, "3:memory:/docker/x/mine\n2:pids,cpu:/a/b\n1:name=systemd:/\n")
    assert found == cgroups.Place((tmp_path / "m y" / "mine", tmp_path / "p" / "a" / "b"))


@pytest.mark.parametrize(
    "options", [{"memory": 1}, {"processes": 1}, {"data": 0}, {"tmp": 0}, {"open_files": 3}, {"cpu_seconds": 0}]
)
def test_limits_that_nothing_can_work_with_are_refused(options: dict[str, int]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        Limits(**options)
