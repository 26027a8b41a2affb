"""Recognise text that is not JavaScript at all, to say so at once instead of after a round trip.

Only what is unmistakable is refused: a program with a slip in it goes to V8, which words the error better.
"""

from __future__ import annotations

import json
import re

from . import grammars
from .prepared import Refusal

LANGUAGES = {
    **dict.fromkeys(("python", "py", "python3", "ipython", "pycon"), "Python"),
    **dict.fromkeys(
        ("bash", "sh", "shell", "zsh", "fish", "console", "terminal", "shellsession", "cmd", "bat"), "shell"
    ),
    **dict.fromkeys(("powershell", "ps1", "pwsh"), "PowerShell"),
    **dict.fromkeys(("json", "jsonc", "json5", "jsonl", "ndjson"), "JSON"),
    **dict.fromkeys(("html", "xml", "svg", "xhtml", "vue", "svelte"), "HTML or XML"),
    **dict.fromkeys(("markdown", "md"), "Markdown"),
    **dict.fromkeys(("yaml", "yml"), "YAML"),
    **dict.fromkeys(("ruby", "rb"), "Ruby"),
    **dict.fromkeys(("rust", "rs"), "Rust"),
    **dict.fromkeys(("c++", "cpp", "cc"), "C++"),
    **dict.fromkeys(("csharp", "c#", "cs"), "C#"),
    **dict.fromkeys(("golang", "go"), "Go"),
    **dict.fromkeys(("diff", "patch"), "a diff"),
    **dict.fromkeys(("css", "scss", "less"), "CSS"),
    **dict.fromkeys(("output", "stdout", "stderr", "log", "logs", "result"), "output"),
    **dict.fromkeys(("csv", "tsv"), "CSV"),
    **dict.fromkeys(("env", "dotenv", "ini", "properties"), "configuration"),
    **dict.fromkeys(("graphql", "gql"), "GraphQL"),
    **dict.fromkeys(("latex", "tex"), "LaTeX"),
    "mermaid": "Mermaid",
    "sql": "SQL",
    "java": "Java",
    "kotlin": "Kotlin",
    "swift": "Swift",
    "scala": "Scala",
    "php": "PHP",
    "perl": "Perl",
    "lua": "Lua",
    "r": "R",
    "c": "C",
    "dart": "Dart",
    "elixir": "Elixir",
    "toml": "TOML",
    "dockerfile": "a Dockerfile",
    "makefile": "a Makefile",
}
"""Names of code blocks that are not JavaScript, and what to call what is in them."""


def refusal_of(code: str, language: str = "") -> Refusal | None:
    """Return why a text is not JavaScript, or None where it is or may be.

    Args:
        code: the text, without fences.
        language: what the text itself calls its language.
    """
    if not code.replace("\ufeff", "").strip():
        return Refusal("There is no code to run: send JavaScript.")
    if language.lower() in LANGUAGES:
        return _refusal(LANGUAGES[language.lower()], code, language.lower())
    if _wraps_code(code):
        return Refusal("This is a JSON document, not JavaScript: send the code itself, not JSON around it.")
    kind = _kind_of(code)
    return _refusal(kind, code) if kind else None


def is_foreign(code: str) -> bool:
    """Tell whether a text is not JavaScript at all."""
    return refusal_of(code) is not None


def _refusal(kind: str, code: str, name: str = "") -> Refusal:
    what = f"a block of {kind} (```{name})" if name else {"text": "text without code"}.get(kind, kind)
    advice = {
        "shell": "This is Node.js. To run a command, use require('child_process').execSync('...').",
        "text": "Send only code, with remarks as // comments; to answer in words, do not call this tool.",
        "JSON": "To use it as data, assign it: const data = {...}.",
        "HTML or XML": "To write it to a file, put it in a template literal.",
        "SQL": "Databases are reached through a package.",
    }.get(kind, "Write the same in JavaScript.")
    if kind == "shell" and (install := _INSTALL.search(code)):
        advice = f"Where the session has a network, use require('child_process').execSync('{install[1]}')."
    return Refusal(f"Only JavaScript runs here, and this is {what}. {advice}")


