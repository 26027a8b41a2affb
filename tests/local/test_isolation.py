"""What code in a session can't reach. Harmless attempts are first shown to succeed without isolation."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.isolation import seatbelt, seccomp
from aca_node_interpreter.local.isolation.levels import Isolation
from tests.local.remote import NEWEST, Remote, http_client
from tests.machine import unavailable


@pytest.fixture(scope="module")
def open_pool() -> Iterator[httpx.Client]:
    """A pool without any isolation."""
    with LocalPool(isolation="none") as pool:
        assert pool.isolation == "none"
        with http_client(pool) as http:
            yield http


@pytest.fixture
def exposed(open_pool: httpx.Client) -> Remote:
    """A session without isolation."""
    return Remote(open_pool, "exposed")


@pytest.fixture
def listener() -> Iterator[int]:
    """A server on the host's loopback; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_level_in_force_is_told(needs_bubblewrap: None, pool: LocalPool) -> None:
    assert pool.isolation == "bubblewrap"


def test_the_egress_in_force_is_told(needs_bubblewrap: None, pool: LocalPool) -> None:
    assert pool.egress == "off"
    with LocalPool(egress=True) as filtered, LocalPool(isolation="none") as open_pool:
        assert (filtered.egress, open_pool.egress) == ("filtered", "host")


def test_a_machine_without_a_filter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: bool) -> bytes:
        raise ValueError("There is no system-call filter for riscv64")

    monkeypatch.setattr(seccomp, "build_filter", refuse)
    with pytest.raises(LocalPoolError, match=r"bubblewrap: There is no system-call filter.*landlock: There is no"):
        LocalPool().start()


