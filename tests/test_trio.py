"""The asynchronous client on trio; the frameworks know asyncio only, where the executor's blocking methods serve."""

from __future__ import annotations

import io
import time

import anyio.to_thread
import pytest
import trio

from aca_node_interpreter import AsyncSessionPoolClient, LocalPool, NodeSessionsCodeExecutor
from aca_node_interpreter.errors import DeadlineExceededError
from aca_node_interpreter.rest.flow import Batch, Compute, Download, Flow, Sleep
from aca_node_interpreter.rest.local_files import BoundedBuffer
from aca_node_interpreter.rest.operations import SessionCalls
from aca_node_interpreter.rest.patience import Deadline, Patience


def test_the_client_runs_code_and_moves_files(pool: LocalPool) -> None:
    async def main() -> None:
        async with AsyncSessionPoolClient(pool.endpoint, token=pool.token) as client:
            assert (await client.execute("1 + 1")).result == "2"
            assert (await client.execute("2", execution_type="Asynchronous")).result == "2"
            await client.upload_file(io.BytesIO(b"x" * 100_000), name="a.bin")
            sink = io.BytesIO()
            assert await client.download_file_to(sink, "a.bin") == 100_000
            assert [file.name for file in await client.list_files()] == ["a.bin"]
            await client.delete_session()

    trio.run(main)


def test_flows_and_deadlines_work(pool: LocalPool) -> None:
    calls = SessionCalls("a-session-on-trio")

    def flow() -> Flow[list[int]]:
        yield calls.execute("fs.writeFileSync('/mnt/data/a.txt', 'abc')")
        yield Sleep(0.01)
        assert (yield Compute(lambda: 1)) == 1
        sizes: list[int] = yield Batch([Download(calls.download_file("a.txt"), BoundedBuffer(9)) for _ in range(20)])
        return sizes

    def stalled() -> Flow[None]:
        yield calls.execute("for (const end = Date.now() + 3000; Date.now() < end;);")

    async def main() -> None:
        async with AsyncSessionPoolClient(pool.endpoint, token=pool.token) as client:
            assert await client.perform(flow()) == [3] * 20
            with pytest.raises(DeadlineExceededError):
                await client.perform(stalled(), Patience(Deadline.after(0.5)))
            with trio.move_on_after(0.2) as scope:
                await client.perform(stalled())
            assert scope.cancelled_caught
            await client.perform(ended())

    def ended() -> Flow[None]:
        yield calls.delete_session()

    trio.run(main)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_credential_is_asked_once_for_many(pool: LocalPool, is_async: bool) -> None:
    asked: list[str] = []

    def token() -> str:
        time.sleep(0.05)
        asked.append("once")
        return pool.token

    async def token_async() -> str:
        await trio.sleep(0.05)
        asked.append("once")
        return pool.token

    async def main() -> None:
        async with AsyncSessionPoolClient(pool.endpoint, credential=token_async if is_async else token) as client:
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(client.get_metadata)

    trio.run(main)
    assert asked == ["once"]


def test_the_executor_serves_from_a_thread(pool: LocalPool) -> None:
    async def main() -> None:
        with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token) as executor:
            run = await anyio.to_thread.run_sync(executor.execute, "var me = 1; me")
            assert run.value == 1

    trio.run(main)
