"""`aca-node demo`: Azure's tutorial for NodeLTS session pools on the embedded pool, then both agent faces."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax

from .artifacts import ArtifactDirectory
from .errors import LocalPoolError
from .local import LocalPool
from .local_names import printable
from .prompts import LANGUAGES
from .rest.client import SessionPoolClient
from .rest.models import Execution, Image
from .rest.operations import TUTORIAL_API
from .terminal import harmless

CHART = files(__package__).joinpath("demo_chart.js").read_text(encoding="utf-8")

_NPM = """\
console.time("time taken");
var result3 = require("child_process").spawnSync("npm", {arguments}, {{ encoding: "utf-8" }});
console.timeEnd("time taken");
if (result3.error) {{
console.error(`Error: ${{result3.error.message}}`);
process.exit(1);
}}
if (result3.status !== 0) {{
console.error(`stderr: ${{result3.stderr}}`);
process.exit(result3.status);
}}
console.log(`stdout: ${{result3.stdout}}`);
"""
_WRITE_A_FILE = """\
$$.async(); var fs2 = require("fs");
var path2 = require("path");

// Define the file path and content
var filePath2 = path.join("/mnt/data", "example.txt");
var fileContent2 = "Hello, this is a sample content!";

// Write the file
fs2.writeFile(filePath2, fileContent2, (err) => {
if (err) {
console.log(`Error file creation  ${err.message}`);
return console.error(`A problem occurred while writing the file: ${err.message}`);
}
console.log("File has been created and saved successfully!");
});
 setTimeout($$.done, 10000)"""

_AGENT_TASK = "Which of the first 1,000 numbers has the longest Collatz sequence?"
_AGENT_CODE = """\
var longest = { start: 1, steps: 0 };
for (var start = 1; start <= 1000; start++) {
  for (var n = start, steps = 0; n !== 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
  if (steps > longest.steps) longest = { start, steps };
}
longest"""


def show(output: Path, console: Console | None = None) -> None:
    """Walk through it all, print each step with its real result, and leave the files in `output`.

    Args:
        output: a directory; what is in it is not overwritten.
        console: where to print.

    Raises:
        LocalPoolError: the embedded pool can't start on this machine.
    """
    console = console or Console()
    saved = ArtifactDirectory(output)
    with _pool(console) as pool:
        console.print(f"The embedded session pool runs Node.js {pool.node_version}; isolation: {pool.isolation}.\n")
        _tutorial(pool, saved, console)
        asyncio.run(_faces(pool, output, console))
    console.print(f"[bold green]Done.[/] The files that came back are in [bold]{escape(str(output.resolve()))}[/]:")
    for path in sorted(path for path in output.rglob("*") if path.is_file()):
        console.print(f"  {_shown(str(path.relative_to(output)))}  {path.stat().st_size:,} bytes", highlight=False)


def _pool(console: Console) -> LocalPool:
    """Start a pool; without a sandbox when there is none, since the demo runs no code but its own."""
    pool = LocalPool(egress=True)
    try:
        pool.start()
    except LocalPoolError as problem:
        pool = LocalPool(egress=True, isolation="none")
        pool.start()
        console.print(
            f"[yellow]{escape(str(problem))}[/]\nThe demo runs only its own code, so it goes on with "
            "[bold]isolation: none[/]. Code that a model wrote would be refused here.\n"
        )
    return pool


def _tutorial(pool: LocalPool, saved: ArtifactDirectory, console: Console) -> None:
    """Make the tutorial's eight requests, in its API family."""
    with SessionPoolClient(pool.endpoint, token=pool.token, api_version=TUTORIAL_API) as client:
        _step(console, 1, "Install an npm package", _NPM.format(arguments='["install","axios"]'))
        _tell(console, client.execute(_NPM.format(arguments='["install","axios"]'), timeout=100))
        _step(console, 2, "List the installed packages", _NPM.format(arguments='["list"]'))
        _tell(console, client.execute(_NPM.format(arguments='["list"]'), timeout=100))
        _step(console, 3, "Run inline code", 'console.log("inline-synchronous")')
        _tell(console, client.execute('console.log("inline-synchronous")', timeout=100))
        _step(console, 4, "Run inline text, get its value", "1+3")
        _tell(console, client.execute("1+3", code_input_type="InlineText", timeout=100))
        _step(console, 5, "Run base64 (of 1+2)", "MSsy")
        _tell(console, client.execute("MSsy", code_input_type="InlineBase64", timeout=100))
        _step(console, 6, "Write a file to /mnt/data (waits ten seconds, as the tutorial does)", _WRITE_A_FILE)
        _tell(console, client.execute(_WRITE_A_FILE, timeout=100))
        _step(console, 7, "Download that file")
        artifact = saved.save("example.txt", client.download_file("example.txt"))
        console.print(f"  {escape(str(artifact))}: {artifact.read_bytes().decode()!r}\n")
        _step(console, 8, "Upload a file")
        sent = client.upload_file(b"\xff\xd8\xff\xd9", name="sample.jpeg")
        console.print(f"  {_shown(printable(sent.name))}, {sent.size} bytes; the session now has:")
        for file in client.list_files():
            console.print(f"    {_shown(printable(file.name))}", highlight=False)
        console.print()
        client.delete_session()


async def _faces(pool: LocalPool, output: Path, console: Console) -> None:
    """Show the executor as an AutoGen agent's code executor and as a LangChain tool, on one session."""
    from autogen_agentchat.agents import ApprovalRequest, ApprovalResponse, CodeExecutorAgent
    from autogen_agentchat.messages import TextMessage

    from .executor import NodeSessionsCodeExecutor

    def approve(request: ApprovalRequest) -> ApprovalResponse:
        return ApprovalResponse(approved=True, reason="the demo wrote it")

    async with NodeSessionsCodeExecutor(pool.endpoint, token=pool.token, artifacts_dir=output) as executor:
        _step(console, 9, "An AutoGen agent runs a code block", _AGENT_CODE)
        agent = CodeExecutorAgent("coder", executor, supported_languages=list(LANGUAGES), approval_func=approve)
        task = f"{_AGENT_TASK}\n```javascript\n{_AGENT_CODE}\n```"
        result = await agent.run(task=TextMessage(content=task, source="user"))
        console.print(f"  [cyan]{_shown(result.messages[-1].to_text())}[/]\n")
        _step(console, 10, "A LangChain tool draws a chart, in the same session", CHART, shown_lines=6)
        console.print(f"  [cyan]{_shown(await executor.ainvoke({'code': CHART}))}[/]\n")


def _step(console: Console, number: int, title: str, code: str = "", *, shown_lines: int = 40) -> None:
    console.print(f"[bold]{number}. {title}[/]")
    if code:
        lines = code.splitlines()
        left_out = [f"// … {len(lines) - shown_lines} more lines"] if len(lines) > shown_lines else []
        console.print(
            Syntax("\n".join(lines[:shown_lines] + left_out), "javascript", background_color="default", word_wrap=True)
        )


def _tell(console: Console, execution: Execution) -> None:
    """Print what came of a run."""
    value = execution.result
    parts = [
        execution.stdout,
        execution.stderr if not execution.succeeded else "",
        "" if value == "" else f"=> {'a picture' if isinstance(value, Image) else value}",
    ]
    console.print(f"  [cyan]{_shown(part.strip())}[/]" if (part := "\n".join(filter(None, parts))) else "  (no output)")
    console.print(f"  [dim]{execution.status.value} in {execution.duration:.2f} s[/]\n")


def _shown(text: str) -> str:
    """Return text of a session as the console takes it."""
    return escape(harmless(text))
