"""The system-call filter of a session, as a program that the kernel runs before each call.

`build_filter` is pure: it turns the policy of `system_calls` into an array of `struct sock_filter`, for bubblewrap's
`--seccomp FD` and for `load`, which puts it on the calling process where there is no bubblewrap. A call of another
architecture (`int 0x80`) ends the process: its numbers mean other calls, and a program for which every call failed
could not even exit.

Sources: linux/seccomp.h, linux/audit.h and linux/filter.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .system_calls import (
    CONDITIONAL_REFUSALS,
    ENOSYS,
    FIRST_UNKNOWN,
    NO_ATTRIBUTES,
    NO_OWNERSHIP,
    NO_SCHEDULING,
    NO_SOCKETS,
    NUMBERS,
    REFUSALS,
    SOME_SOCKETS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .system_calls import Argument

_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST = 0x15, 0x35
# Offsets in struct seccomp_data; an argument's low half comes first, both machines being little-endian.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine: column of `NUMBERS`, AUDIT_ARCH_... of linux/audit.h."""


def build_filter(
    machine: str | None = None, *, sockets: bool, ownership: bool = True, scheduling: bool = True
) -> bytes:
    """Assemble the filter for a machine.

    Args:
        machine: `x86_64` or `aarch64`; left out, this one.
        sockets: allow `socket()` for Unix, IPv4, IPv6 and route netlink sockets, instead of none.
        ownership: let calls that change a file's mode, owner, times and attributes do so.
        scheduling: let calls that change how other processes are scheduled do so.

    Raises:
        ValueError: the list has no numbers for this machine.
    """
    machine = machine or os.uname().machine
    if machine not in _MACHINES:
        raise ValueError(f"There is no system-call filter for {machine}; there is one for {' and '.join(_MACHINES)}.")
    column, architecture = _MACHINES[machine]
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_IF_AT_LEAST, FIRST_UNKNOWN, 0, 1),
        _instruction(_RETURN, _ERRNO | ENOSYS),
    ]
    # Each check is complete in itself, so that no jump leaves it, and none comes near the 255 that fit into one.
    for _reason, error, calls in REFUSALS + (() if sockets else NO_SOCKETS) + (() if ownership else NO_OWNERSHIP):
        for call in calls:
            number = NUMBERS[call][column]
            if number is not None:
                program += _when_called(number, [_instruction(_RETURN, _ERRNO | error)])
    conditional = CONDITIONAL_REFUSALS + (SOME_SOCKETS if sockets else ())
    conditional += (() if ownership else NO_ATTRIBUTES) + (() if scheduling else NO_SCHEDULING)
    for _reason, error, call, arguments in conditional:
        number = NUMBERS[call][column]
        if number is not None:
            refusal = _when_all(arguments, [_instruction(_RETURN, _ERRNO | error)])
            # The tests of arguments overwrote the number that the checks to come want.
            program += _when_called(number, [*refusal, _instruction(_LOAD, _NUMBER)])
    return b"".join([*program, _instruction(_RETURN, _ALLOW)])


def _when_called(number: int, body: list[bytes]) -> list[bytes]:
    return [_instruction(_JUMP_IF_EQUAL, number, 0, len(body)), *body]


def _when_all(arguments: tuple[Argument, ...], body: list[bytes]) -> list[bytes]:
    for index, among, values, bits in reversed(arguments):
        tests = [_instruction(_LOAD, _ARGUMENTS + 8 * index), _instruction(_AND, bits)]
        for following in reversed(range(len(values))):
            value = values[len(values) - 1 - following]
            past_body = following + len(body)
            if among:
                tests.append(_instruction(_JUMP_IF_EQUAL, value, following, 0 if following else past_body))
            else:
                tests.append(_instruction(_JUMP_IF_EQUAL, value, past_body, 0))
        body = tests + body
    return body


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)


_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def load(program: bytes) -> None:
    """Put a filter on the calling thread and all that it starts from now on, for good; Linux only.

    It also gives up new privileges (set-user-ID programs), without which the kernel takes filters from root only.

    Raises:
        OSError: the kernel refused, or has no filters.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    argument = _Program(len(program) // 8, program)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(argument), 0, 0),
    ):
        if prctl(*call) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"The kernel refused the system-call filter: {os.strerror(error)}")
