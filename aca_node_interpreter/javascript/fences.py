"""Find the code in what a model sent: a program as it is, or Markdown with blocks of code in it.

What is not code is blanked out, so that every line and column of the code is that of the model's text.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import grammars
from .foreign import LANGUAGES, is_foreign
from .units import blank, from_units, to_units

JAVASCRIPT = frozenset(
    ("javascript", "js", "node", "nodejs", "node-js", "mjs", "cjs", "jsx", "es6", "es", "ecmascript", "esm")
)
"""What blocks of JavaScript are called."""

TYPESCRIPT = frozenset(("typescript", "ts", "mts", "cts", "tsx"))
"""What blocks of TypeScript are called."""


@dataclass(frozen=True)
class Block:
    """The code of a text."""

    code: str
    """As long as the text in lines and UTF-16 units, with all that is not code blanked out."""
    language: str = ""
    """`javascript` or `typescript` if the text says so; another language's name if its blocks are in no other."""
    is_fenced: bool = False


def code_of(text: str) -> Block:
    """Find the code in a text, which may be code already."""
    units = to_units(text)
    if "<" in text and (bare := _without_leftovers(units)) != units:
        units, text = bare, from_units(bare)
    if _MAYBE_FENCED.search(units) and (fences := _fences(units)):
        return _chosen(units, fences, depth=3)
    return _unwrapped(units) or _without_language_line(units) or Block(text)


# Lines that open and close a block. Before the fence there may be marks of quotes and lists.
_BEFORE = r"\ufeff?(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*"
_MAYBE_FENCED = re.compile(rf"^{_BEFORE}(?:```|~~~)", re.MULTILINE)
_OPENING = re.compile(rf"(?P<before>{_BEFORE})(?:(?P<fence>`{{3,}})(?P<info>[^`]*)|(?P<tildes>~{{3,}})(?P<note>.*))")
_CLOSING = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*")
_LINE = re.compile(r"([^\r\n]*)(\r\n?|\n|\Z)")
_COMMENT_START = re.compile(r"[ \t]*/\*")
_CODE_AFTER_FENCE = re.compile(r"[(;]")


@dataclass
class _Fence:
    mark: int
    """Where the fence itself starts."""
    start: int
    end: int
    """Of what is in it."""
    name: str
    """What its language is called."""
    is_quoted: bool
    """Whether its lines start with `>`."""

    @property
    def may_be_code(self) -> bool:
        return self.name in JAVASCRIPT or self.name in TYPESCRIPT or self.name not in LANGUAGES


def _fences(units: str) -> list[_Fence]:
    """Return the blocks of a text; none if what looks like them is in the comments and templates of a program."""
    quoted: list[tuple[int, int]] | None = None
    fences: list[_Fence] = []
    current: _Fence | None = None
    fence = ""
    in_comment = False
    last_comment_end = units.rfind("*/")
    for start, line, end in _lines(units):
        if in_comment:
            in_comment = "*/" not in line
            continue
        if (current is None or current.may_be_code) and _COMMENT_START.match(line):
            in_comment = "*/" not in line and start < last_comment_end
            continue
        if current is not None and (closing := _CLOSING.fullmatch(line)) and closing[1].startswith(fence):
            current.end = start
            current = None
            continue
        opening = _OPENING.fullmatch(line)
        if opening is None:
            continue
        mark = opening["fence"] or opening["tildes"]
        info = opening["info"] or opening["note"] or ""
        at = start + opening.end("before")
        if current is not None:
            # A line that opens a block is no JavaScript: the block before was not closed.
            if not (current.may_be_code and mark.startswith(fence) and info.strip()):
                continue
            current.end = start
        elif not fences:
            if quoted is None:
                if mark[0] == "`" and _OPEN_TEMPLATE.search(units[max(0, at - 2_000) : at]):
                    return []  # A template with a fence in it, without the backslashes it needs: V8 tells.
                quoted = _quoted(units, at, mark[0])
            before = bisect.bisect_left(quoted, (at, -1)) - 1
            if before >= 0 and at < quoted[before][1]:
                continue
        name, content = name_of(info), end
        if name not in _KNOWN and _CODE_AFTER_FENCE.search(info):
            name, content = "", at + len(mark)
        fence = mark
        current = _Fence(at, content, len(units), name, ">" in opening["before"])
        fences.append(current)
    if current is not None:
        ink = units.rstrip()
        bare = ink.rstrip(fence[0])
        if current.start <= len(bare) <= len(ink) - 3:
            current.end = len(bare)  # Closed on the last line of the code.
    return fences


