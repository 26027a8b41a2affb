"""`aca-node`: the same things for a person at a terminal. It holds no logic of its own."""

from __future__ import annotations

import io
import json
import logging
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from .errors import AcaNodeError, ConfigurationError
from .local_names import local_name, printable
from .terminal import write_message, write_output

if TYPE_CHECKING:
    from .local import LocalPool
    from .rest.client import SessionPoolClient

app = typer.Typer(
    help="Run JavaScript in Azure Container Apps session pools, or in one embedded here.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # one of them is the token
)
files = typer.Typer(help="List, fetch and send the files of a session.", no_args_is_help=True)
app.add_typer(files, name="files")


class Isolation(str, Enum):
    """What stands between code and this machine."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    SANDBOX_EXEC = "sandbox-exec"
    NONE = "none"


class LeastIsolation(str, Enum):
    """What `auto` must not go below."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    NONE = "none"


# typer reads these at run time, where Python 3.10 needs Optional for what is written as X | None elsewhere.
Endpoint = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(envvar="ACA_POOL_MANAGEMENT_ENDPOINT", help="The pool's management endpoint."),
]
Token = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="A ready token; else ACA_POOL_TOKEN for a loopback endpoint, your Azure sign-in for others."),
]
SessionId = Annotated[str, typer.Option("--session", envvar="ACA_SESSION_ID", help="The session's identifier.")]


def _print_version(is_asked_for: bool) -> None:
    """Print the version and end, before typer loads what the other options need."""
    if is_asked_for:
        from ._version import version as installed

        typer.echo(f"aca-node {installed()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Run JavaScript in Azure Container Apps session pools, or in one embedded here."""
    # Without a sign-in it logs pages; the error says what to do.
    logging.getLogger("azure.identity").addHandler(logging.NullHandler())


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where to leave the files that come back.")] = Path("aca-node-demo"),
) -> None:
    """Walk through Azure's NodeLTS tutorial on the embedded pool, then through both agent faces."""
    with _told():
        from .demo import show

        show(output)


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="A JavaScript file, or - for standard input.")],
    endpoint: Endpoint = None,
    token: Token = None,
    session: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(envvar="ACA_SESSION_ID", help="Go on with this session, and leave it alive."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the run may take, at most 220.")] = 60,
    artifacts: Annotated[Path, typer.Option(help="Where to save files that the run makes.")] = Path(),
    egress: Annotated[bool, typer.Option("--egress", help="Embedded pool: let the code reach the network.")] = False,
    isolation: Annotated[Isolation, typer.Option(help="Embedded pool: `none` means no sandbox.")] = Isolation.AUTO,
    package: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="npm package to install first, such as zod@3; may be repeated."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send the code exactly as it is to the service's kernel.")] = False,
) -> None:
    """Run JavaScript or TypeScript and print its output; ends with its exit code. Files that it makes are saved.

    A terminal gets control characters of the output spelled out, but for colours; a pipe gets the output as it is.
    """
    with _told():
        from .running.runner import SessionRunner
        from .running.settings import Settings
        from .sessions.output import value_text
        from .sessions.packages import checked

        with _local_file(file, "Name a JavaScript file that is there, or - for standard input."):
            code = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        settings = Settings(
            endpoint=endpoint,
            token=token,
            timeout=timeout,
            artifacts_dir=artifacts,
            egress=egress,
            isolation=isolation.value,
            mode="raw" if raw else "managed",
            packages=checked(package or ()),
        )
        runner = SessionRunner(settings, session)
        try:
            outcome = runner.perform(runner.run(code))
        finally:
            runner.close()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer letters than the code printed
    execution = outcome.execution
    write_output(execution.stdout, sys.stdout)
    if value := value_text(execution.result):
        write_output(f"{value}\n", sys.stdout)
    write_output(execution.stderr and execution.stderr.rstrip("\n") + "\n", sys.stderr)
    for artifact in outcome.artifacts:
        write_message(printable(f"saved {artifact.path}"))
    for problem in outcome.problems:
        write_message(printable(f"not saved: {problem}"))
    for note in outcome.notes:
        write_message(printable(f"note: {note}"))
    raise typer.Exit(outcome.exit_code)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="A free one if 0.", min=0, max=65535)] = 0,
    socket: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Listen on a Unix socket at this path instead, to which only you can connect."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print endpoint, token and more as a line of JSON.")] = False,
    egress: Annotated[bool, typer.Option("--egress", help="Let the code reach the outside.")] = False,
    egress_allow: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A network of the inside that egress reaches, too, such as 10.1.2.3:5432. May be repeated."),
    ] = None,
    isolation: Annotated[Isolation, typer.Option(help="`none` runs code without a sandbox.")] = Isolation.AUTO,
    least_isolation: Annotated[
        LeastIsolation, typer.Option(help="What `auto` must not go below.")
    ] = LeastIsolation.LANDLOCK,
    behaviour: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="How to answer where the service is unknown, such as exit=hangs. May be repeated."),
    ] = None,
    fault: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="What goes wrong on purpose, such as reset,on=execute,times=1. May be repeated."),
    ] = None,
    max_sessions: Annotated[int, typer.Option(help="Identifiers with a session at the same time.", min=1)] = 64,
    ready_sessions: Annotated[int, typer.Option(help="Started sessions that wait for an identifier.", min=0)] = 1,
    cooldown: Annotated[float, typer.Option(help="Seconds after which an idle session ends.", min=1)] = 300,
) -> None:
    """Serve the embedded session pool, on loopback or a Unix socket, until Ctrl-C."""
    with _told():
        from .local import Behaviour, LocalPool
        from .local.faults import Fault

        with LocalPool(
            port=port,
            socket=socket,
            egress=egress,
            egress_allow=egress_allow or (),
            isolation=isolation.value,
            least_isolation=least_isolation.value,
            behaviour=Behaviour.parse(behaviour or ()),
            faults=map(Fault.parse, fault or ()),
            max_sessions=max_sessions,
            ready_sessions=ready_sessions,
            cooldown=cooldown,
        ) as pool:
            # Whoever reads what is printed may end the pool at once.
            ended = _ended_by_signal()
            if as_json:
                page = ("inspector",) if socket is None else ()
                told = ("endpoint", "token", "token_file", *page, "isolation", "egress")
                print(json.dumps({name: str(getattr(pool, name)) for name in told}), flush=True)
            else:
                typer.echo(_greeting(pool, socket))
            while not ended.wait(1):  # a bounded wait lets Windows deliver Ctrl-C
                pass


