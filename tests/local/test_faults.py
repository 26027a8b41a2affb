"""What the machine runs out of: the pool says so in typed answers, and goes on when there is some again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.machine import unavailable

PREPARE = """
import json, resource, sys, httpx
from aca_node_interpreter.local import LocalPool
def call(method, path, identifier, **options):
    params = {"identifier": identifier, "api-version": "2025-10-02-preview"}
    answer = http.request(method, path, params=params, **options)
    return answer.status_code, answer.json() if answer.content else None
def run(identifier, code="6 * 7"):
    return call("POST", "/executions", identifier, json={"code": code, "timeoutInSeconds": 20})
with LocalPool(isolation=sys.argv[1], ready_sessions=0) as pool:
    http = httpx.Client(base_url=pool.endpoint, headers={"Authorization": f"Bearer {pool.token}"}, timeout=60)
"""


def outcome(script: str, isolation: str, *, under: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a script with a pool in a process of its own; gives what it printed."""
    code = PREPARE + "".join(f"    {line}\n" for line in script.strip().splitlines())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*under, sys.executable, "-c", code, isolation]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_no_descriptors(isolation: str) -> None:
    seen = outcome(
        """
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
answers = []
while not answers or answers[-1][0] == 200:
    answers.append(run(f"session-{len(answers)}"))
for number in range(len(answers) - 1):
    assert call("DELETE", "/session", f"session-{number}")[0] == 204
print(json.dumps({"worked": len(answers) - 1, "failure": answers[-1], "after": run("new-session")}))
""",
        isolation,
    )
    assert seen["worked"] >= 3
    status, body = seen["failure"]
    assert (status, body["error"]["code"]) == (500, "SessionStartFailed")
    assert "Too many open files" in body["error"]["message"]
    assert seen["after"][1]["result"]["executionResult"] == "42"


def test_a_full_disk(isolation: str) -> None:
    if shutil.which("unshare") is None:
        unavailable("unshare is not on this machine")
    # A small disk that only this process and its children see.
    mount = 'mount -t tmpfs -o size=8m disk /mnt && export TMPDIR=/mnt && exec "$@"'
    seen = outcome(
        """
assert run("some-session")[0] == 200
uploads = [call("POST", "/files", "some-session", files={"file": (f"{n}.bin", bytes(1 << 20))}) for n in range(12)]
code = "fs.writeFileSync('/mnt/data/more.bin', Buffer.alloc(4 << 20))"
print(json.dumps({
    "uploads": uploads, "run": run("some-session", code), "other": run("other-session"),
    "removed": run("some-session", "fs.rmSync('/mnt/data/0.bin')"),
}))
""",
        isolation,
        under=("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"),
    )
    assert seen["uploads"][0][0] == 200
    status, body = seen["uploads"][-1]
    assert (status, body["error"]["code"]) == (500, "InternalServerError")
    assert body["error"]["message"] == "No space left on device"
    assert "ENOSPC" in seen["run"][1]["result"]["stderr"]
    assert seen["removed"][1]["status"] == "Succeeded"
    assert seen["other"][1]["result"]["executionResult"] == "42"


def test_the_helper_process_is_killed_and_a_new_one_takes_over(isolation: str) -> None:
    seen = outcome(
        """
import os, signal, pathlib
assert run("some-session")[0] == 200
children = pathlib.Path(f"/proc/self/task").glob("*/children")
for pid in [pid for file in children for pid in file.read_text().split()]:
    os.kill(int(pid), signal.SIGKILL)
print(json.dumps({"same": [run("some-session") for _ in range(3)], "other": run("other-session")}))
""",
        isolation,
    )
    # Its process takes a moment to die: the first run may still have it, and the second one be the one that loses it.
    answers = [body["result"]["executionResult"] or body["result"]["stderr"] for _status, body in seen["same"]]
    assert answers[-1] == "42"
    assert sorted(answers) in (["42", "42", "42"], ["42", "42", "Execution aborted"])
    assert seen["other"][1]["result"]["executionResult"] == "42"