def _lines(units: str) -> Iterator[tuple[int, str, int]]:
    for match in _LINE.finditer(units):
        if match[0]:
            yield match.start(), match[1], match.end()


_OPEN_TEMPLATE = re.compile(
    r"^[ \t]*(?:[\w$][\w$. \t]*=|[\w$.]+\(|return\b|[^`\n]*=>)[ \t]*`(?:[^`\\]|\\.)*\Z", re.MULTILINE | re.DOTALL
)


def _quoted(units: str, first: int, mark: str) -> list[tuple[int, int]]:
    """Return where comments, templates and strings are, if the text parses and one could reach to its first fence."""
    # Backticks end a template.
    if all(units.find(opener, 0, first) < 0 for opener in ("/*", "\\\n", "\\\r", "`" if mark == "~" else "/*")):
        return []
    for language in (grammars.javascript(), grammars.typescript()):
        tree = grammars.parse(units, language)
        if tree.root_node.has_error:
            continue
        nodes = grammars.captures(tree, language, "[(comment) (template_string) (string)] @quoted").get("quoted", ())
        outer: list[tuple[int, int]] = []
        for start, end in sorted((node.start_byte // 2, node.end_byte // 2) for node in nodes):
            if not outer or start >= outer[-1][1]:
                outer.append((start, end))
        return outer
    return []


def name_of(info: str) -> str:
    """Return what a fence calls its language: `js` of `js title=a.mjs`, `{.js .numbers}`, `js{1,3}` and `src/a.js`."""
    first = re.search(r"[^\s{},:;=\[\]()|\"']+", info)
    if first is None:
        return ""
    name = re.sub(r"^(?:lang(?:uage)?-|\.)", "", first[0].lower())
    file = re.search(r"\.([a-z]+)\b(?!\()", info.lower())
    return file[1] if name not in _KNOWN and file and file[1] in _KNOWN else name


_KNOWN = JAVASCRIPT | TYPESCRIPT | LANGUAGES.keys()


def _chosen(units: str, fences: list[_Fence], *, depth: int) -> Block:
    """Keep the blocks that are JavaScript: those that say so; where none does, those that do not look like others.

    Args:
        units: the text.
        fences: its blocks.
        depth: how many blocks of Markdown may be around them.
    """
    named = [fence for fence in fences if fence.name in JAVASCRIPT or fence.name in TYPESCRIPT]
    chosen = named or [
        fence for fence in fences if fence.may_be_code and not is_foreign(units[fence.start : fence.end])
    ]
    if not chosen:
        markdown = next((fence for fence in fences if fence.name in ("markdown", "md")), None)
        if markdown and depth and (inner := _fences(units[markdown.start : markdown.end])):
            for fence in inner:
                fence.mark, fence.start, fence.end = (
                    offset + markdown.start for offset in (fence.mark, fence.start, fence.end)
                )
            if any(fence.may_be_code for fence in inner):
                return _chosen(units, inner, depth=depth - 1)
    if chosen:
        language = "typescript" if any(fence.name in TYPESCRIPT for fence in named) else "javascript" if named else ""
    else:
        language = next((fence.name for fence in fences if fence.name in LANGUAGES), "")
    return Block(from_units(_only(units, chosen or fences)), language, is_fenced=True)


def _only(units: str, fences: list[_Fence]) -> str:
    parts: list[str] = []
    position = 0
    for fence in fences:
        content = units[fence.start : fence.end]
        if fence.is_quoted:
            content = _QUOTE_MARKS.sub(lambda match: blank(match[0]), content)
        between = blank(units[position : fence.start])
        if parts and _GOES_ON.match(content):
            # Two blocks are two programs, whatever the second starts with.
            between = between[: fence.mark - position] + ";" + between[fence.mark - position + 1 :]
        parts += (between, content)
        position = fence.end
    return "".join((*parts, blank(units[position:])))


_QUOTE_MARKS = re.compile(r"^(?:[ \t]*>)+", re.MULTILINE)
_GOES_ON = re.compile(r"\s*[(\[`+\-*/.,]")


# What other texts have around their code.

# What the templates of models' chats put around thoughts and calls. No JavaScript starts so; it ends so in a comment.
_MARK = (
    r"</?(?:think(?:ing)?|answer|final_answer|response|code|execute|tool_(?:call|code|use)|function_call|tool|s)>"
    r"|</?(?:function|parameter|invoke)(?:[= ][^<>\n]{1,80})?>|<\|[a-z_]+\|>(?:assistant(?=[\s<]))?"
)
_THOUGHT = r"<(?P<thought>think(?:ing)?|reasoning|reflection|scratchpad)>.*?</(?P=thought)>"
_LEFT_BEFORE = re.compile(rf"\s*(?:(?:{_THOUGHT}|{_MARK})\s*){{1,9}}", re.DOTALL)
_LEFT_AFTER = re.compile(rf"(?:(?:{_MARK})\s*){{1,9}}\Z")
_END_OF_THOUGHT = re.compile(r"^[ \t]*</think(?:ing)?>", re.MULTILINE)


def _without_leftovers(units: str) -> str:
    """Blank what a chat's template left around a text that does not parse with it."""
    if before := _LEFT_BEFORE.match(units):
        units = blank(before[0]) + units[before.end() :]
    # The start of the thought may be the template's, and its end the model's.
    end = _END_OF_THOUGHT.search(units)
    if end and is_foreign(units[: end.start()]) and not _quoted(units, end.start(), "~"):
        units = blank(units[: end.end()]) + units[end.end() :]
    after = _LEFT_AFTER.search(units)
    if after and not grammars.is_program(units[units.rfind("\n", 0, after.start()) + 1 :]):
        units = units[: after.start()] + blank(after[0])
    return units


_WRAPPED = re.compile(r"\s*(?P<marks>`{1,3})(?P<code>[^`\r\n]+)(?P=marks)\s*")
_DOES_SOMETHING = re.compile(r"[\w$)\]]\s*\(.*\)|[\w$\])]\s*=[^=]")


def _unwrapped(units: str) -> Block | None:
    """Return the code of a text that is one line of code in backticks, as Markdown has it within a line."""
    wrapped = _WRAPPED.fullmatch(units)
    if wrapped is None:
        return None
    start, language = wrapped.start("code"), ""
    if len(wrapped["marks"]) == 3:
        word = re.match(r"\s*([A-Za-z]+)\s+(?=\S)", wrapped["code"])
        if word and word[1].lower() in JAVASCRIPT | TYPESCRIPT:
            start += word.end()
            language = "typescript" if word[1].lower() in TYPESCRIPT else "javascript"
    code = units[start : wrapped.end("code")]
    if len(wrapped["marks"]) == 1 and not (
        # A template is JavaScript too: only what is plainly meant to run is taken out of it.
        len(code) < 2_000 and _DOES_SOMETHING.search(code) and "${" not in code and grammars.is_program(code)
    ):
        return None
    return Block(
        from_units(blank(units[:start]) + code + blank(units[wrapped.end("code") :])), language, is_fenced=True
    )


_LANGUAGE_LINE = re.compile(r"\s*(?P<word>[A-Za-z]+)[ \t]*(?:\r\n?|\n)\s*(?P<first>[^\s])")


def _without_language_line(units: str) -> Block | None:
    """Return the code of a text whose first line is only the language's name, as of a block that lost its fence."""
    line = _LANGUAGE_LINE.match(units)
    if line is None or line["first"] in ".,;:?=+-*%<>&|^!)]}":
        return None
    word = line["word"].lower()
    if word not in ("javascript", "typescript", "js", "ts", "node", "nodejs", "mjs", "cjs"):
        return None
    if re.compile(rf"(?<![\w$.'\"/-]){line['word']}(?![\w$'\"-])").search(units, line.end("word")):
        return None  # It is a variable.
    language = "typescript" if word in TYPESCRIPT else "javascript"
    end = line.end("word")
    return Block(from_units(blank(units[:end]) + units[end:]), language, is_fenced=False)