def test_the_hosts_files_are_absent(needs_bubblewrap: None, remote: Remote, exposed: Remote, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    read = f"fs.readFileSync('{canary}', 'utf8')"
    assert exposed.value(read) == "'secret'"
    assert "ENOENT" in remote.run(read)["stderr"]
    for path in ("/etc/shadow", str(Path.home()), str(Path(__file__).parent), "/proc/1/root" + str(canary)):
        assert remote.run(f"fs.statSync('{path}')")["status"] == "Failed", path


def test_the_system_is_read_only(needs_bubblewrap: None, remote: Remote) -> None:
    for path in (
        "/x",
        "/dev/x",
        "/mnt/x",
        "/usr/x",
        "/opt/aca-node/bin/npm",
        "/opt/aca-node/kernel.js",
        "/etc/passwd",
        "/bin/sh",
    ):
        assert remote.run(f"fs.appendFileSync('{path}', 'x')")["status"] == "Failed", path
    assert remote.value("fs.writeFileSync('/tmp/x', 'x'); fs.readFileSync('/tmp/x', 'utf8')") == "'x'"


def test_the_hosts_processes_and_environment_are_invisible(
    needs_bubblewrap: None, remote: Remote, exposed: Remote
) -> None:
    file = f"/proc/{os.getpid()}/cmdline"
    see = f"fs.existsSync('{file}') && fs.readFileSync('{file}', 'utf8').includes('python')"
    assert exposed.value(see) == "true"
    assert remote.value(see) == "false"
    names = "Object.keys(process.env).filter(name => !name.startsWith('npm_config_')).sort().join()"
    assert remote.value(names) == "'HOME,LANG,PATH,PWD,TMPDIR,TZ'"
    assert remote.value("os.hostname()") == "'aca-node'"
    first = remote.value("fs.readFileSync('/proc/1/cmdline', 'utf8') + fs.readFileSync('/proc/1/environ', 'utf8')")
    assert first.startswith("'bwrap")
    assert "aca-node-pool" not in first
    assert str(Path.home()) not in first


@pytest.mark.parametrize("isolation", ["bubblewrap", "none"])
def test_a_session_goes_first_when_the_machine_lacks_memory(needs_bubblewrap: None, isolation: Isolation) -> None:
    with LocalPool(isolation=isolation) as pool, connected(pool) as remote:
        score = "child_process.execSync('cat /proc/self/oom_score_adj', {encoding: 'utf8'})"
        assert remote.value(score) == "'500\\n'"


def test_there_is_no_network_without_egress(
    needs_bubblewrap: None, remote: Remote, exposed: Remote, listener: int
) -> None:
    connect = f"""$$.async(); var socket = net.connect({listener}, '127.0.0.1');
        socket.on('connect', () => $$.done('connected')).on('error', error => $$.done(error.code))"""
    assert exposed.value(connect) == "'connected'"
    assert remote.value(connect) == "'ECONNREFUSED'"
    assert remote.value("Object.values(os.networkInterfaces()).flat().every(it => it.internal)") == "true"


def test_there_are_no_rights_to_win_back(needs_bubblewrap: None, remote: Remote) -> None:
    status = remote.value("fs.readFileSync('/proc/self/status', 'utf8')")
    assert "CapEff:\\t0000000000000000" in status
    assert "NoNewPrivs:\\t1" in status
    assert "Seccomp:\\t2" in status
    nested = "child_process.spawnSync('unshare', ['-U', 'true']).status"
    assert remote.value(nested) != "0"


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock", "none"])
def test_sessions_inherit_their_three_pipes_only(needs_bubblewrap: None, isolation: Isolation) -> None:
    code = """fs.readdirSync('/proc/self/fd').filter(fd => fd < 6).map(fd => fs.readlinkSync(`/proc/self/fd/${fd}`))
        .map(target => target.replace(/\\[.*/, '')).join()"""
    everything = "fs.readdirSync('/proc/self/fd').some(fd => { try { return fs.readlinkSync(`/proc/self/fd/${fd}`)"
    everything += ".startsWith('socket:') } catch {} })"
    with LocalPool(isolation=isolation) as pool, connected(pool) as remote:
        assert remote.value(code).startswith("'/dev/null,/dev/null,pipe:,pipe:,pipe:,anon_inode:")
        assert remote.value(everything) == "false"


def test_tmp_is_bounded(needs_bubblewrap: None, remote: Remote) -> None:
    run = remote.run("var mb = Buffer.alloc(1 << 20); for (let i = 0; i < 300; i++) fs.appendFileSync('/tmp/big', mb)")
    assert "ENOSPC" in run["stderr"]


MAPPED = [
    ("fs.writeFileSync('/mnt/data/a.txt', 'a'); fs.readFileSync('/mnt/data/a.txt', 'utf8')", "'a'"),
    ("$$.async(); fs.writeFile('/mnt/data/b.txt', 'b', error => $$.done(error))", "null"),
    ("$$.sendResult(fs.promises.readFile('/mnt/data/b.txt', 'utf8'))", "'b'"),
    ("$$.sendResult(require('fs/promises').readdir('/mnt/data'))", "[ 'a.txt', 'b.txt' ]"),
    ("fs.readFileSync(Buffer.from('/mnt/data/a.txt')).length", "1"),
    ("fs.readFileSync(new URL('file:///mnt/data/a.txt')).length", "1"),
    ("fs.renameSync('/mnt/data/a.txt', '/mnt/data/c.txt'); fs.existsSync('/mnt/data/c.txt')", "true"),
    ("fs.writeFileSync('/mnt/data/x.js', 'module.exports = 42'); require('/mnt/data/x.js')", "42"),
    ("require('module').createRequire('/mnt/data/session.js')('./x.js')", "42"),
    ("process.chdir('/mnt/data'); fs.existsSync('x.js')", "true"),
    ("child_process.execSync('ls', {cwd: '/mnt/data', encoding: 'utf8'}).split('\\n')[0]", "'b.txt'"),
    (
        "child_process.execFileSync(process.execPath, ['-p', \"fs.existsSync('/mnt/data/x.js')\"]).toString()",
        "'true\\n'",
    ),
    ("$$.async(); fs.createReadStream('/mnt/data/x.js').on('data', data => $$.done(data.length))", "19"),
    ("new fs.ReadStream('/mnt/data/x.js') instanceof fs.ReadStream", "true"),
    ("$$.sendResult(util.promisify(child_process.exec)('echo hi').then(it => it.stdout))", "'hi\\n'"),
    ("fs.existsSync('/mnt/database')", "false"),
]


def test_without_isolation_the_data_directory_is_mapped(exposed: Remote) -> None:
    exposed.call("DELETE", "/session", version=NEWEST)
    for code, value in MAPPED:
        assert exposed.value(code) == value, code
    assert exposed.names() == ["b.txt", "c.txt", "x.js"]


def test_the_same_works_with_a_mount(needs_bubblewrap: None, remote: Remote) -> None:
    for code, value in MAPPED:
        assert remote.value(code) == value, code


CONNECT = """$$.async(); net.connect({port}, '{host}')
    .on('connect', () => setTimeout(() => $$.done('connected'), 300)).on('error', error => $$.done(error.code))"""


def test_with_egress_the_hosts_loopback_is_out_of_reach(needs_bubblewrap: None, exposed: Remote, listener: int) -> None:
    connect = CONNECT.format(port=listener, host="localhost")
    assert exposed.value(connect) == "'connected'"
    with LocalPool(egress=True, egress_ports=[80, 443, listener]) as pool, connected(pool) as remote:
        assert remote.value(connect) == "'ECONNRESET'"
        port = int(pool.endpoint.rpartition(":")[2])
        assert remote.value(CONNECT.format(port=port, host="127.0.0.1")) == "'ECONNREFUSED'"


def test_egress_reaches_what_the_user_allows(needs_bubblewrap: None, listener: int) -> None:
    with LocalPool(egress=True, egress_allow=[f"127.0.0.1:{listener}"]) as pool, connected(pool) as remote:
        # The listener hangs up at once, which is not a reset.
        assert remote.value(CONNECT.format(port=listener, host="127.0.0.1")) == "'connected'"


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
def test_the_hosts_network_is_shared_only_when_asked_for_in_words(
    needs_bubblewrap: None, listener: int, isolation: Isolation
) -> None:
    with LocalPool(egress="host", isolation=isolation) as pool, connected(pool) as remote:
        assert remote.value(CONNECT.format(port=listener, host="127.0.0.1")) == "'connected'"


def test_landlock_refuses_egress_that_it_can_not_filter() -> None:
    with pytest.raises(LocalPoolError, match='landlock: it can\'t filter egress; egress="host" shares'):
        LocalPool(isolation="landlock", egress=True).start()


@contextmanager
def connected(pool: LocalPool) -> Iterator[Remote]:
    with http_client(pool) as http:
        yield Remote(http, "some-session")


SERVE = """
import json, sys
from aca_node_interpreter.errors import LocalPoolError
from aca_node_interpreter.local import LocalPool
from aca_node_interpreter import SessionPoolClient
try:
    with LocalPool(least_isolation=sys.argv[1]) as pool, SessionPoolClient(pool.endpoint, token=pool.token) as client:
        print(pool.isolation, client.execute("fs.writeFileSync('/mnt/data/a', 'b'); 6 * 7").result)
except LocalPoolError as error:
    print(error)
"""


def serve_under(command: list[str], least: str) -> str:
    if shutil.which(command[0]) is None:
        unavailable(f"{command[0]} is not on this machine")
    command = [*command, sys.executable, "-c", SERVE, least]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# In a user namespace of its own, so that nobody else on this machine notices.
DENIED = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 >/proc/sys/user/max_user_namespaces; "$@"', "sh"]


def test_where_user_namespaces_are_denied_landlock_takes_over(needs_bubblewrap: None) -> None:
    assert serve_under(DENIED, "landlock") == "landlock 42"


def test_nothing_falls_below_what_the_user_asked_for(needs_bubblewrap: None) -> None:
    answer = serve_under(DENIED, "bubblewrap")
    assert answer.startswith("The embedded pool can't isolate its sessions. bubblewrap: Node.js did not start: ")
    assert answer.endswith('pass isolation="none" to run code without any isolation.')


def test_root_without_its_strongest_right_has_bubblewrap(needs_bubblewrap: None) -> None:
    if os.getuid() != 0:
        unavailable("only root has rights to lose")
    command = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-all"]
    assert serve_under(command, "landlock") == "bubblewrap 42"


@pytest.mark.parametrize("options", [{"isolation": "jail"}, {"least_isolation": "auto"}, {"egress": "some"}])
def test_levels_that_do_not_exist_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(LocalPoolError, match=r"There is no (isolation|egress) '(jail|auto|some)': use"):
        LocalPool(**options)


@pytest.mark.parametrize("network", ["10.0.0.0/99", "example.com", "10.0.0.1:0"])
def test_networks_that_can_not_be_read_are_told(network: str) -> None:
    with pytest.raises(LocalPoolError, match="is not a network that sessions may reach: write it as"):
        LocalPool(egress=True, egress_allow=[network])


def test_the_profile_for_macos_names_all_that_is_allowed() -> None:
    profile = seatbelt.write_profile(["/opt/node"], ['/tmp/a "b"'], network=False)
    lines = profile.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert '(subpath "/opt/node")' in next(line for line in lines if line.startswith("(allow file-read* (sub"))
    assert '(subpath "/tmp/a \\"b\\"")' in next(line for line in lines if "file-write*" in line)
    assert "network" not in profile
    assert "(allow network*)" in seatbelt.write_profile([], [], network=True)


def test_macos_sandbox_is_for_macos() -> None:
    with pytest.raises(LocalPoolError, match="sandbox-exec: only macOS has it"):
        LocalPool(isolation="sandbox-exec").start()
