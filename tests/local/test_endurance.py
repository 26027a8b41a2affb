"""Thousands of sessions in a row leave nothing behind."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.isolation import cgroups, usage
from tests.local.remote import Remote, http_client

TOGETHER = 4


def standing() -> dict[str, int]:
    """Count what could leak: descriptors and threads of this process, memory and processes of it and its helper."""
    time.sleep(1.5)  # the last ones end, new ones get ready
    gc.collect()
    helpers = usage.measure(os.getpid())
    place = cgroups.find()
    groups = (
        [group for directory in place.directories for group in directory.glob(f"aca-node-{os.getpid()}-*")]
        if place
        else []
    )
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "processes": helpers.processes,
        "mebibytes": helpers.memory >> 20,
        "groups": len(groups),
    }


def use_many(pool: LocalPool, count: int) -> None:
    def use(numbers: range) -> None:
        with http_client(pool) as http:
            for number in numbers:
                session = Remote(http, f"session-{number}")
                assert (
                    session.value("fs.writeFileSync('/mnt/data/a.txt', 'x'.repeat(1000)); console.log(1); 6 * 7")
                    == "42"
                )
                assert session.call("DELETE", "/session", version="2025-10-02-preview").status_code == 204

    with ThreadPoolExecutor(TOGETHER) as threads:
        list(threads.map(use, [range(start, count, TOGETHER) for start in range(TOGETHER)]))


def check(isolation: Any, *, before: int, more: int, mebibytes: int) -> None:
    with LocalPool(isolation=isolation, ready_sessions=TOGETHER) as pool:
        use_many(pool, before)
        first = standing()
        use_many(pool, more)
        last = standing()
    print(f"\n{before} sessions: {first}\n{more} more: {last}")
    assert last["mebibytes"] - first["mebibytes"] <= mebibytes
    assert last["groups"] <= first["groups"]
    for what in ("descriptors", "threads"):
        assert last[what] - first[what] <= 3, what
    assert last["processes"] - first["processes"] <= 20


def test_a_hundred_sessions_leave_nothing(isolation: Any) -> None:
    check(isolation, before=20, more=100, mebibytes=120)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_sessions_leave_nothing(isolation: Any) -> None:
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    check(isolation, before=500, more=10_000, mebibytes=60)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_utime - started:.0f} s of processor time")