@app.command()
def doctor(
    endpoint: Endpoint = None,
    token: Token = None,
    api_version: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Ask the pool in this one instead of the package's default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as one object of JSON.")] = False,
) -> None:
    """Find what is wrong with this machine and with the session pool that is named, and say the fix.

    Without a pool it tries the embedded one, and nothing leaves this machine. A pool is sent a short run, which tries
    to connect to nodejs.org and whose session is then deleted. Ends with 1 when code can't run.
    """
    from .doctor import examine
    from .rest.operations import CURRENT_API

    findings = []
    for finding in examine(endpoint, token=token, api_version=CURRENT_API if api_version is None else api_version):
        findings.append(finding)
        if not as_json:
            mark = "ok  " if finding.ok else "FAIL" if finding.failed else "--  "
            write_message(f"{mark} {finding.what:21} {finding.words}", to_stderr=False)
            for at, line in enumerate(finding.fix.splitlines()):
                write_message(f"{'' if at else 'fix:':>25}  {line}", to_stderr=False)
    works = not any(finding.failed for finding in findings)
    if as_json:
        typer.echo(json.dumps({"works": works, "findings": [finding.as_json() for finding in findings]}, indent=2))
    raise typer.Exit(0 if works else 1)


@files.command("ls")
def list_files(
    session: SessionId,
    path: Annotated[str, typer.Argument(help="A directory below /mnt/data.")] = "",
    endpoint: Endpoint = None,
    token: Token = None,
) -> None:
    """List a directory of the session; characters of a name that can't be printed are spelled out."""
    with _connected(endpoint, token, session) as client:
        for file in client.list_files(path):
            shown = printable(file.path)
            write_message(f"{file.size:>12,}  {shown}{'/' if file.is_directory else ''}", to_stderr=False)


