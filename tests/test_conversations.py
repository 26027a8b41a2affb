"""A session for each conversation: nobody reaches another one's, also under load, and each is given back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig

from aca_node_interpreter import LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.rest.client import SessionPoolClient

pytestmark = pytest.mark.usefixtures("pool")


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool() as running:
        yield running


@pytest.fixture
def executor(pool: LocalPool) -> Iterator[NodeSessionsCodeExecutor]:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as made:
        yield made


def thread(name: object) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def sessions(pool: LocalPool) -> int:
    with SessionPoolClient(pool.endpoint, token=pool.token) as client:
        return len(list(client.list_sessions()))


def test_each_thread_has_variables_and_files_of_its_own(executor: NodeSessionsCodeExecutor) -> None:
    for name in ("ada", "bob"):
        executor.invoke({"code": f"const me = '{name}'; fs.writeFileSync('/mnt/data/me.txt', me)"}, thread(name))
    for name in ("ada", "bob"):
        said = executor.invoke({"code": "[me, fs.readFileSync('me.txt', 'utf8')]"}, thread(name))
        assert said == f"=> [ '{name}', '{name}' ]"
        assert executor.execute("me", thread_id=name).value == name
    assert "me is not defined" in executor.invoke({"code": "me"})


async def test_the_asynchronous_face_does_the_same(executor: NodeSessionsCodeExecutor) -> None:
    await executor.ainvoke({"code": "const me = 1"}, thread("a"))
    assert await executor.ainvoke({"code": "me"}, thread("a")) == "=> 1"
    assert executor.invoke({"code": "me"}, thread("a")) == "=> 1"
    assert (await executor.aexecute("typeof me", thread_id="b")).value == "undefined"


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a ", "A", " a", "a\x00", "a\n"),
        ("1:x", ":1:x", "1", ":", "::"),
        ("\u00e9", "e\u0301", "\udc80", "\ud800", "?"),
        ("x" * 1000, "x" * 1001, "../x", "/x", "x/", "%2e"),
    ],
)
def test_names_that_are_made_to_collide_do_not(executor: NodeSessionsCodeExecutor, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        assert executor.invoke({"code": f"const before = typeof me; var me = {number}; before"}, thread(name)) == (
            "=> 'undefined'"
        )
    assert [executor.execute("me", thread_id=name).value for name in names] == list(range(len(names)))
    for name in names:
        executor.close(name)


async def test_two_users_hammer_one_object(executor: NodeSessionsCodeExecutor) -> None:
    chance = random.Random(3)  # noqa: S311  # any order will do
    runs = [(user, number) for number in range(40) for user in ("ada", "bob", "eve")]
    chance.shuffle(runs)

    async def one(user: str, number: int) -> None:
        code = f"globalThis.seen ??= []; seen.push('{user}'); if (seen.some(u => u !== '{user}')) throw 1; {number}"
        assert await executor.ainvoke({"code": code}, thread(user)) == f"=> {number}"

    await asyncio.gather(*(one(*each) for each in runs))
    for user in ("ada", "bob", "eve"):
        assert executor.execute("seen.length", thread_id=user).value == 40


def test_threads_of_the_machine_hammer_one_object(executor: NodeSessionsCodeExecutor) -> None:
    def one(number: int) -> Any:
        user = f"user-{number % 4}"
        return executor.execute(f"var n = (globalThis.n ?? 0) + 1; ['{user}', n]", thread_id=user).value

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(one, range(80)))
    for user in range(4):
        assert sorted(n for name, n in found if name == f"user-{user}") == list(range(1, 21))


def test_no_name_is_the_executors_own_conversation(executor: NodeSessionsCodeExecutor) -> None:
    executor.execute("const secret = 1")
    executor.execute("const theirs = 2", thread_id="")
    assert "secret is not defined" in executor.invoke({"code": "secret"}, thread(""))
    assert executor.invoke({"code": "theirs"}, thread("")) == "=> 2"
    executor.close("")
    assert executor.execute("[secret, typeof theirs]").value == [1, "undefined"]
    assert executor.execute("typeof theirs", thread_id="").value == "undefined"
    assert executor.conversation_of({}) is None


def test_several_event_loops_share_one_object(executor: NodeSessionsCodeExecutor) -> None:
    async def talk(name: str) -> list[Any]:
        code = f"await new Promise(resolve => setTimeout(resolve, 30)); '{name}'"
        return [(await executor.aexecute(code, thread_id=name)).value for _ in range(8)]

    names = ("ada", "bob", "cy")
    with ThreadPoolExecutor(len(names)) as threads:
        said = list(threads.map(lambda name: asyncio.run(talk(name)), names))
    assert said == [[name] * 8 for name in names]


async def test_calls_of_one_thread_run_in_order_and_those_of_others_beside_them(
    executor: NodeSessionsCodeExecutor,
) -> None:
    await asyncio.gather(*(executor.aexecute("globalThis.all = []", thread_id=name) for name in "ab"))
    code = "await new Promise(r => setTimeout(r, 100 - 10 * {0})); all.push({0})"
    calls = [executor.ainvoke({"code": code.format(number)}, thread(name)) for number in range(6) for name in "ab"]
    began = time.monotonic()
    await asyncio.gather(*calls)
    assert time.monotonic() - began < 2 * 6 * 0.1
    for name in "ab":
        assert (await executor.aexecute("all", thread_id=name)).value == list(range(6))


def test_the_scope_is_a_setting(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_scope="object") as executor:
        executor.invoke({"code": "var me = 1"}, thread("a"))
        assert executor.invoke({"code": "me"}, thread("b")) == "=> 1"

    def user_of(config: RunnableConfig) -> str:
        return str(config["configurable"]["user"])

    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_scope=user_of) as executor:
        executor.invoke({"code": "var me = 1"}, {"configurable": {"user": "ada", "thread_id": "1"}})
        assert executor.invoke({"code": "me"}, {"configurable": {"user": "ada", "thread_id": "2"}}) == "=> 1"
        assert "not defined" in executor.invoke({"code": "me"}, {"configurable": {"user": "bob", "thread_id": "1"}})
        with pytest.raises(ConfigurationError, match="session_scope"):
            executor.dump_component()


def test_replicas_with_one_secret_find_the_same_sessions(pool: LocalPool) -> None:
    def replica(secret: str) -> NodeSessionsCodeExecutor:
        return NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, session_secret=secret)

    with replica("correct horse battery") as one, replica("correct horse battery") as two, replica("x" * 20) as other:
        one.execute("var me = 1", thread_id="a")
        assert two.execute("me", thread_id="a").value == 1
        assert "not defined" in other.execute("me", thread_id="a").text
        # Each has a conversation of its own beside those that they share.
        one.execute("var own = 1")
        assert "not defined" in two.execute("own").text
    with replica("correct horse battery") as three:
        assert three.execute("me", thread_id="a").value == 1
        three.close("a")
    with replica("correct horse battery") as four:
        four.close("a")
        assert "not defined" in four.execute("me", thread_id="a").text
        four.close("a")
    assert "secret" not in repr(four) + str(four.dump_component())
    with pytest.raises(ConfigurationError, match="16 characters"):
        replica("short")


async def test_an_ended_conversation_gives_its_session_back(pool: LocalPool) -> None:
    before = sessions(pool)
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        for name in "abc":
            await executor.aexecute("var me = 1", thread_id=name)
        assert sessions(pool) == before + 3
        await executor.aclose("a")
        executor.close("b")
        await executor.aclose("never began")
        assert sessions(pool) == before + 1
        # It may go on, with nothing of what was.
        assert "not defined" in (await executor.aexecute("me", thread_id="a")).text
        assert (await executor.aexecute("me", thread_id="c")).value == 1
    assert sessions(pool) == before


async def test_ending_waits_for_the_run_and_whoever_comes_later_has_a_new_session(
    executor: NodeSessionsCodeExecutor,
) -> None:
    await executor.aexecute("var me = 1", thread_id="a")
    slow = "await new Promise(r => setTimeout(r, 200)); me"
    running = asyncio.ensure_future(executor.aexecute(slow, thread_id="a"))
    await asyncio.sleep(0.05)
    ending = asyncio.ensure_future(executor.aclose("a"))
    await asyncio.sleep(0)
    later = asyncio.ensure_future(executor.aexecute("typeof me", thread_id="a"))
    assert (await running).value == 1
    await ending
    assert (await later).value == "undefined"


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_ending_that_is_cancelled_leaves_no_session_behind(pool: LocalPool, is_cancelled: bool) -> None:
    before = sessions(pool)
    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
        await executor.aexecute("var me = 1", thread_id="a")
        slow = "await new Promise(resolve => setTimeout(resolve, 200))"
        running = asyncio.ensure_future(executor.aexecute(slow, thread_id="a"))
        await asyncio.sleep(0.05)
        ending = asyncio.ensure_future(executor.aclose("a"))
        await asyncio.sleep(0.05)
        if is_cancelled:
            with pytest.raises(ConfigurationError, match="asynchronous"):
                executor.close("a")
            ending.cancel()
        await asyncio.wait([running, ending])
        assert (await executor.aexecute("typeof me", thread_id="a")).value == (
            "number" if is_cancelled else "undefined"
        )
    assert sessions(pool) == before


def test_an_idle_conversation_gives_its_session_back_and_is_told(pool: LocalPool) -> None:
    before = sessions(pool)
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, idle_seconds=0.3) as executor:
        for name in "abc":
            executor.execute("var me = 1", thread_id=name)
        executor.execute("1")
        time.sleep(0.4)
        for _ in range(2):
            executor.execute("1", thread_id="d")
        assert sessions(pool) == before + 2
        run = executor.execute("typeof me", thread_id="a")
        assert run.value == "undefined"
        assert "given back" in run.text
        assert "given back" not in executor.execute("1", thread_id="a").text
    assert sessions(pool) == before


def test_what_was_ended_on_purpose_is_not_told_as_given_back(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, idle_seconds=0.3, rehydrate=True) as executor:
        executor.upload(b"x", name="in.txt", thread_id="a")
        time.sleep(0.4)
        executor.execute("1", thread_id="b")
        executor.close("a")
        run = executor.execute("fs.existsSync('/mnt/data/in.txt')", thread_id="a")
        assert (run.value, run.notes) == (False, ())


def test_uploads_of_an_idle_conversation_are_put_back(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, idle_seconds=0.3, rehydrate=True) as executor:
        executor.upload(b"x", name="in.txt", thread_id="a")
        time.sleep(0.4)
        executor.execute("1", thread_id="b")
        run = executor.execute("fs.readFileSync('/mnt/data/in.txt', 'utf8')", thread_id="a")
        assert run.value == "x"
        assert "put back: in.txt" in run.text


def test_a_replica_gives_back_nothing_that_others_may_use(pool: LocalPool) -> None:
    def replica() -> NodeSessionsCodeExecutor:
        return NodeSessionsCodeExecutor(
            pool.endpoint, token=pool.token, idle_seconds=0.3, session_secret="correct horse battery"
        )

    with replica() as one, replica() as two:
        one.execute("var me = 1", thread_id="idle-here")
        time.sleep(0.4)
        one.execute("1", thread_id="other")
        assert two.execute("me", thread_id="idle-here").value == 1
        run = one.execute("me", thread_id="idle-here")
        assert (run.value, run.notes) == (1, ())
        one.close("idle-here")
        one.close("other")


def test_a_long_run_is_no_idleness(pool: LocalPool) -> None:
    with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, idle_seconds=0.5) as executor:
        executor.execute("var me = 1; await new Promise(r => setTimeout(r, 700))", thread_id="a")
        executor.execute("1", thread_id="b")
        assert executor.execute("me", thread_id="a").value == 1


def test_nothing_of_a_session_is_told(executor: NodeSessionsCodeExecutor) -> None:
    call = ToolCall(name=executor.name, args={"code": "process.env"}, id="1", type="tool_call")
    message = executor.invoke(call, thread("thread-of-ada"))
    identifier = executor._runner._conversations.of("thread-of-ada").session.calls.session_id
    for secret in (identifier, identifier.removeprefix("node-"), "thread-of-ada", executor.token or "?"):
        assert secret not in message.content + repr(message.artifact) + repr(executor)
