"""Which system calls a session is refused, and with which error: the policy of its filter, as data.

It is a deny list over an allow default: Node.js, npm, native add-ons, Python, git and curl are too many to list what
they need, and what the list takes away serves administration and attacks, not them. It adds to namespaces, dropped
capabilities and Landlock, and replaces none of them. A number that this list does not know, be it newer than the list
or of the x32 interface, fails with ENOSYS, as on a kernel without it: programs then fall back.

Sources: asm/unistd.h of Linux 6.1, and of 6.18 for later calls.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

# Linux's own error numbers, so that the bytes are the same wherever they are built.
EPERM = 1
EACCES = 13
ENOSYS = 38
EPROTONOSUPPORT = 93
EAFNOSUPPORT = 97

# Plain tuples: this module starts with every pool, and typed ones would treble the time to import it.
Refusal: TypeAlias = "tuple[str, int, tuple[str, ...]]"
"""Why, the error, and the calls that always fail with it."""

Argument: TypeAlias = "tuple[int, bool, tuple[int, ...], int]"
"""A test of a call's argument: its index, and whether its bits are one of the values or none of them, and which bits.

Only the low half is looked at. The kernel takes every argument that is tested here as 32 bits, so what a caller puts
into the high half has no effect, and must have none on the filter.
"""

ConditionalRefusal: TypeAlias = "tuple[str, int, str, tuple[Argument, ...]]"
"""Why, the error, and the call that fails with it when all arguments match."""


def _is(index: int, *values: int, bits: int = 0xFFFFFFFF) -> Argument:
    return index, True, values, bits


def _is_not(index: int, *values: int, bits: int = 0xFFFFFFFF) -> Argument:
    return index, False, values, bits


REFUSALS: tuple[Refusal, ...] = (
    (
        "New namespaces give a process capabilities in them, and so most of the kernel's attack surface.",
        EPERM,
        ("unshare", "setns"),
    ),
    (
        "A filter can't see clone3's flags, which lie in memory; the C library falls back to clone.",
        ENOSYS,
        ("clone3",),
    ),
    (
        "The view of the file system stays as it was made, by the old interface and the new one.",
        EPERM,
        (
            *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount"),
            *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
        ),
    ),
    (
        "Opens a file by its number, past every directory above it. (name_to_handle_at alone only tells the number.)",
        EPERM,
        ("open_by_handle_at",),
    ),
    (
        "No hand on the memory, the descriptors or the kernel objects of another process.",
        EPERM,
        (
            *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
            *("pidfd_getfd", "kcmp", "migrate_pages", "move_pages"),
        ),
    ),
    (
        "Rarely used, and again and again the way into the kernel.",
        EPERM,
        (
            *(
                "bpf",
                "perf_event_open",
                "userfaultfd",
                "fanotify_init",
                "fanotify_mark",
                "modify_ldt",
                "iopl",
                "ioperm",
            ),
            *("mbind", "set_mempolicy", "set_mempolicy_home_node", "uselib", "lookup_dcookie", "nfsservctl", "_sysctl"),
        ),
    ),
    (
        "Makes calls that no filter sees. libuv looks for it and does without.",
        ENOSYS,
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
    ),
    (
        "Memory taken out of the kernel's own map; next to nothing uses it, and some kernels lack it.",
        ENOSYS,
        ("memfd_secret",),
    ),
    (
        "Keys belong to a user, not to a namespace: the host's would be in reach.",
        EPERM,
        ("add_key", "request_key", "keyctl"),
    ),
    (
        "Without bubblewrap there is no namespace for them: the host's shared memory and queues would be in reach.",
        ENOSYS,
        (
            *("shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl"),
            *("msgget", "msgsnd", "msgrcv", "msgctl"),
            *("mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr"),
        ),
    ),
    (
        "Administration of the machine: its kernel, its swap, its quotas, its log, its names, its clock.",
        EPERM,
        (
            *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
            *("swapon", "swapoff", "quotactl", "quotactl_fd", "acct", "syslog", "vhangup"),
            *("sethostname", "setdomainname", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
        ),
    ),
)

# linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. CLONE_NEWTIME is clone3's only.
_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_TYPE_MASK = 1, 2, 0xF
_IPPROTO_IP, _IPPROTO_TCP, _IPPROTO_UDP, _NETLINK_ROUTE = 0, 6, 17, 0

CONDITIONAL_REFUSALS: tuple[ConditionalRefusal, ...] = (
    (
        "A new namespace; processes and threads stay allowed.",
        EPERM,
        "clone",
        (_is_not(0, 0, bits=_CLONE_NEW),),
    ),
    (
        "Types into the terminal that the pool was started from, or loads a kernel module that speaks on a line.",
        EPERM,
        "ioctl",
        (_is(1, _TIOCSTI, _TIOCLINUX, _TIOCSETD),),
    ),
    (
        "The way to turn off address randomisation; asking (0xffffffff) stays allowed.",
        EPERM,
        "personality",
        (_is_not(0, 0xFFFFFFFF),),
    ),
    (
        "The limits of other processes; 0 is the process itself.",
        EPERM,
        "prlimit64",
        (_is_not(0, 0),),
    ),
    (
        "Child processes of Node.js speak over such pairs; other families only create what they then refuse to pair.",
        EAFNOSUPPORT,
        "socketpair",
        (_is_not(0, _AF_UNIX),),
    ),
)

NO_SOCKETS: tuple[Refusal, ...] = (("No network, and no local service either.", EACCES, ("socket",)),)

NO_OWNERSHIP: tuple[Refusal, ...] = (
    (
        "Root owns the host's files, and Landlock does not look at their mode, owner, times and attributes. The calls "
        "succeed and do nothing, because programs that unpack or copy files give up when they fail.",
        0,
        (
            *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
            *("utime", "utimes", "futimesat", "utimensat"),
            *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
            *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
            "file_setattr",
        ),
    ),
)

# linux/fs.h, which `chattr` uses on files that it opened for reading only.
_FS_IOC_SETFLAGS, _FS_IOC_SETVERSION, _FS_IOC_FSSETXATTR = 0x40086602, 0x40087602, 0x401C5820

NO_ATTRIBUTES: tuple[ConditionalRefusal, ...] = (
    (
        "The same for a file's flags, such as immutable.",
        0,
        "ioctl",
        (_is(1, _FS_IOC_SETFLAGS, _FS_IOC_SETVERSION, _FS_IOC_FSSETXATTR),),
    ),
)

# linux/resource.h and linux/ioprio.h
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1

NO_SCHEDULING: tuple[ConditionalRefusal, ...] = (
    *(
        (
            "Without a process namespace the host's processes of the same user could be slowed down, the pool's own "
            "among them, and Landlock does not look; 0 is the calling thread itself.",
            EPERM,
            call,
            (_is_not(0, 0),),
        )
        for call in ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
    ),
    *(
        (
            "The same, where the first argument tells what the second one names: also groups and users.",
            EPERM,
            call,
            test,
        )
        for call, process in (("setpriority", _PRIO_PROCESS), ("ioprio_set", _IOPRIO_WHO_PROCESS))
        for test in ((_is_not(0, process),), (_is_not(1, 0),))
    ),
)

SOME_SOCKETS: tuple[ConditionalRefusal, ...] = (
    (
        "Other families (VSOCK, PACKET, ALG, BLUETOOTH, ...) lead past the network's rules or deep into the kernel.",
        EAFNOSUPPORT,
        "socket",
        (_is_not(0, _AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK),),
    ),
    (
        "Listing interfaces and addresses needs the route protocol; the others speak to the rest of the kernel.",
        EPROTONOSUPPORT,
        "socket",
        (_is(0, _AF_NETLINK), _is_not(2, _NETLINK_ROUTE)),
    ),
    (
        "Raw sockets forge packets.",
        EPERM,
        "socket",
        (
            _is(0, _AF_INET, _AF_INET6),
            _is_not(1, _SOCK_STREAM, _SOCK_DGRAM, bits=_SOCK_TYPE_MASK),
        ),
    ),
    (
        "SCTP, MPTCP and others are streams that rules for TCP, Landlock's for example, do not see.",
        EPROTONOSUPPORT,
        "socket",
        (
            _is(0, _AF_INET, _AF_INET6),
            _is_not(2, _IPPROTO_IP, _IPPROTO_TCP, _IPPROTO_UDP),
        ),
    ),
)

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # call: x86_64, aarch64
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "_sysctl": (156, None),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "open_by_handle_at": (304, 265),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmdt": (67, 197),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "personality": (135, 92),
    "prlimit64": (302, 261),
}

FIRST_UNKNOWN = 470
"""The number after the newest call that this list has considered (file_setattr of Linux 6.17), on both machines."""