_INSTALL = re.compile(
    r"^[ \t]*(?:\$ |[!%] ?)?((?:npm (?:install|i|add)|yarn add|pnpm add)(?: [\w@./^~-]{1,40}){1,3})[ \t]*"
    r"(?=[&;|#\r\n]|\Z)",
    re.MULTILINE,
)


def _kind_of(code: str) -> str:
    """Return what kind of text it is; empty for all that may be JavaScript."""
    start = code.lstrip("\ufeff \t\r\n")[:200]
    for kind, pattern in _OPENINGS:
        if pattern.match(start):
            # The grammar of JavaScript takes HTML for JSX, which does not run.
            return "" if _is_javascript(code) else kind
    lines = [line for line in (line.strip() for line in _LINE_END.split(code)) if line]
    if _is_json_document(code, lines):
        return "JSON"
    for kind, looks_like in (("shell", _is_shell), ("Python", _is_python), ("text", _is_prose)):
        if looks_like(lines):
            return "" if _is_program(code) else kind
    return ""


def _is_program(code: str) -> bool:
    # The grammars take any character beyond ASCII for a letter; JavaScript has full stops like these in quotes only.
    return not (_SENTENCE_MARK.search(code) and not re.search(r"[`'\"]|/[/*]", code)) and grammars.is_program(
        _head(code)
    )


def _head(code: str) -> str:
    """Return as much of a text as tells whether it parses: taking prose for a program is slow.

    Where a template or a comment may go on to the end, that is all of it; within reason.
    """
    if len(code) < 4_000 or (len(code) < 200_000 and any(mark in code for mark in ("`", "/*", "\\"))):
        return code
    end = max(code.rfind("\n", 0, 4_000), code.rfind(" ", 0, 4_000))
    return code[:end] if end > 0 else code[:200_000]


def _is_javascript(code: str) -> bool:
    return not grammars.parse(code, grammars.typescript()).root_node.has_error


_LINE_END = re.compile(r"\r\n?|\n")

_OPENINGS = (
    (
        "HTML or XML",
        re.compile(r"<(?:!doctype\b|\?xml\b|(?:html|head|body|div|p|h[1-6]|ul|table|script|svg)\b[^<]*>)", re.I),
    ),
    ("PHP", re.compile(r"<\?php\b")),
    (
        "SQL",
        re.compile(
            r"(?:SELECT\s+[\w*\"`.,()\s]+?\s+FROM\s+[\w\"`]|INSERT\s+INTO\s+\w|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s+\w|"
            r"(?:CREATE|DROP|ALTER)\s+(?:TABLE|VIEW|INDEX|DATABASE)\s)",
            re.I,
        ),
    ),
    ("C", re.compile(r"#include\s*[<\"]")),
    ("Go", re.compile(r"package\s+\w+\s*\n")),
    ("a diff", re.compile(r"diff --git |--- \S+\n\+\+\+ \S")),
)
"""How texts start that are no JavaScript."""


# A JSON array is an expression, and one line of an object is taken for a literal: both run, and give their value.
# An object over several lines is a document; no Node.js runs it as a program, so that nothing that runs is refused.


def _is_json_document(code: str, lines: list[str]) -> bool:
    return len(lines) > 1 and isinstance(_json_of(code), dict)


def _wraps_code(code: str) -> bool:
    """Tell whether it is a tool call in JSON rather than what the tool is to run."""
    return _is_call(_json_of(code))


