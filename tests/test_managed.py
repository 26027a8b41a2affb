"""Managed mode end to end, on the embedded pool and on genuine nel: one round trip, exactly once, nothing lost."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.errors import (
    ClientClosedError,
    ConfigurationError,
    PackageInstallError,
    ServiceUnreachableError,
    SessionLostError,
)
from aca_node_interpreter.javascript.prepared import Prepared
from aca_node_interpreter.running.conversations import OWN
from aca_node_interpreter.sessions import managed
from aca_node_interpreter.sessions.runs import Run
from tests.engine import Engine
from tests.fault_proxy import FaultProxy
from tests.faults import (
    Answer,
    CutReply,
    CutStreams,
    Duplicate,
    ForwardLate,
    ForwardThenAnswer,
    HoldReply,
    LoseLastLine,
    PassOn,
    Recycle,
    ResetBeforeForward,
    ResetBeforeReply,
    ResetDuringRequest,
    RestartKernel,
)

COUNTED = """
globalThis.count = (globalThis.count ?? 0) + 1;
fs.appendFileSync('/mnt/data/log.txt', 'ran\\n');
console.log('x'.repeat(10));
({count})
"""
"""It tells how often it ran in this session, by its value and by a file."""


class Conversation:
    """An executor behind a proxy; every run must be managed."""

    def __init__(self, proxy: FaultProxy, executor: NodeSessionsCodeExecutor) -> None:
        self.proxy = proxy
        self.executor = executor

    def run(self, code: str) -> Run:
        run = self.executor.execute(code)
        assert run.mode == "managed"
        return run

    @property
    def session_id(self) -> str:
        return self.executor._runner._conversations.of(OWN).session.calls.session_id

    def methods(self) -> list[tuple[str, str]]:
        """Return what was sent since the last time, and forget it."""
        seen: list[tuple[str, str]] = [(each.method, each.kind) for each in self.proxy.seen]
        self.proxy.seen.clear()
        return seen


@contextmanager
def conversation(engine: Engine, tmp_path: Path, **settings: Any) -> Iterator[Conversation]:
    with (
        FaultProxy(engine) as proxy,
        NodeSessionsCodeExecutor(
            proxy.endpoint, token=proxy.token, artifacts_dir=tmp_path / "artifacts", timeout=20, **settings
        ) as executor,
    ):
        yield Conversation(proxy, executor)


@pytest.fixture
def talk(engine: Engine, tmp_path: Path) -> Iterator[Conversation]:
    with conversation(engine, tmp_path) as opened:
        yield opened


# One round trip


def test_a_run_is_one_request_from_the_first_one_on(talk: Conversation) -> None:
    for code, value in (("const a = 1; a", 1), ("const a = 2; await a", 2), ("a + 1", 3)):
        assert talk.run(code).value == value
        assert talk.methods() == [("POST", "execution")]


def test_files_cost_one_download_each_and_no_listing(talk: Conversation) -> None:
    run = talk.run("for (const n of [1, 2, 3]) fs.writeFileSync(`/mnt/data/${n}.txt`, 'file ' + n)")
    assert [(each.name, each.read_bytes()) for each in run.artifacts] == [
        (f"{n}.txt", f"file {n}".encode()) for n in (1, 2, 3)
    ]
    assert sorted(talk.methods()) == [("GET", "download")] * 3 + [("POST", "execution")]
    changed = talk.run("fs.writeFileSync('/mnt/data/2.txt', 'more'); fs.unlinkSync('/mnt/data/1.txt')")
    assert ([each.name for each in changed.artifacts], changed.deleted) == (["2.txt"], ("1.txt",))
    assert "Files deleted: 1.txt" in changed.text


def test_an_upload_is_nobodys_artifact_until_a_run_changes_it(talk: Conversation) -> None:
    talk.executor.upload(b"a,b\n", name="in.csv")
    assert talk.run("fs.readFileSync('/mnt/data/in.csv', 'utf8')").artifacts == ()
    talk.executor.upload(b"between", name="two.csv")
    assert talk.run("fs.readFileSync('/mnt/data/two.csv', 'utf8')").artifacts == ()
    run = talk.run("fs.appendFileSync('/mnt/data/in.csv', '1,2')")
    assert [each.read_bytes() for each in run.artifacts] == [b"a,b\n1,2"]


# Exactly once


FAULTS: list[Any] = [
    ResetBeforeForward(),
    ResetDuringRequest(100),
    ResetBeforeReply(),
    Answer(502),
    Answer(503),
    ForwardThenAnswer(502),
    ForwardThenAnswer(504),
    CutReply(40, "length"),
    CutReply(-30, "chunks"),
    CutReply(0, "none"),
    CutStreams(20),
    LoseLastLine(),
    Duplicate(),
    ForwardLate(1),
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_fault_costs_neither_a_second_run_nor_the_result(talk: Conversation, fault: Any, first: bool) -> None:
    before = 0 if first else talk.run(COUNTED).value["count"]
    talk.proxy.plan(fault, kind="execution")
    run = talk.run(COUNTED)
    assert talk.proxy.planned == []
    assert (run.exit_code, run.value) == (0, {"count": before + 1})
    assert run.execution.stdout == "x" * 10 + "\n"
    assert run.artifacts[-1].read_bytes() == b"ran\n" * (before + 1)
    # Nothing arrives later, either.
    assert talk.run("count").value == before + 1


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_code_that_ends_its_process_does_not_run_again_in_the_next(talk: Conversation, first: bool) -> None:
    before = 0 if first else talk.run(COUNTED).value["count"]
    talk.proxy.plan(Duplicate(), kind="execution")
    run = talk.run(COUNTED + "; process.reallyExit(3)")
    assert run.exit_code != 0
    assert "its variables are gone" in run.text
    assert run.artifacts[-1].read_bytes() == b"ran\n" * (before + 1)
    assert talk.run("typeof count").value == "undefined"


@pytest.mark.parametrize("fault", [ResetBeforeReply(), CutReply(200, "length"), ForwardThenAnswer(502)], ids=repr)
def test_a_download_that_breaks_is_repeated(talk: Conversation, fault: Any) -> None:
    talk.proxy.plan(fault, kind="download")
    run = talk.run("fs.writeFileSync('/mnt/data/big.bin', Buffer.alloc(100_000, 7))")
    assert [each.sha256 for each in run.artifacts] == [hashlib.sha256(b"\7" * 100_000).hexdigest()]
    assert run.problems == ()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_thousands_of_runs_through_faults_at_random(talk: Conversation) -> None:
    chance = random.Random(7)  # noqa: S311  # any order will do
    ran, repeated = 0, 0
    for _ in range(1_500):
        faults = chance.choices(FAULTS, k=chance.choice((0, 1, 1, 2, 3)))
        talk.proxy.plan(*faults, kind="execution", skip=chance.randrange(2))
        run = talk.run("globalThis.ran = (globalThis.ran ?? 0) + 1; console.log('x'.repeat(ran % 50)); ran")
        ran += 1
        repeated += bool(run.notes)
        assert (run.value, run.execution.stdout) == (ran, "x" * (ran % 50) + "\n")
    print(f"{ran} runs, {len(talk.proxy.seen)} requests, {repeated} with a note")


def test_faults_in_a_row_are_outlived(talk: Conversation) -> None:
    talk.run("1")
    talk.proxy.plan(ResetBeforeReply(), Answer(503), CutStreams(10), ResetDuringRequest(10), kind="execution")
    assert talk.run(COUNTED).value == {"count": 1}


def test_a_reply_that_never_comes_is_asked_for(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aca_node_interpreter.rest.operations._RUN_MARGIN", 0.0)
    talk.run("1")
    talk.proxy.plan(HoldReply(8), kind="execution")
    flow = talk.executor._runner.perform(talk.executor._runner.run(COUNTED, timeout=1))
    assert (flow.value, flow.mode) == ({"count": 1}, "managed")


def test_fifty_megabytes_survive_streams_that_are_cut(talk: Conversation) -> None:
    talk.proxy.plan(CutStreams(4096), CutStreams(4096), kind="execution")
    run = talk.run("for (let i = 0; i < 50; i++) process.stdout.write('y'.repeat(1 << 20)); console.error('é'); 1")
    assert run.execution.stdout == "y" * (50 << 20)
    assert run.execution.stderr == "é\n"
    assert [each.name for each in run.artifacts] == ["output.txt"]


# A session that is gone


def test_only_what_lasts_is_said_to_be_in_the_background(talk: Conversation) -> None:
    assert talk.run("await require('fs').promises.readFile('/mnt/data/none')").notes == ()
    run = talk.run("require('http').createServer().listen(0, () => {}); 0")
    assert run.notes == ("Still running in the background: server.",)


@pytest.mark.parametrize(("fault", "lost"), [(Recycle(), "files are gone"), (RestartKernel(), "its files are there")])
def test_a_session_that_was_lost_between_runs_is_told(talk: Conversation, fault: Any, lost: str) -> None:
    talk.run("globalThis.kept = 1; fs.writeFileSync('/mnt/data/a', '1')")
    talk.proxy.plan(fault, kind="execution")
    run = talk.run("typeof kept")
    assert run.value == "undefined"
    assert len(run.notes) == 1
    assert lost in run.text
    assert talk.run("1").notes == ()


@pytest.mark.parametrize("fault", [Recycle(), RestartKernel()])
def test_files_that_could_not_be_listed_are_not_said_to_be_gone(talk: Conversation, fault: Any) -> None:
    talk.run("globalThis.kept = 1; fs.writeFileSync('/mnt/data/a', '1')")
    talk.proxy.plan(fault, kind="execution")
    talk.proxy.plan(*[Answer(503)] * 3, kind="list")
    run = talk.run("[typeof kept, fs.existsSync('/mnt/data/a')]")
    assert talk.proxy.planned == []
    assert run.value == ["undefined", isinstance(fault, RestartKernel)]
    assert len(run.notes) == 1
    assert "its files may be, too" in run.text


def test_uploads_that_were_lost_before_the_first_run_are_told(talk: Conversation) -> None:
    talk.executor.upload(b"x,y", name="in.csv")
    talk.proxy.plan(Recycle(), kind="execution")
    run = talk.run("fs.existsSync('/mnt/data/in.csv')")
    assert run.value is False
    assert "Uploaded files are gone" in run.text
    assert run.deleted == ("in.csv",)
    assert talk.run("1").notes == ()


def test_uploads_are_put_back_where_that_is_asked_for(engine: Engine, tmp_path: Path) -> None:
    with conversation(engine, tmp_path, rehydrate=True) as talk:
        talk.executor.upload(b"x,y", name="in.csv")
        (tmp_path / "other.txt").write_bytes(b"other")
        talk.executor.upload(tmp_path / "other.txt")
        talk.run("1")
        talk.proxy.plan(Recycle(), kind="execution")
        run = talk.run("['in.csv', 'other.txt'].map(f => fs.readFileSync('/mnt/data/' + f, 'utf8'))")
        assert run.value == ["x,y", "other"]
        assert "Uploaded files were put back: in.csv, other.txt." in run.text
        assert run.artifacts == ()


def test_a_session_lost_under_the_code_leaves_it_unknown(talk: Conversation) -> None:
    talk.run("1")
    talk.proxy.plan(Recycle(ResetBeforeReply()), kind="execution")
    # The pool answered that there is no runtime, and that answer was lost: then nobody knows.
    with pytest.raises(SessionLostError) as raised:
        talk.run(COUNTED)
    assert raised.value.ran is None
    assert talk.run("1").value == 1


def test_code_that_ends_its_process_is_told_with_what_it_printed(talk: Conversation) -> None:
    talk.run("globalThis.kept = 1")
    run = talk.run("fs.writeFileSync('/mnt/data/made.txt', '1'); console.log('before'); process.reallyExit(3)")
    assert run.exit_code != 0
    assert "its variables are gone" in run.text
    assert talk.run("typeof kept").value == "undefined"


def test_a_pool_that_stays_away_is_given_up(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "_PATIENCE", 0.5)
    talk.run("1")
    talk.proxy.plan(*[ResetBeforeReply()] * 50)
    with pytest.raises(ServiceUnreachableError) as raised:
        talk.run("globalThis.late = 1; fs.writeFileSync('/mnt/data/late.txt', '1')")
    assert raised.value.ran is None
    # What it made comes with the next answer.
    talk.proxy._plans.clear()
    assert [each.name for each in talk.run("late").artifacts] == ["late.txt"]


def test_a_record_that_can_not_be_fetched_harms_no_later_run(talk: Conversation) -> None:
    talk.run("globalThis.kept = 7")
    talk.proxy.plan(CutStreams(20), kind="execution")
    talk.proxy.plan(*[CutReply(-30, "length")] * 50, kind="download")
    with pytest.raises(ServiceUnreachableError) as raised:
        talk.run("globalThis.count = 1; console.log('x'.repeat(100))")
    assert raised.value.ran is True
    assert not isinstance(raised.value, SessionLostError)
    talk.proxy._plans.clear()
    assert talk.run("[kept, count]").value == [7, 1]


def test_after_a_loss_under_the_code_uploads_are_put_back(engine: Engine, tmp_path: Path) -> None:
    with conversation(engine, tmp_path, rehydrate=True) as talk:
        talk.executor.upload(b"x,y", name="in.csv")
        talk.run("1")
        talk.proxy.plan(Recycle(ResetBeforeReply()), kind="execution")
        with pytest.raises(SessionLostError):
            talk.run(COUNTED)
        assert talk.run("fs.readFileSync('/mnt/data/in.csv', 'utf8')").value == "x,y"


def test_a_file_that_a_run_deleted_is_not_missed_after_a_restart(talk: Conversation) -> None:
    talk.run("fs.writeFileSync('/mnt/data/a', '1'); fs.writeFileSync('/mnt/data/b', '1')")
    talk.run("fs.unlinkSync('/mnt/data/a')")
    talk.proxy.plan(RestartKernel(), kind="execution")
    assert "its files are there" in talk.run("1").text


def test_a_session_that_somebody_else_renewed_is_told_with_the_result(engine: Engine, tmp_path: Path) -> None:
    name = "shared-by-two-executors"
    with (
        conversation(engine, tmp_path, session_id=name) as one,
        conversation(engine, tmp_path, session_id=name) as other,
    ):
        one.run("globalThis.kept = 1")
        assert other.run("kept").value == 1
        engine.delete_session(name)
        one.run("1")
        run = other.run("typeof kept")
        assert run.value == "undefined"
        assert "variables" in run.text
        assert other.run("1").notes == ()


def test_the_first_code_of_a_session_is_repeated_a_few_times_only(talk: Conversation) -> None:
    for _ in range(4):
        talk.proxy.plan(ResetBeforeForward(), PassOn(), kind="execution")
    with pytest.raises(SessionLostError) as raised:
        talk.run(COUNTED)
    assert raised.value.ran is None


def test_a_client_that_was_closed_does_not_say_that_nothing_was_sent(talk: Conversation) -> None:
    talk.run("1")
    flow = talk.executor._runner._conversations.of(OWN).session._runtime.run(Prepared("1"), 5, cell=2)
    next(flow)
    flow.throw(ServiceUnreachableError("The connection broke.", ran=None))
    with pytest.raises(ServiceUnreachableError) as raised:
        flow.throw(ClientClosedError())
    assert raised.value.ran is None
    assert not isinstance(raised.value, ClientClosedError)


def test_files_of_every_run_that_was_given_up_come_with_the_next(talk: Conversation) -> None:
    talk.run("1")
    session = talk.executor._runner._conversations.of(OWN).session
    for name in ("a", "b"):
        code = Prepared(f"fs.writeFileSync('/mnt/data/{name}', '1')")
        flow = session._runtime.run(code, 5, cell=9)
        talk.executor._runner._connected(0).client._send(next(flow))  # type: ignore[arg-type]
        flow.close()  # as when its caller goes away
    assert sorted(each.name for each in talk.run("2").artifacts) == ["a", "b"]


def test_packages_are_asked_for_again_in_a_session_that_was_lost(engine: Engine) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, packages=("is-number",)) as executor:
        with pytest.raises(PackageInstallError, match="no network"):
            executor.execute("1")
        engine.delete_session(executor._runner._conversations.of(OWN).session.calls.session_id)
        with pytest.raises(PackageInstallError, match=r"no network[^$]*npm says:\n."):
            executor.execute("1")


def test_a_first_code_that_took_even_its_sign_along_is_not_run_again(talk: Conversation) -> None:
    talk.proxy.plan(LoseLastLine(), kind="execution")
    talk.run("fs.appendFileSync('/mnt/data/log.txt', 'ran'); process.reallyExit(3)")
    assert talk.run("fs.readFileSync('/mnt/data/log.txt', 'utf8')").value == "ran"


def test_a_restart_is_told_from_a_loss_where_listings_have_no_directories(engine: Engine, tmp_path: Path) -> None:
    with conversation(engine, tmp_path, api_version="2024-02-02-preview") as talk:
        talk.run(
            "fs.mkdirSync('/mnt/data/d'); fs.writeFileSync('/mnt/data/d/a', '1'); fs.writeFileSync('/mnt/data/b', '')"
        )
        talk.proxy.plan(RestartKernel(), kind="execution")
        assert "its files are there" in talk.run("1").text


def test_what_the_runtime_could_not_do_is_told(talk: Conversation) -> None:
    run = talk.run("fs.writeFileSync(Buffer.from('/mnt/data/caf\\xe9.txt', 'latin1'), 'x')")
    assert "A file's name is not UTF-8" in run.text


@pytest.mark.parametrize("timeout", [0, -1, 221, float("nan")])
def test_a_time_limit_that_can_not_work_is_refused(talk: Conversation, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        talk.executor._runner.perform(talk.executor._runner.run("1", timeout=timeout))
    assert talk.methods() == []


# Raw mode


def test_raw_mode_sends_code_as_it_is(engine: Engine, tmp_path: Path) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, mode="raw") as executor:
        run = executor.execute("const a = 1; a")
        assert (run.mode, run.text) == ("raw", "=> 1")
        assert "already been declared" in executor.execute("const a = 2").text


def test_raw_mode_takes_over_where_the_runtime_can_not_be_installed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aca_node_interpreter.javascript.packing.expression", lambda: "no runtime")
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token) as executor:
        first, second = executor.execute("This adds:\n```js\n1 + 1\n```"), executor.execute("2 + 2")
    assert (first.mode, first.execution.result, second.mode, second.text) == ("raw", "2", "raw", "=> 4")
    assert "can't be installed" in first.text
    assert len([record for record in caplog.records if "can't be installed" in record.message]) == 1


# Packages


def test_packages_are_installed_once_for_import_and_require(engine_with_egress: Engine, tmp_path: Path) -> None:
    with conversation(engine_with_egress, tmp_path, packages=("js-md5", "is-number@7")) as talk:
        run = talk.run("import md5 from 'js-md5'; [md5('a'), require('is-number')(5)]")
        assert run.value == ["0cc175b9c0f1b6a831c399e269772661", True]
        assert run.artifacts == ()
        talk.methods()
        talk.run("1")
        assert talk.methods() == [("POST", "execution")]


def test_packages_without_a_network_are_an_error_that_says_so(engine: Engine) -> None:
    with NodeSessionsCodeExecutor(engine.endpoint, token=engine.token, packages=("is-number",)) as executor:
        with pytest.raises(PackageInstallError, match=r"no network[^$]*npm says"):
            executor.execute("1")


def test_a_package_that_does_not_exist_is_npms_error(engine_with_egress: Engine) -> None:
    with NodeSessionsCodeExecutor(
        engine_with_egress.endpoint, token=engine_with_egress.token, packages=("is-number@99999",)
    ) as executor:
        with pytest.raises(PackageInstallError, match=r"ETARGET|No matching version"):
            executor.execute("1")


@pytest.mark.parametrize("package", ["--global", "../evil", "a b", "https://x/y.tgz", ""])
def test_what_is_no_package_is_refused(package: str) -> None:
    with pytest.raises(ValueError, match="no npm package"):
        NodeSessionsCodeExecutor(packages=(package,))


# What the session had when it ended


def test_a_session_that_ends_under_a_run_is_told_with_its_files(engine: Engine, talk: Conversation) -> None:
    talk.run("fs.writeFileSync('/mnt/data/a.txt', 'a')")
    ending = Timer(0.5, engine.delete_session, [talk.session_id])
    ending.start()
    run = talk.run("await new Promise(r => setTimeout(r, 10_000))")
    ending.join()
    assert run.exit_code == 1
    assert run.notes == ("The session ended with this run: its variables and files are gone.",)
    assert talk.run("fs.readdirSync('/mnt/data')").value == []


def test_a_process_that_ends_under_a_run_is_told_without_its_files(engine: Engine, talk: Conversation) -> None:
    talk.run("fs.writeFileSync('/mnt/data/a.txt', 'a')")
    ending = Timer(0.5, engine.restart_kernel, [talk.session_id])
    ending.start()
    run = talk.run("await new Promise(r => setTimeout(r, 10_000))")
    ending.join()
    assert run.notes == ("The session's Node.js ended with this run: its variables are gone.",)
    assert talk.run("fs.readdirSync('/mnt/data')").value == ["a.txt"]
