"""Files that a run made and that did not come: those that are there come with the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.local import faults
from aca_node_interpreter.rest.models import RemoteFile
from aca_node_interpreter.running.conversations import OWN


def test_a_file_that_came_broken_twice_comes_again_with_the_next_run(tmp_path: Path, isolation: Any) -> None:
    broken = faults.HalfBody(on="download", times=2)
    with LocalPool(isolation=isolation, faults=[broken]) as pool:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path) as executor:
            first = executor.execute("fs.writeFileSync('/mnt/data/a.txt', 'whole')")
            assert [problem.endswith("comes again with the next run") for problem in first.problems] == [True]
            assert [each.read_bytes() for each in first.artifacts] != [b"whole"]
            second = executor.execute("1")
            assert [each.read_bytes() for each in second.artifacts] == [b"whole"]
            assert second.problems == ()
            assert executor.execute("1").artifacts == ()


def test_a_file_that_is_gone_is_missed_once(tmp_path: Path, isolation: Any) -> None:
    with LocalPool(isolation=isolation) as pool:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=tmp_path) as executor:
            executor.execute("1")
            executor._runner._conversations.of(OWN).session._files.owed["gone.txt"] = RemoteFile("gone.txt", size=1)
            first = executor.execute("1")
            assert "gone.txt: The session pool has no such" in first.problems[0]
            assert executor.execute("1").problems == ()