def _is_call(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if any(isinstance(value.get(key), (str, dict, list)) for key in ("code", "javascript", "script", "arguments")):
        return True
    return any(_is_call(value.get(key)) for key in ("input", "parameters", "function", "tool_call"))


def _json_of(code: str) -> object:
    text = code.strip("\ufeff \t\r\n")
    if not (text.startswith("{") and text.endswith("}") and '"' in text[:200]):
        return None
    try:
        return json.loads(text, strict=False)  # Models leave line breaks in strings as they are.
    except (ValueError, RecursionError):
        return None


_COMMAND = re.compile(
    r"(?:\$ |[!%] ?)?(?:sudo )?(?:(?:npm|npx|yarn|pnpm|pip3?|cd|ls|mkdir|rm|cp|mv|cat|echo|curl|wget|git|node|apt"
    r"|apt-get|brew|python3?|chmod|touch|docker|bash|sh|grep|tar|unzip|export (?=\w+=\S))"
    r"(?: *(?<= )(?![=(+*%,;:?&|<>!])\S.*)?"
    # Words of English, too, but for what comes next.
    r"|(?:find|head|tail|wc|sort|sed|awk|du|df|ps|tree|which|source) (?:-\w|[./~'\"]).*)"
)
_HEREDOC = re.compile(r"[^'\"`]*<<-? ?(?P<quote>['\"]?)(?P<end>[A-Za-z_]+)(?P=quote)(?: *[|>&].*)?")


def _is_shell(lines: list[str]) -> bool:
    if lines[0].startswith("#!") and re.match(r"#!\S*(?:/env +)?\S*\b(?:ba|z|da)?sh\b", lines[0]):
        return True
    goes_on = found = False
    heredoc = ""
    for line in lines:
        if heredoc:
            if line == heredoc:
                heredoc, found = "", True
            continue
        if not goes_on and not line.startswith("#"):
            if _COMMAND.match(line) and (opening := _HEREDOC.fullmatch(line)):
                heredoc = opening["end"]
                continue
            if not _COMMAND.fullmatch(line) or line.endswith(("{", ";", "(", ",")) or "=>" in line:
                return False
            found = True
        goes_on = line.endswith("\\")
    return found and not heredoc


_PYTHON = re.compile(
    r"(?:(?:async )?def \w+\(.*\).*:|class \w+(?:\(.*\))?:|from [\w.]+ import [\w*(].*|import [\w.]+ as \w+"
    r"|for \w+(?:, *\w+)* in [^{]+:.*|[^{'\"`]*\[[^'\"`]* for \w+ in [^'\"`]*\].*|print ['\"].*"
    r"|(?:if|elif|while|for|with) .+:|(?:else|try|finally):|except\b.*:|print\(f[\"'].*\)"
    r"|import (?:sys|re|json|math|random|time|csv|datetime|requests|numpy|pandas))(?:\s*#.*)?"
)
_JAVASCRIPT_SIGN = re.compile(
    r"(?:\b(?:const|let|var)\s+[\w{\[$]|\bfunction\b|=>|\bconsole\s*\.|\brequire\s*\(|;\s*$|===|!==|&&|\|\||^\s*//"
    r"|\)\s*\{\s*$|^\s*\}|\bnew\s+[A-Z]|\bthis\.|\+\+|\bfrom\s+['\"]|\bexport\b|\bthrow\b|\belse\s*\{|\btypeof\b)"
)


def _is_python(lines: list[str]) -> bool:
    return any(len(line) < 500 and _PYTHON.fullmatch(line) for line in lines) and not any(
        _JAVASCRIPT_SIGN.search(line) for line in lines
    )


_CODE_SIGN = re.compile(r"[{}\[\]=<>`]|^['\"]|;\s*$|\w\(|\)\s*$|^\s*//|^\s*/\*|\w\.\w+\(")
_KEYWORD = re.compile(
    r"(?:const|let|var|function|class|if|for|while|return|import|export|async|await|try|catch|throw|new|switch|case|do"
    r"|typeof|delete|void|else|yield|static|get|set|console)\b"
)
_WORD = r"[^\W\d_]+(?:[,'\u2019][^\W\d_]*)?"
_WORDS = re.compile(rf"(?<![^\W\d_]){_WORD} {_WORD} {_WORD}")
_SENTENCE_MARK = re.compile("[\u3002\uff0c\uff01\uff1f\u3001]")
_QUOTED = re.compile(r"`[^`]*`|https?://\S+|\*\*|\([^()]*\)|\[[^\[\]]*\]\([^()]*\)")


def _is_prose(lines: list[str]) -> bool:
    """Tell whether all lines are words, which JavaScript never has three of in a row but after a keyword."""
    found = False
    for line in lines:
        words = _QUOTED.sub("", line)
        if _CODE_SIGN.search(words) or _KEYWORD.match(words):
            return False
        found = found or bool(_WORDS.search(words) or _SENTENCE_MARK.search(words))
    return found
