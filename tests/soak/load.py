"""The load of the soak: threads and event loops that do one thing after another with whichever conversation is free."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from queue import Empty, Queue
from typing import Any

from autogen_core import CancellationToken

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.errors import AcaNodeError, ConfigurationError, NotFoundError
from tests.soak import code, faces
from tests.soak.faces import WordsOnlyError
from tests.soak.ledger import Conversation, Ledger, Result

_ENDLESS = ("for (;;) {}", "await new Promise(() => setInterval(() => {}, 1000));")
# The runtime makes an exit of the first.
_ENDS = (
    "process.kill(process.pid, 'SIGKILL');",
    "require('child_process').execSync(`kill -9 ${process.pid}`);",
)
_SIZES = (0, 10, 4096, 200_000)
# What a run does, and how often.
_DOES = {
    "tells": 6,
    "writes": 6,
    "waits": 3,
    "prints much": 1,
    "TypeScript": 2,
    "is refused": 0.5,
    "endless": 0.4,
    "exits": 1,
    "kills its process": 0.4,
    "throws": 1,
}
_CALLS = {"run": 20, "LangChain": 5, "upload": 3, "download": 2, "list": 1, "close": 1.5, "close another's": 0.7}
_ASYNC_CALLS = {**_CALLS, "AutoGen": 3, "crowd": 2, "cancel": 5, "cancel by token": 1, "cancel the close": 0.5}


class Load:
    """Everything that goes on at a time.

    Args:
        conversations: those that are used, each by one thread or task at a time.
        ledger: what is known of them.
        neighbour: makes an executor that is closed at once.
        seed: where chance starts.
    """

    def __init__(
        self,
        conversations: Sequence[Conversation],
        ledger: Ledger,
        neighbour: Callable[[], NodeSessionsCodeExecutor],
        seed: int,
    ) -> None:
        self._all = conversations
        self._ledger = ledger
        self._neighbour = neighbour
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._free: Queue[Conversation] = Queue()
        self._threads: list[threading.Thread] = []

    def go_on(self, seconds: float, *, threads: int = 3, loops: int = 2, tasks: int = 4) -> None:
        """Do things for so many seconds, and until the last of them is done."""
        self._stopping.clear()
        for each in self._chance.sample(self._all, len(self._all)):
            self._free.put(each)
        works: list[tuple[Callable[..., None], int]] = [(self._in_thread, 0)] * threads + [
            (self._in_loop, tasks)
        ] * loops
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, self._chance.random(), count), name="soak")
            for work, count in [*works, (self._beside, 0)]
        ]
        for thread in self._threads:
            thread.start()
        self._stopping.wait(seconds)
        self._stopping.set()
        for thread in self._threads:
            thread.join(180)
            if thread.is_alive():
                raise TimeoutError("something hangs")
        while not self._free.empty():
            self._free.get()

    def _guarded(self, work: Callable[..., None], seed: float, count: int) -> None:
        try:
            work(random.Random(seed), count)
        except BaseException as error:
            self._ledger.violated(f"{type(error).__name__}: {error}")
            self._stopping.set()
            raise

    # --- a thread ---

    def _in_thread(self, chance: random.Random, _: int) -> None:
        while not self._stopping.is_set():
            try:
                talk = self._free.get(timeout=0.2)
            except Empty:
                continue
            try:
                for _ in range(chance.randint(1, 5)):
                    self._do(talk, chance)
            finally:
                self._free.put(talk)

    def _do(self, talk: Conversation, chance: random.Random) -> None:
        call = _one_of(_CALLS, chance) if not talk.is_long else "close"
        self._ledger.count(call)
        executor, name = talk.executor, talk.name
        if call == "run":
            number, text = self._code(talk, chance)
            self._checked(talk, number, lambda: faces.of_run(executor.execute(text, thread_id=name)))
        elif call == "LangChain":
            number, text = self._code(talk, chance)
            made = faces.tool_call(executor, text, number)
            self._checked(talk, number, lambda: faces.of_message(executor.invoke(made, faces.config(name))))
        elif call == "upload":
            new = code.file_name("u", self._ledger.number(), chance.choice(_SIZES))
            if self._tried(lambda: executor.upload(code.content_of(new), name=new, thread_id=name)):
                talk.uploaded(new)
        elif call == "download":
            wanted = chance.choice(talk.uploads or ["u-0-1.bin"])
            self._fetched(talk, wanted, lambda: executor.download(wanted, thread_id=name).read_bytes())
        elif call == "list":
            self._tried(lambda: executor.list_files(thread_id=name))
        else:
            other = talk if call == "close" else chance.choice(self._all)
            if other.name is not None:
                with other.closing():
                    self._tried(lambda: other.executor.close(other.name))

    def _checked(self, talk: Conversation, number: int, call: Callable[[], Result]) -> None:
        try:
            talk.succeeded(number, call())
        except WordsOnlyError as error:
            talk.failed_in_words(number, str(error))
        except AcaNodeError as error:
            self._failed(error)
            talk.failed(number, error)

    def _tried(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except AcaNodeError as error:
            self._failed(error)
            return False
        return True

    def _fetched(self, talk: Conversation, wanted: str, call: Callable[[], bytes]) -> None:
        try:
            self._compare(wanted, call())
        except NotFoundError:
            talk.not_found(wanted)
        except AcaNodeError as error:
            self._failed(error)

    def _compare(self, wanted: str, content: bytes) -> None:
        if content != code.content_of(wanted):
            self._ledger.violated(f"{wanted} came with {len(content)} other bytes")

    def _failed(self, error: AcaNodeError) -> None:
        self._ledger.count(type(error).__name__)
        # A thread's call can't stop an event loop here, so this would be a mistake.
        if isinstance(error, ConfigurationError):
            self._ledger.violated(str(error))

    def _code(self, talk: Conversation, chance: random.Random) -> tuple[int, str]:
        """Return a run's number and code."""
        number, does = self._ledger.number(), _one_of(_DOES, chance)
        self._ledger.count(does)
        if does == "endless":
            return number, code.begun(number) + chance.choice(_ENDLESS)
        if does == "kills its process":
            return number, code.begun(number) + chance.choice(_ENDS)
        between = {
            "waits": f"await new Promise(r => setTimeout(r, {chance.randint(0, 400)}));",
            "prints much": f"console.log('x'.repeat({chance.choice((5000, 3_000_000))}));",
            "TypeScript": "interface Point { x: number }\nconst point: Point = { x: 1 } as const;",
            "is refused": "enum Colour { Red }",
            "exits": f"process.on('exit', () => {{}}); if ({number} % 2) process.exit({number} % 3);",
            "throws": f"if ({number} % 2) throw new Error('{number}');",
        }.get(does, "")
        if does == "writes":
            new = code.file_name("a", number, chance.choice(_SIZES))
            talk.writes(number, new)
            between = code.writing(new)
        return number, code.whole(number, between)

    # --- an event loop ---

    def _in_loop(self, chance: random.Random, tasks: int) -> None:
        while not self._stopping.is_set():
            end = time.monotonic() + chance.uniform(2, 10)
            asyncio.run(self._tasks(chance, tasks, end))

    async def _tasks(self, chance: random.Random, tasks: int, end: float) -> None:
        async def work() -> None:
            while time.monotonic() < end and not self._stopping.is_set():
                try:
                    talk = self._free.get_nowait()
                except Empty:
                    await asyncio.sleep(0.1)
                    continue
                try:
                    for _ in range(chance.randint(1, 5)):
                        await self._ado(talk, chance)
                finally:
                    self._free.put(talk)

        await asyncio.gather(*(work() for _ in range(tasks)))

    async def _ado(self, talk: Conversation, chance: random.Random) -> None:
        call = _one_of(_ASYNC_CALLS, chance) if not talk.is_long else "close"
        if (call in ("AutoGen", "cancel by token")) != (talk.name is None):
            call = chance.choice(("AutoGen", "cancel by token")) if talk.name is None else "run"
        self._ledger.count(call)
        executor, name = talk.executor, talk.name
        if call == "upload":
            new = code.file_name("u", self._ledger.number(), chance.choice(_SIZES))
            if await self._atried(executor.aupload(code.content_of(new), name=new, thread_id=name)):
                talk.uploaded(new)
        elif call == "download":
            wanted = chance.choice(talk.uploads or ["u-0-1.bin"])
            await self._afetched(talk, wanted)
        elif call == "list":
            await self._atried(executor.alist_files(thread_id=name))
        elif call in ("close", "close another's", "cancel the close"):
            other = chance.choice(self._all) if call == "close another's" else talk
            if other.name is not None:
                with other.closing():
                    closing = asyncio.ensure_future(self._atried(other.executor.aclose(other.name)))
                    if call == "cancel the close":
                        await self._cancelled(closing, chance)
                    else:
                        await closing
        elif call == "crowd":
            # They go in the order in which they are asked for, and are to be checked in it.
            runs = [self._code(talk, chance) for _ in range(3)]
            outcomes = await asyncio.gather(
                *(self._outcome(executor.aexecute(text, thread_id=name)) for _, text in runs)
            )
            for (number, _), outcome in zip(runs, outcomes, strict=True):
                self._note(talk, number, outcome)
        else:
            number, text = self._code(talk, chance)
            await self._arun(talk, number, text, call, chance)

    async def _arun(self, talk: Conversation, number: int, text: str, call: str, chance: random.Random) -> None:
        executor, name, token = talk.executor, talk.name, CancellationToken()
        work: Coroutine[Any, Any, Result]
        if call in ("AutoGen", "cancel by token"):
            work = faces.run_blocks(executor, text, token)
        elif call == "LangChain":

            async def invoke() -> Result:
                made = faces.tool_call(executor, text, number)
                return faces.of_message(await executor.ainvoke(made, faces.config(name)))

            work = invoke()
        else:

            async def run() -> Result:
                return faces.of_run(await executor.aexecute(text, thread_id=name))

            work = run()
        running = asyncio.ensure_future(self._outcome(work))
        if call == "cancel by token":
            await asyncio.wait([running], timeout=_moment(chance))
            token.cancel()
        elif call == "cancel":
            await self._cancelled(running, chance)
            if running.cancelled():
                return
        self._note(talk, number, await running)

    async def _outcome(self, work: Awaitable[Any]) -> Any:
        try:
            result = await work
        except (AcaNodeError, WordsOnlyError) as error:
            return error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            if hasattr(task, "cancelling") and task.cancelling():
                raise
            return None
        return result if isinstance(result, Result) else faces.of_run(result)

    def _note(self, talk: Conversation, number: int, outcome: Any) -> None:
        if isinstance(outcome, Result):
            talk.succeeded(number, outcome)
        elif isinstance(outcome, WordsOnlyError):
            talk.failed_in_words(number, str(outcome))
        elif outcome is not None:
            self._failed(outcome)
            talk.failed(number, outcome)

    async def _cancelled(self, task: asyncio.Future[Any], chance: random.Random) -> None:
        await asyncio.wait([task], timeout=_moment(chance))
        task.cancel()
        began = time.monotonic()
        await asyncio.wait([task])
        if time.monotonic() - began > 10:
            self._ledger.violated(f"a cancelled call went on for {time.monotonic() - began:.0f} s")

    async def _atried(self, call: Awaitable[object]) -> bool:
        try:
            await call
        except AcaNodeError as error:
            self._failed(error)
            return False
        return True

    async def _afetched(self, talk: Conversation, wanted: str) -> None:
        try:
            artifact = await talk.executor.adownload(wanted, thread_id=talk.name)
            self._compare(wanted, artifact.read_bytes())
        except NotFoundError:
            talk.not_found(wanted)
        except AcaNodeError as error:
            self._failed(error)

    # --- beside them ---

    def _beside(self, chance: random.Random, _: int) -> None:
        """Open and close executors of their own."""
        while not self._stopping.wait(chance.uniform(0, 1)):
            how = chance.choice(("start", "nothing", "run", "closed while it runs", "two closings"))
            self._ledger.count(f"another executor: {how}")
            asyncio.run(self._open_and_close(how, chance))

    async def _open_and_close(self, how: str, chance: random.Random) -> None:
        executor = self._neighbour()
        if how == "start":
            await self._atried(executor.start())
        elif how in ("run", "two closings"):
            await self._atried(executor.aexecute(code.whole(self._ledger.number())))
        running = []
        if how == "closed while it runs":
            running = [
                asyncio.ensure_future(self._atried(executor.aexecute("await 1", thread_id=str(each))))
                for each in range(3)
            ]
            await asyncio.sleep(_moment(chance))
        await asyncio.gather(*(executor.aclose() for _ in range(1 + (how == "two closings"))))
        if running:
            await asyncio.wait(running, timeout=30)
        if not all(each.done() for each in running):
            self._ledger.violated("a call goes on after its executor was closed")


def _one_of(weights: dict[str, float], chance: random.Random) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _moment(chance: random.Random) -> float:
    # Often at once, now and then late.
    return chance.random() ** 3 * 1.5
