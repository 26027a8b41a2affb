"""What a session's file names become on the local disk and where they are read: code nobody trusts chose them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, count
from pathlib import PurePosixPath

_NAME_BYTES = 200  # most file systems take 255; this leaves room for a number
_SUFFIX_BYTES = 20
_DIRECTORY_BYTES = 500  # of all of a file's directories: a path may have 4,096 on Linux and 1,024 on macOS

# Windows takes these for devices, whatever follows the first dot.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[\d¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL
)
_FORBIDDEN = frozenset('<>:"/\\|?*')
# Letters and marks that show nothing, so that two names would look alike; what is not printable is not in here.
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164"
    r"\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def local_parts(path: str) -> list[str]:
    """Return the directories and the name that a file of a session has here; what lies very deep lies together."""
    *parents, leaf = [local_name(part) for part in path.split("/") if part] or ["file"]
    ends = accumulate(len(parent.encode()) + 1 for parent in parents)
    return [*(parent for parent, end in zip(parents, ends, strict=True) if end <= _DIRECTORY_BYTES), leaf]


def local_name(name: str) -> str:
    """Return a file name that every file system takes and nobody misreads, as close to the given one as can be."""
    if len(name) > 2 * _NAME_BYTES:
        name = name[:_NAME_BYTES] + name[-_NAME_BYTES:]
    # One spelling of a letter with an accent: other systems take the two for one name.
    name = _INVISIBLE.sub("_", unicodedata.normalize("NFC", name))
    safe = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in name).strip(" ").rstrip(". ")
    # A leading dot would hide it, and many programs read hidden files of the current directory as settings; what
    # begins with a hyphen is an option to those that get it with `*`.
    safe = f"_{safe[1:]}" if safe[:1] in (".", "-") else safe or "_"
    if len(safe.encode()) > _NAME_BYTES:
        suffix = PurePosixPath(safe).suffix
        suffix = suffix if len(suffix.encode()) <= _SUFFIX_BYTES else ""
        head = safe.encode()[: _NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore")
        safe = (head + suffix).rstrip(". ")
    return f"_{safe}" if _RESERVED.fullmatch(safe) else safe


def numbered(name: str) -> Iterator[str]:
    """Yield a name, and then the same with a number before its suffixes."""
    stem, dot, suffix = name.partition(".")
    yield name
    yield from (f"{stem}-{number}{dot}{suffix}" for number in count(2))


def folded(name: str) -> str:
    """Return what a name is compared by where upper and lower case, or two spellings of a letter, are one."""
    return unicodedata.normalize("NFC", name.casefold())


def printable(name: str) -> str:
    """Return a name on one line: code could otherwise forge lines of what a model or a person reads."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)