@files.command("get")
def get_file(
    session: SessionId,
    path: Annotated[str, typer.Argument(help="A file below /mnt/data.")],
    to: Annotated[Path, typer.Option(help="A local file or directory.")] = Path(),
    endpoint: Endpoint = None,
    token: Token = None,
) -> None:
    """Fetch a file of the session."""
    directory, _, name = path.rpartition("/")
    fix = "Let --to name a directory that is there, or a file in one, where you may write."
    with _connected(endpoint, token, session) as client, _local_file(to, fix):
        size = client.download_file_to(to, name, path=directory or None)
    write_message(f"saved {to / local_name(name) if to.is_dir() else to} ({size:,} bytes)", to_stderr=False)


@files.command("put")
def put_file(
    session: SessionId,
    file: Annotated[Path, typer.Argument(help="A local file.")],
    path: Annotated[str, typer.Option(help="The directory below /mnt/data to put it in.")] = "",
    endpoint: Endpoint = None,
    token: Token = None,
) -> None:
    """Send a file to the session."""
    fix = "Name a file on this machine that you may read."
    with _connected(endpoint, token, session) as client, _local_file(file, fix):
        sent = client.upload_file(file, path=path or None)
    write_message(printable(f"sent {sent.path} ({sent.size:,} bytes)"), to_stderr=False)


@contextmanager
def _connected(endpoint: str | None, token: str | None, session: str) -> Iterator[SessionPoolClient]:
    with _told():
        from .rest.client import SessionPoolClient
        from .rest.endpoint import LEAVE_IT_OUT, checked_identifier

        if not endpoint:
            _fail("Which pool? Pass --endpoint or set ACA_POOL_MANAGEMENT_ENDPOINT.")
        try:
            checked_identifier(session)
        except ConfigurationError as error:
            _fail(f"{str(error).removesuffix(LEAVE_IT_OUT)}Pass the --session that code ran in.")
        with SessionPoolClient(endpoint, token=token, session_id=session) as client:
            yield client


@contextmanager
def _local_file(name: object, fix: str) -> Iterator[None]:
    """Tell which file of this machine can't be read or written, why, and what to do."""
    try:
        yield
    except AcaNodeError:  # some are an OSError, too
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        _fail(f"{name}: {reason}. {fix}")


@contextmanager
def _told() -> Iterator[None]:
    """Tell a person what went wrong in words instead of with a stack."""
    try:
        yield
    except (AcaNodeError, OSError, UnicodeDecodeError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    write_message(f"aca-node: {message}")
    raise typer.Exit(2)


def _greeting(pool: LocalPool, socket: Path | None) -> str:
    if socket is None:
        page = f"To watch it, open\n\n  {pool.inspector}"
        target = f"'{pool.endpoint}"
    else:
        page = "There is no page to watch it: no browser opens a Unix socket."
        target = f"--unix-socket {shlex.quote(str(socket.absolute()))} 'http://localhost"
    return f"""\
The session pool is at {pool.endpoint} (isolation: {pool.isolation}, egress: {pool.egress}). Ctrl-C ends it.
Its token is in {pool.token_file}, which only you can read. {page}

For other programs:

  export ACA_POOL_MANAGEMENT_ENDPOINT={pool.endpoint}
  export ACA_POOL_TOKEN={pool.token}

Try it:

  curl {target}/code/execute?identifier=my-session' -H 'Authorization: Bearer {pool.token}' \\
    -H 'Content-Type: application/json' -d '{{"properties": {{"code": "1+3"}}}}'
"""


def _ended_by_signal() -> threading.Event:
    """Return an event that Ctrl-C and the wish to terminate set."""
    import signal

    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: ended.set())
    return ended
