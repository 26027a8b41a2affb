"""Runs that end badly: the service's words, and a next run that works."""

from __future__ import annotations

import concurrent.futures
import time

import pytest

from tests.local.remote import Remote

TIMED_OUT = "Request timed out waiting for code execution to complete"


@pytest.mark.parametrize("code", ["while (true) {}", "$$.async()", "new Promise(() => {}); $$.input()"])
def test_a_run_over_its_time_is_ended_and_what_it_printed_kept(remote: Remote, code: str) -> None:
    remote.value("var kept = 1; fs.writeFileSync('/mnt/data/kept.txt', '')")
    started = time.monotonic()
    run = remote.run(f"console.log('out'); console.error('err'); {code}", timeoutInSeconds=1)
    assert time.monotonic() - started < 5
    assert (run["status"], run["stdout"], run["stderr"]) == ("Failed", "out\n", f"err\n{TIMED_OUT}")
    assert run["executionTimeInMilliseconds"] >= 1000
    # Variables are gone, files stay.
    assert remote.value("typeof kept + fs.readdirSync('/mnt/data')") == "'undefinedkept.txt'"


def test_process_exit_says_so_at_once(remote: Remote) -> None:
    started = time.monotonic()
    run = remote.run("console.log('bye'); process.exit(1)")
    assert time.monotonic() - started < 5
    assert (run["status"], run["stdout"], run["stderr"]) == ("Failed", "bye\n", TIMED_OUT)
    assert remote.value("1") == "1"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("var hog = []; for (;;) hog.push(new Array(1e6).fill(1.5))", "JavaScript heap out of memory.\n"),
        ("process.abort()", ""),
        ("process.kill(process.pid, 'SIGKILL'); while (true) {}", ""),
    ],
)
def test_a_process_that_dies_is_replaced(remote: Remote, code: str, why: str) -> None:
    run = remote.run(f"console.log('last words'); {code}")
    assert (run["status"], run["stdout"], run["stderr"]) == ("Failed", "last words\n", f"{why}Execution aborted")
    assert remote.value("1+1") == "2"


FIND_PIPE = "var pipe = Number(process.execArgv.at(-1).match(/(\\d+)\\)$/)[1]);"


@pytest.mark.parametrize(
    "frame",
    [
        "Buffer.from('garbage that is no frame')",
        "Buffer.from([0x56, 0xff, 0xff, 0xff, 0xff])",
        "Buffer.from('V\\0\\0\\0\\x02[]')",
        "Buffer.from('V\\0\\0\\0\\x02{x')",
        "Buffer.from('L\\0\\0\\0\\x02{}')",
        """Buffer.from('V\\0\\0\\0\\x14{"id":-1,"end":true}')""",
        """Buffer.from('D\\0\\0\\0\\x0c{"mime":NaN}')""",
    ],
)
def test_a_forged_frame_ends_that_process_only(remote: Remote, frame: str) -> None:
    run = remote.run(f"{FIND_PIPE} fs.writeSync(pipe, {frame}); 5")
    assert (run["status"], run["stderr"]) == ("Failed", "Execution aborted")
    assert remote.value("2") == "2"


@pytest.mark.parametrize(
    "bundle",
    ["null", "[1]", "{}", '{"text/plain":[[1]]}', '{"image/png":{"a":1}}', '{"x":' + "[" * 500 + "]" * 500 + "}"],
)
def test_a_forged_result_of_its_own_run_is_answered(remote: Remote, bundle: str) -> None:
    remote.value("1")
    code = f"""{FIND_PIPE}
        var body = Buffer.from(JSON.stringify({{id: 3, end: true, mime: {bundle}}}));
        var head = Buffer.from('V\\0\\0\\0\\0'); head.writeUInt32BE(body.length, 1);
        fs.writeSync(pipe, Buffer.concat([head, body]));"""
    for _ in range(3):
        assert remote.run(code)["status"] in ("Succeeded", "Failed")
    assert remote.value("2") == "2"


def test_closing_the_pipes_ends_that_process_only(remote: Remote) -> None:
    run = remote.run(f"{FIND_PIPE} fs.closeSync(pipe); 1")
    assert (run["status"], run["stderr"]) == ("Failed", "Execution aborted")
    run = remote.run("process._getActiveHandles().forEach(handle => handle.destroy()); $$.async()")
    assert run["status"] == "Failed"
    assert remote.value("2") == "2"


def test_a_result_that_is_too_large_is_an_error_to_read(remote: Remote) -> None:
    run = remote.run("$$.text('x'.repeat(70_000_000))")
    assert run["status"] == "Failed"
    assert "RangeError: The result is larger than" in run["stderr"]
    assert remote.value("1") == "1"


def test_output_over_the_bound_is_dropped_and_memory_with_it(remote: Remote) -> None:
    run = remote.run(
        "for (let i = 0; i < 80; i++) process.stdout.write('x'.repeat(1 << 20)); 1", outputStreamsMaxLength=2**31 - 1
    )
    assert (run["status"], len(run["stdout"])) == ("Succeeded", 64 << 20)


def test_runs_of_one_session_wait_for_each_other(remote: Remote) -> None:
    remote.value("var order = []")
    code = "$$.async(); order.push('in'); setTimeout(() => { order.push('out'); $$.done() }, 50)"
    with concurrent.futures.ThreadPoolExecutor() as threads:
        runs = list(threads.map(lambda _: remote.run(code), range(4)))
    assert {run["status"] for run in runs} == {"Succeeded"}
    assert remote.value("order.join()") == f"'{','.join(['in,out'] * 4)}'"


def test_two_hundred_thousand_lines_take_about_a_second(remote: Remote) -> None:
    started = time.monotonic()
    run = remote.run("for (let i = 0; i < 200_000; i++) console.log(i)")
    assert run["stdout"].count("\n") == 200_000
    # Generous for a busy machine; it takes about 0.6.
    assert time.monotonic() - started < 8
