"""`NodeSessionsCodeExecutor`: one object that is AutoGen's `CodeExecutor` and LangChain's `BaseTool`.

Both faces do the same thing through `SessionRunner` and differ only in what they are given and hand back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, TypeVar

from autogen_core import CancellationToken, Component
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from . import approval, prompts, telemetry
from .approval import Approve
from .artifacts import Artifact
from .errors import AcaNodeError, ConfigurationError
from .langchain.call_order import CallOrder, Runtime, place_of, with_runtime
from .langchain.repeated_calls import RepeatedCalls, call_id, key_of, made_by
from .langchain.results import Content, ToolArtifact, artifact_of, content_of, slim
from .policy import Policy
from .rest.flow import Compute, Flow
from .rest.models import MAX_UPLOAD_BYTES, RemoteFile
from .rest.operations import CURRENT_API
from .rest.patience import NEVER, Deadline
from .running.conversations import OWN, Key
from .running.review import Review, Submission
from .running.runner import SessionRunner
from .running.settings import Settings
from .secrecy import StaysHere
from .sessions.packages import checked
from .sessions.runs import Limits, Run
from .sessions.session import Session

T = TypeVar("T")
N = TypeVar("N", int, float)


# For whoever calls the function itself, past LangChain.
_NO_CONFIG: RunnableConfig = {}


class RunJavaScript(BaseModel):
    """What a model fills in."""

    code: str = Field(description=prompts.CODE_DESCRIPTION)


class NodeSessionsConfig(BaseModel):
    """What `dump_component` writes: no token, no credential, no session identifier."""

    # A setting that is misspelt must not be one that is missing.
    model_config = ConfigDict(extra="forbid")

    pool_management_endpoint: str | None = None
    timeout: float = 60
    artifacts_dir: str | None = None
    keep_artifacts: bool = False
    egress: bool | Literal["host"] = False
    isolation: Literal["auto", "bubblewrap", "landlock", "sandbox-exec", "none"] = "auto"
    api_version: str = CURRENT_API
    max_artifact_bytes: int = 100 * 1024 * 1024
    max_artifacts: int = 100
    max_output_chars: int = 16_000
    mode: Literal["managed", "raw"] = "managed"
    packages: list[str] = Field(default_factory=list)
    rehydrate: bool = False
    session_scope: Literal["thread", "object"] = "thread"
    idle_seconds: float = 900
    deadline: float = 300
    max_concurrent_sessions: int | None = None
    show_progress: bool = False
    return_images: bool = False
    policy: Policy | None = None


@dataclass
class NodeCodeResult(CodeResult):
    """AutoGen's `CodeResult` with what its two fields can't hold."""

    artifacts: list[Artifact] = field(default_factory=list)
    """Files that the blocks created or changed, saved on this machine; `output` names them too."""
    values: list[Any] = field(default_factory=list)
    """For each block that ran, the value of its last expression; see `Execution.result`."""


class NodeSessionsCodeExecutor(StaysHere, BaseTool, CodeExecutor, Component[NodeSessionsConfig]):
    """Run a model's JavaScript with Node.js in an Azure Container Apps session pool.

    It is a code executor for AutoGen and a tool for LangChain. Without an endpoint it takes the one in the environment
    variable `ACA_POOL_MANAGEMENT_ENDPOINT`, and without that the embedded pool: real Node.js on this machine.
    A session keeps variables and files. As LangChain's tool, each thread has one of its own
    (`config["configurable"]["thread_id"]`); without a thread, and as AutoGen's code executor, all runs of the object
    share one.

    Args:
        pool_management_endpoint: the session pool's management endpoint.
        credential: anything with `get_token`, or a function that returns a token, sync or async; by default
            `azure.identity.DefaultAzureCredential`.
        session_id: an existing session to go on with. Without it the session is new, and ended by `stop` and `close`.
            Threads have sessions of their own all the same.
        timeout: seconds that one run may take, at most 220.
        artifacts_dir: where files that runs make are saved; no file in it is overwritten. Without it they lie in a
            temporary directory that `stop` and `close` remove.
        keep_artifacts: leave that temporary directory where it is.
        egress: embedded pool only: let the code reach the outside, but neither this machine nor private networks;
            `"host"` gives it all that this machine itself reaches.
        isolation: embedded pool only: `auto` is the strongest that works here, or an error; `none` runs the model's
            code on this machine without a sandbox.
        token: a ready token instead of a credential, such as an embedded pool's.
        api_version: of the service's REST API.
        max_artifact_bytes: the largest file to bring back.
        max_artifacts: the largest number of files to bring back from one run.
        max_output_chars: how much text a model gets to read; the whole is then saved as an artifact.
        mode: `managed` lets a model write JavaScript and TypeScript as it likes; `raw` sends code exactly as it is
            to the kernel.
        packages: npm packages that every run finds, such as `["axios", "zod@3"]`; the session needs egress for them.
        rehydrate: put uploaded files back into a session that was lost.
        session_scope: who shares a session: `thread`, each thread has one; `object`, all runs of this object share one;
            or a function of LangChain's config that names the conversation, such as the user together with the thread.
        session_secret: at least 16 characters from which, with the conversation's name, session identifiers are worked
            out. Replicas that have the same secret and pool find the same sessions, and leave them alive when they
            close. Without it, identifiers mean something to this object alone.
        idle_seconds: a conversation without a run for that long gives its session back, as soon as another one runs.
        deadline: seconds that a call may take in all: waiting for its turn and for a session, the run, and its files.
            A run gets less than its `timeout` where not enough is left.
        max_concurrent_sessions: how many sessions may be in use at a time. Conversations beyond that wait, in order,
            until one is idle, whose session is then given back: the least recently used first. A full pool is waited
            for in the same way. A session passed as `session_id` counts while it is used; idle, it makes room and is
            left alive, so that the pool may have one session more.
        show_progress: show how far transfers of large or many files are, in a terminal or a notebook.
        return_images: as LangChain's tool, show the model the last few pictures that a run made, beside the text. They
            become part of the conversation, and of its checkpoints. The model must take pictures in tool results, which
            OpenAI's do with `ChatOpenAI(use_responses_api=True)`.
        policy: what code may use, checked before it is sent and stated to the model: a guard rail, not the sandbox.
        approve: asked before code runs, with a `Proposal`: it returns `True`, `False`, or why not in words for the
            model, and may be asynchronous, for asynchronous calls only. What it raises, the caller gets. Nothing is
            held while it takes its time but the later texts of the same conversation. A LangGraph tool call may
            `interrupt` in it. It can't be written down with the component.
        **tool_settings: any other field of LangChain's `BaseTool`.

    Raises:
        ConfigurationError: the endpoint, the session id or the timeout can't work.
    """

    SUPPORTED_LANGUAGES: ClassVar[tuple[str, ...]] = prompts.LANGUAGES
    """For `CodeExecutorAgent(supported_languages=list(...))`, which otherwise runs only Python and shell."""
    SYSTEM_MESSAGE: ClassVar[str] = prompts.SYSTEM_MESSAGE
    """For `CodeExecutorAgent(system_message=...)`; with a policy, pass the executor's own `system_message`."""

    component_type: ClassVar[str] = "code_executor"
    # AutoGen declares it without ClassVar, and pydantic would take that for a field.
    component_config_schema: ClassVar[type[NodeSessionsConfig]] = NodeSessionsConfig  # type: ignore[misc]
    component_provider_override: ClassVar[str] = "aca_node_interpreter.NodeSessionsCodeExecutor"
    component_description: ClassVar[str] = "Runs JavaScript with Node.js in an Azure Container Apps session pool."

    # A misspelt setting must not pass in silence, and the error must not show what may be a secret.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = "node_interpreter"
    description: str = prompts.TOOL_DESCRIPTION
    args_schema: type[BaseModel] = RunJavaScript
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    metadata: dict[str, Any] | None = Field(default_factory=lambda: {"ls_code_input_language": "javascript"})

    # Frozen: the session is opened with them, and a change would do nothing.
    pool_management_endpoint: str | None = Field(default=None, frozen=True)
    credential: Any = Field(default=None, exclude=True, repr=False, frozen=True)
    session_id: str | None = Field(default=None, exclude=True, repr=False, frozen=True)
    timeout: float = Field(default=60, frozen=True)
    artifacts_dir: Path | None = Field(default=None, frozen=True)
    keep_artifacts: bool = Field(default=False, frozen=True)
    egress: bool | Literal["host"] = Field(default=False, frozen=True)
    isolation: Literal["auto", "bubblewrap", "landlock", "sandbox-exec", "none"] = Field(default="auto", frozen=True)
    token: str | None = Field(default=None, exclude=True, repr=False, frozen=True)
    api_version: str = Field(default=CURRENT_API, frozen=True)
    max_artifact_bytes: int = Field(default=100 * 1024 * 1024, ge=0, frozen=True)
    max_artifacts: int = Field(default=100, ge=0, frozen=True)
    max_output_chars: int = Field(default=16_000, ge=200, frozen=True)
    mode: Literal["managed", "raw"] = Field(default="managed", frozen=True)
    packages: tuple[str, ...] = Field(default=(), frozen=True)
    rehydrate: bool = Field(default=False, frozen=True)
    session_scope: Literal["thread", "object"] | Callable[[RunnableConfig], str | None] = Field(
        default="thread", frozen=True
    )
    session_secret: str | None = Field(default=None, exclude=True, repr=False, frozen=True)
    idle_seconds: float = Field(default=900, frozen=True)
    deadline: float = Field(default=300, frozen=True)
    max_concurrent_sessions: int | None = Field(default=None, frozen=True)
    show_progress: bool = Field(default=False, frozen=True)
    return_images: bool = False
    policy: Policy | None = Field(default=None, frozen=True)
    approve: Approve | None = Field(default=None, exclude=True, repr=False, frozen=True)

    _runner: SessionRunner = PrivateAttr()
    _calls: RepeatedCalls = PrivateAttr(default_factory=RepeatedCalls)
    _order: CallOrder = PrivateAttr(default_factory=CallOrder)
    _review: Review | None = PrivateAttr(default=None)

    def __init__(
        self,
        pool_management_endpoint: str | None = None,
        credential: Any = None,
        session_id: str | None = None,
        timeout: float = 60,
        artifacts_dir: str | Path | None = None,
        **tool_settings: Any,
    ) -> None:
        super().__init__(
            pool_management_endpoint=pool_management_endpoint,
            credential=credential,
            session_id=session_id,
            timeout=timeout,
            artifacts_dir=artifacts_dir,
            **tool_settings,
        )
        self.description = self.stating_rules(self.description)
        policy = self.policy or Policy()
        if self.policy is not None or self.approve is not None:
            self._review = Review(policy, self.approve, self.mode)
        self._runner = SessionRunner(
            Settings(
                endpoint=self.pool_management_endpoint,
                credential=self.credential,
                token=self.token,
                api_version=self.api_version,
                timeout=_lower(self.timeout, policy.timeout),
                artifacts_dir=self.artifacts_dir,
                keep_artifacts=self.keep_artifacts,
                egress=self.egress,
                isolation=self.isolation,
                max_artifact_bytes=_lower(self.max_artifact_bytes, policy.max_artifact_bytes),
                max_upload_bytes=_lower(MAX_UPLOAD_BYTES, policy.max_upload_bytes),
                limits=Limits(
                    artifacts=_lower(self.max_artifacts, policy.max_artifacts), output_chars=self.max_output_chars
                ),
                mode=self.mode,
                packages=checked(self.packages),
                rehydrate=self.rehydrate,
                session_secret=self.session_secret,
                idle_seconds=self.idle_seconds,
                deadline=self.deadline,
                max_concurrent_sessions=self.max_concurrent_sessions,
                show_progress=self.show_progress,
            ),
            self.session_id,
        )

    @property
    def artifacts_path(self) -> Path:
        """The directory that artifacts are saved in."""
        return self._runner.artifacts_path

    @property
    def artifacts(self) -> list[Artifact]:
        """The files that runs and downloads saved, the oldest first; the last 1,000, and none of a thread's.

        AutoGen's messages carry only text; `aca_node_interpreter.autogen.artifacts_of` picks those of one task.
        """
        return self._runner.artifacts

    @property
    def system_message(self) -> str:
        """For `CodeExecutorAgent(system_message=...)`: `SYSTEM_MESSAGE`, and what the policy adds to it."""
        return self.stating_rules(self.SYSTEM_MESSAGE)

    def stating_rules(self, text: str) -> str:
        """Return what a model is told with the rules of the policy added, where it does not have them yet."""
        rules = [self.policy.words] if self.policy is not None else []
        if self.approve is not None:
            rules.append(approval.RULE)
        return prompts.with_rules(text, "\n".join(filter(None, rules)))

    # AutoGen's face

    async def execute_code_blocks(
        self, code_blocks: list[CodeBlock], cancellation_token: CancellationToken
    ) -> NodeCodeResult:
        """Run blocks in order in the session, up to the first that fails.

        The exit code is 0, 1 when a block failed or is in another language, 124 when it was stopped at its time limit.

        Raises:
            ValueError: there are no blocks.
            asyncio.CancelledError: the token was cancelled; the service may still be running the code.
            AcaNodeError: the call failed, not the code.
        """
        if not code_blocks:
            raise ConfigurationError("There are no code blocks to run.")
        running = asyncio.ensure_future(self._run_blocks(code_blocks))
        cancellation_token.link_future(running)
        return await running

    async def start(self) -> None:
        """Open now what the first run would open: the embedded pool, or a connection to the session pool."""
        await self._runner.start()

    async def stop(self) -> None:
        """End the session (unless it was passed in) and release everything that was opened."""
        await self._runner.aclose()

    async def restart(self) -> None:
        """Go on with a new, empty session."""
        await self._runner.aend(OWN)

    def _to_config(self) -> NodeSessionsConfig:
        if callable(self.session_scope):
            raise ConfigurationError("A function as session_scope can't be written down: make the executor in code.")
        if self.approve is not None:
            # Without it, code would run that nobody approved.
            raise ConfigurationError("A function as approve can't be written down: make the executor in code.")
        values = self.model_dump(include=set(NodeSessionsConfig.model_fields))
        directory, packages = values.pop("artifacts_dir"), list(values.pop("packages"))
        return NodeSessionsConfig(
            artifacts_dir=None if directory is None else str(directory), packages=packages, **values
        )

    @classmethod
    def _from_config(cls, config: NodeSessionsConfig) -> Self:
        return cls(**config.model_dump())

    # LangChain's face

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `BaseTool.run` does, and note which of the model's tool calls it is."""
        with made_by(kwargs.get("tool_call_id")):
            return super().run(*args, **kwargs)

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `run` does, without holding up the event loop."""
        with made_by(kwargs.get("tool_call_id")):
            return await super().arun(*args, **kwargs)

    def conversation_of(self, config: RunnableConfig) -> str | None:
        """Name the conversation that a call with this config belongs to, as other methods' `thread_id` takes it."""
        if self.session_scope == "object":
            return OWN
        if callable(self.session_scope):
            return _key(self.session_scope(config))
        return _key((config.get("configurable") or {}).get("thread_id"))

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """Return what a graph looks at to find out what the tool wants of it; the model sees `args_schema`."""
        return with_runtime(self.args_schema)

    def _run(
        self,
        code: str,
        config: RunnableConfig = _NO_CONFIG,
        runtime: Runtime = None,
        run_manager: CallbackManagerForToolRun | None = None,
    ) -> tuple[Content, ToolArtifact]:
        try:
            with self._told():
                flow_of, submission = self._call(code, config)
                run = self.perform(flow_of, config, runtime, submission=submission)
        except AcaNodeError as error:
            raise ToolException(str(error)) from error
        return self._content_and_artifact(run)

    async def _arun(
        self,
        code: str,
        config: RunnableConfig = _NO_CONFIG,
        runtime: Runtime = None,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
    ) -> tuple[Content, ToolArtifact]:
        try:
            with self._told():
                flow_of, submission = self._call(code, config)
                run = await self.aperform(flow_of, config, runtime, submission=submission)
        except AcaNodeError as error:
            raise ToolException(str(error)) from error
        # Pictures are read from the disk.
        if self.return_images:
            return await asyncio.to_thread(self._content_and_artifact, run)
        return self._content_and_artifact(run)

    async def func(self, code: str) -> str:
        """Return what a model reads of a run: AutoGen's adapter for LangChain tools would show it `_run`'s pair."""
        content: Content = await self.ainvoke({"code": code})
        return content if isinstance(content, str) else str(content[0].get("text"))

    def perform(
        self,
        flow_of: Callable[[Session], Flow[T]],
        config: RunnableConfig,
        runtime: Any = None,
        *,
        submission: Submission | None = None,
    ) -> T:
        """Do something in the session of a tool call's conversation, in its turn.

        Where a graph makes the call and passes `runtime`, calls that stand before it in the model's message go first.
        A `submission` is reviewed before.
        """
        conversation = self.conversation_of(config)
        # Nobody knows how long the persons think who are asked about the calls before.
        deadline = Deadline.after(self.deadline) if self.approve is None else None
        after = self._order.in_order(place_of(runtime, conversation, self.name), deadline or NEVER)
        return self._runner.perform(flow_of, conversation, after=after, deadline=deadline, submission=submission)

    async def aperform(
        self,
        flow_of: Callable[[Session], Flow[T]],
        config: RunnableConfig,
        runtime: Any = None,
        *,
        submission: Submission | None = None,
    ) -> T:
        """Do what `perform` does, without holding up the event loop."""
        conversation = self.conversation_of(config)
        async with self._order.in_order_async(place_of(runtime, conversation, self.name)):
            return await self._runner.aperform(flow_of, conversation, submission=submission)

    def fetched(self, path: str) -> Callable[[Session], Flow[Artifact]]:
        """Return what brings back a file of a session's `/mnt/data`, for `perform`."""
        return self._runner.fetch(path)

    def _told(self) -> AbstractContextManager[None]:
        """Have a call told to whoever collects telemetry."""
        return telemetry.call(self.name, call_id())

    def _call(self, code: str, config: RunnableConfig) -> tuple[Callable[[Session], Flow[Run]], Submission | None]:
        """Return what a tool call is to do, and what is to be reviewed before."""
        conversation = self.conversation_of(config)
        key = key_of(config.get("configurable") or {}, conversation, code)
        submission = self._submission(code, conversation, is_known=lambda: self._calls.knows(key))
        run = self._runner.run(submission or code)

        def slimmed(session: Session) -> Flow[Run]:
            whole = yield from run(session)
            is_long = isinstance(whole.value, (dict, list))
            short: Run = yield Compute(lambda: slim(whole, self.max_output_chars), is_long=is_long)
            return short

        return self._calls.once(key, slimmed), submission

    def _submission(
        self, code: str, conversation: Key, *, language: str = "", is_known: Callable[[], bool] = bool
    ) -> Submission | None:
        """Return what is to be reviewed of a run."""
        if not isinstance(code, str):
            raise ConfigurationError(f"Code is text, and this is a {type(code).__name__}: pass a str.")
        if self._review is None:
            return None
        return Submission(self._review, code, language=language, conversation=conversation, is_known=is_known)

    def _content_and_artifact(self, run: Run) -> tuple[Content, ToolArtifact]:
        text = run.text or prompts.NO_OUTPUT
        return content_of(text, run.pictures() if self.return_images else ()), artifact_of(run)

    # For the program that uses either

    def execute(self, code: str, *, thread_id: str | None = None) -> Run:
        """Run code and return all that came of it; raises `AcaNodeError` only when the call failed, not the code.

        `thread_id` names a conversation, which has a session of its own.
        """
        conversation = _key(thread_id)
        submission = self._submission(code, conversation)
        with self._told():
            return self._runner.perform(self._runner.run(submission or code), conversation, submission=submission)

    async def aexecute(self, code: str, *, thread_id: str | None = None) -> Run:
        """Do what `execute` does, without holding up the event loop."""
        conversation = _key(thread_id)
        submission = self._submission(code, conversation)
        flow_of = self._runner.run(submission or code)
        with self._told():
            return await self._runner.aperform(flow_of, conversation, submission=submission)

    def upload(
        self, source: Any, *, name: str | None = None, path: str | None = None, thread_id: str | None = None
    ) -> list[RemoteFile]:
        """Put files into the session's `/mnt/data`, before or between runs.

        Args:
            source: a path, bytes, an open binary file, a data frame (pandas or polars, as CSV; an index that has a name
                comes along), or a directory with all that lies in it, except links, `node_modules` and what is hidden.
            name: what to call it there; needed for bytes.
            path: the directory below `/mnt/data`.
            thread_id: the conversation.

        Raises:
            UploadError: some of several files could not be uploaded; for a single one it is the error itself.
        """
        return self._runner.perform(lambda session: session.upload(source, name=name, path=path), _key(thread_id))

    async def aupload(
        self, source: Any, *, name: str | None = None, path: str | None = None, thread_id: str | None = None
    ) -> list[RemoteFile]:
        """Do what `upload` does, without holding up the event loop."""
        return await self._runner.aperform(
            lambda session: session.upload(source, name=name, path=path), _key(thread_id)
        )

    def list_files(self, *, thread_id: str | None = None) -> list[RemoteFile]:
        """List what is in the session's `/mnt/data`, without what is hidden and installed packages."""
        return self._runner.perform(Session.files, _key(thread_id))

    async def alist_files(self, *, thread_id: str | None = None) -> list[RemoteFile]:
        """Do what `list_files` does, without holding up the event loop."""
        return await self._runner.aperform(Session.files, _key(thread_id))

    def describe_files(self, *, thread_id: str | None = None) -> str:
        """Say what is in the session's `/mnt/data` in a few words, for a prompt; of uploads also what they hold."""
        return self._runner.perform(Session.described, _key(thread_id))

    async def adescribe_files(self, *, thread_id: str | None = None) -> str:
        """Do what `describe_files` does, without holding up the event loop."""
        return await self._runner.aperform(Session.described, _key(thread_id))

    def download(self, path: str, *, thread_id: str | None = None) -> Artifact:
        """Bring back a file of the session's `/mnt/data`, whoever put it there, as an artifact.

        Raises:
            NotFoundError: there is none.
        """
        return self._runner.perform(self.fetched(path), _key(thread_id))

    async def adownload(self, path: str, *, thread_id: str | None = None) -> Artifact:
        """Do what `download` does, without holding up the event loop."""
        return await self._runner.aperform(self.fetched(path), _key(thread_id))

    def close(self, thread_id: str | None = None) -> None:
        """Do what `stop` does, for programs without an event loop; or end one conversation and its session only."""
        if thread_id is None:
            self._runner.close()
        else:
            self._runner.end(_key(thread_id))

    async def aclose(self, thread_id: str | None = None) -> None:
        """Do what `close` does, without holding up the event loop."""
        if thread_id is None:
            await self._runner.aclose()
        else:
            await self._runner.aend(_key(thread_id))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the settings; a copy has a session and connections of its own."""
        settings = {name: getattr(self, name) for name in type(self).model_fields if name != "session_id"}
        return type(self)(**settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _run_blocks(self, blocks: Sequence[CodeBlock]) -> NodeCodeResult:
        result = NodeCodeResult(exit_code=0, output="")
        outputs: list[str] = []
        left = self.max_output_chars
        for block in blocks:
            refusal = _refusal(block)
            if refusal:
                result.exit_code = 1
                outputs.append(refusal)
                break
            submission = self._submission(block.code, OWN, language=block.language)
            flow_of = self._runner.run(submission or block.code, output_chars=left, language=block.language)
            with self._told():
                run = await self._runner.aperform(flow_of, submission=submission)
            left = max(200, left - len(run.text))
            result.exit_code = run.exit_code
            result.artifacts += run.artifacts
            result.values.append(run.execution.result)
            outputs.append(run.text)
            if run.exit_code:
                break
        result.output = "\n".join(text for text in outputs if text)
        return result


def _lower(own: N, limit: N | None) -> N:
    return own if limit is None else min(own, limit)


def _key(name: object) -> Key:
    return OWN if name is None else str(name)


def _refusal(block: CodeBlock) -> str:
    """Say why a block can't run; empty when it can."""
    if block.language.strip().lower() not in prompts.LANGUAGES:
        return f"unknown language {block.language!r}: write JavaScript in a ```javascript block."
    return "" if block.code.strip() else "The code block is empty."
