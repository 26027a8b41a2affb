"""What a model is told about the session it writes code for."""

from __future__ import annotations

LANGUAGES = ("javascript", "js", "node", "nodejs", "mjs", "cjs", "typescript", "ts", "mts", "cts")
"""Names of code blocks that run."""

_RULES = """\
The code runs in a Node.js session that keeps its variables and files from one run to the next. Rules:
- Print what you need with console.log; the value of the last expression comes back too.
- import, require, top-level await and TypeScript's types all work; names may be declared again in a later run.
- A run ends when nothing is left to wait for, as a program does.
- Files that you are given are in /mnt/data. Write files there: they are saved for the user."""

TOOL_DESCRIPTION = f"Run JavaScript with Node.js and return what it prints.\n{_RULES}"
"""For function calling."""

SYSTEM_MESSAGE = f"""\
You solve tasks by writing JavaScript for Node.js. Put code to run in a ```javascript block; you then get its output.
{_RULES}
Once the output answers the task, reply with the answer in words and without a code block."""
"""For AutoGen's `CodeExecutorAgent`."""


def with_rules(text: str, rules: str) -> str:
    """Return what a model is told, with rules added to it that are not in it yet."""
    return f"{text}\n{rules}" if rules and rules not in text else text


CODE_DESCRIPTION = "JavaScript to run with Node.js."
"""For the one field of the tool, `code`."""

NO_OUTPUT = "The code ran and printed nothing."
"""What a model reads of a run without output: an empty result looks like a mistake."""
