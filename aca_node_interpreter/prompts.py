"""What a model is told about the session it writes code for."""

from __future__ import annotations

LANGUAGES = ("javascript", "js", "node", "nodejs", "mjs", "cjs")
"""Names of code blocks that run."""

TYPESCRIPT = ("typescript", "ts")
"""Names of code blocks that are refused with the advice to write JavaScript."""

_RULES = """\
The code runs in a Node.js session that keeps its variables and files from one run to the next. Rules:
- Print what you need with console.log; the value of the last expression comes back too.
- Declare top-level names with var: const and let can't be declared again in a later run.
- Load modules with require; import statements and top-level await are not available. To wait for something, start \
with $$.async() and end with $$.done(value), for example: \
$$.async(); (async () => { ... })().then($$.done, $$.sendError)
- Write files to /mnt/data: they are saved for the user. Never call process.exit()."""

TOOL_DESCRIPTION = f"Run JavaScript with Node.js and return what it prints.\n{_RULES}"
"""For function calling."""

SYSTEM_MESSAGE = f"""\
You solve tasks by writing JavaScript for Node.js. Put code to run in a ```javascript block; you then get its output.
{_RULES}
Once the output answers the task, reply with the answer in words and without a code block."""
"""For AutoGen's `CodeExecutorAgent`."""
