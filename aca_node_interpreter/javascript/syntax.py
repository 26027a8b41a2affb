"""A text as JavaScript counts it, and its tree as tree-sitter sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tree_sitter import Node, Parser, Tree

from . import grammars
from .bindings import binds
from .units import IDENTIFIER_PART, blank, from_units, to_units, unescaped

# What Node.js or V8 skip at the start of a text, but not in the middle of a function: `#!…` and `-->…`.
_FIRST_LINE = re.compile(r"[\s\ufeff]*(#!|-->)[^\n\r\u2028\u2029]*")
_LEADING_COMMENTS = re.compile(r"(?:[\s\ufeff]+|//[^\n\r\u2028\u2029]*|/\*(?:[^*]|\*(?!/))*\*/)+")
_ATTRIBUTES = re.compile(
    r"""(?:from|import)\s*(?P<quote>["'])(?:(?!(?P=quote))[^\\\n]|\\.)*(?P=quote)\s*"""
    r"""(?P<all>(?:with|assert)\s*\{(?P<inside>[^{}]*)\})"""
)
_GOING_ON = re.compile(r"\n\s*[(\[`/+*-]")
# The grammar would go on with the next line. The last two characters become the end of the string or list, and `;`.
_UNENDED = re.compile(
    r"""(?:(?:from|import)\s*(?:"(?:[^"\\\n]|\\.)*[^"\\\n]"|'(?:[^'\\\n]|\\.)*[^'\\\n]')"""
    r"""|export\s*\{[^{}]*[^{}]\})(?=[ \t]*(?:\r\n|\n)\s*[(\[`/+*-])"""
)
# Names in lists, of which the grammar does not know all that are allowed, and of which exported ones do not matter.
_EXPORTED = re.compile(r"""(?P<before>export\s*\{)(?P<names>(?:[^{}"']|"[^"\n]*"|'[^'\n]*')*)\}""")
_RESERVED = re.compile(
    r"(?P<before>[{,]\s*)(?P<name>break|case|catch|class|const|continue|debugger|delete|do|else|enum|extends|false|finally"
    r"|for|function|if|in|instanceof|new|null|return|super|switch|this|throw|true|try|typeof|var|void|while|with)(?=\s+as\s)"
)
_LONE_RETURN = re.compile(r"\r(?!\n)")
_AWAIT = re.compile(rf"await(?!{IDENTIFIER_PART})")
# What comes before and after `await` only where it may be the name of something.
_DECLARING = re.compile(r"\b(?:var|let|const|function|class)[\s*]+\Z")
_NO_OPERAND = re.compile(r"\s*(?:[=,)\]};:]|(?:of|in)\b|\Z)")
_LOOP = re.compile(r"\bfor\s+\Z")
_USING = re.compile(rf"\s+using\s+{IDENTIFIER_PART}")
_NAME = re.compile(rf"{IDENTIFIER_PART}+")
_PART = re.compile(IDENTIFIER_PART)
_NEAR = 30

# Where a line's end ends a statement and the grammar does not see it.
_LINE_ENDS = re.compile(
    rf"(?:\b(?:var|let|const)\s+{IDENTIFIER_PART}+(?:\s*,\s*{IDENTIFIER_PART}+)*|\b(?:break|continue)(?:[ \t]+[\w$]+)?"
    r"|\bdebugger)[ \t\r]*(?P<end>\n)(?=\s*[(\[`/+*-])|(?P<in>\n)(?=\s*in(?:stanceof)?[\d_$])"
)
_COMMENT_OVER_LINES = re.compile(r"/\*(?:[^*]|\*(?!/))*\*/")
_SEPARATOR = re.compile("[\u2028\u2029]")
_DEFAULT = re.compile(r"export\s+default\s+(?:async\s+)?(?:function|class)\b")
_DEFINITIONS = {"function_expression", "generator_function", "class"}
_EXPORT = re.compile(r"\bexport\s*\n\s*default\b")
_COMMENT = {"comment", "html_comment"}
_TEXT = _COMMENT | {"string_fragment", "string", "escape_sequence", "template_string", "regex", "regex_pattern"}
_MANY = 5


class Attributes(NamedTuple):
    """Import attributes: what stands between their braces, and where they end."""

    text: str
    end: int


class Source:
    """A text in UTF-16 code units, one to a character of `units`, and its tree.

    What the grammar does not know or reads otherwise than V8 is masked before parsing: replaced by as many units that
    are parsed alike. Offsets are those of the text.
    """

    def __init__(self, text: str) -> None:
        self.units = to_units(text)
        self.attributes: dict[int, Attributes] = {}
        """Import attributes, by the offset of the specifier before them."""
        self.first_line: tuple[int, int] | None = None
        """A first line that only the start of a file may have."""
        self.awaits_are_names = False
        """Whether `await` is a variable here, as only a script allows."""
        self.object_at: int | None = None
        """Where a last object stands that the grammar took for a block."""
        self._wide = not self.units.isascii()
        self._masked = self._mask_imports(self._mask_start(_LONE_RETURN.sub("\n", self.units)))
        if "await" in text:
            self._mask_awaits()
        self.tree = self._parse()
        self.has_error = self.tree.root_node.has_error
        """Whether the grammar does not understand the text."""
        if "<!--" in text:
            self._mask_html_comments()
        if self.has_error:
            self._repair()
        if self.has_error and self._masked.rstrip().endswith(("}", "};")):
            self._mask_object()
        if "default" in text:
            self._end_defaults()

    @property
    def root(self) -> Node:
        """The program."""
        return self.tree.root_node

    def start(self, node: Node) -> int:
        """Return where a node starts."""
        return node.start_byte >> 1 if self._wide else node.start_byte

    def end(self, node: Node) -> int:
        """Return where a node ends."""
        return node.end_byte >> 1 if self._wide else node.end_byte

    def slice(self, node: Node) -> str:
        """Return what the text has there."""
        return self.units[self.start(node) : self.end(node)]

    def name(self, node: Node) -> str:
        """Return the identifier that a node is, its escapes read."""
        text = self.slice(node)
        if self._wide:
            text = from_units(text)
        return unescaped(text) if "\\" in text else text

    def byte(self, offset: int) -> int:
        """Return an offset as the tree counts."""
        return offset << 1 if self._wide else offset

    def leaf(self, start: int, end: int) -> Node | None:
        """Return the smallest node around a part of the text."""
        return self.root.descendant_for_byte_range(self.byte(start), self.byte(end))

    def occurrences(self, names: Iterable[str]) -> dict[str, list[Node]]:
        """Return the leaves that spell each name."""
        found: dict[str, list[Node]] = {name: [] for name in names}
        for match in _NAME.finditer(self.units):
            if match[0] in found and (leaf := self.leaf(match.start(), match.end())) is not None:
                found[match[0]].append(leaf)
        return found

    def _html_comments(self) -> Iterator[int]:
        """Yield where `<!--` stands in code."""
        offset = self.units.find("<!--")
        while offset >= 0:
            leaf = self.leaf(offset, offset + 1)
            if leaf is not None and leaf.type not in _TEXT:
                yield offset
            offset = self.units.find("<!--", offset + 1)

    def _mask_html_comments(self) -> None:
        """Parse without HTML comments, one by one: what stands in one may look like the start of a string."""
        for _ in range(_MANY):
            start = next(self._html_comments(), None)
            if start is None:
                return
            end = min(
                (e for c in "\n\r\u2028\u2029" if (e := self._masked.find(c, start)) >= 0), default=len(self.units)
            )
            self._replace(blank(self.units[start:end]), start)
        self.has_error = True

    def _replace(self, text: str, start: int) -> None:
        self._masked = self._masked[:start] + text + self._masked[start + len(text) :]
        self.tree = self._parse()
        self.has_error = self.tree.root_node.has_error

    def _repair(self) -> None:
        """Help the grammar to see where lines end, if after that it understands the text."""
        masked = _COMMENT_OVER_LINES.sub(self._without_comment, self._masked)
        masked = _SEPARATOR.sub(lambda match: match[0] if self._is_text(match.start()) else "\n", masked)
        masked = _EXPORT.sub(
            lambda match: match[0] if self._is_text(match.start()) else " ".join(match[0].split()).ljust(len(match[0])),
            masked,
        )
        masked = _LINE_ENDS.sub(self._with_semicolon, masked)
        if masked == self._masked:
            return
        before = self._masked, self.tree
        self._masked = masked
        self.tree = self._parse()
        self.has_error = self.tree.root_node.has_error
        if self.has_error:
            self._masked, self.tree = before

    def _end_defaults(self) -> None:
        """End `export default function () {}` where it ends: the grammar would call the function with what follows."""
        for match in _DEFAULT.finditer(self.units):
            node = self.leaf(match.start(), match.start() + 6)
            value = node.parent.child_by_field_name("value") if node and node.parent else None
            if value is None or value.type in _DEFINITIONS:
                continue
            while value is not None and value.type not in _DEFINITIONS:
                value = value.child(0) if value.child_count else None
            if value is not None and self.units[(end := self.end(value)) : end + 1].isspace():
                self._replace(";", end)
            else:
                self.has_error = True
                return

    def _mask_object(self) -> None:
        """Mask a last `{a, b: 1}`, which the grammar takes for a block that goes wrong, as some other expression."""
        block = next((node for node in reversed(self.root.children[-_MANY:]) if node.type == "statement_block"), None)
        if block is None or not block.has_error:
            return
        start, end = self.start(block), self.end(block)
        alone = Parser(grammars.javascript()).parse(f"({self._masked[start:end]})".encode(errors="replace")).root_node
        statement = next(iter(alone.named_children), None)
        literal = next(iter(statement.named_children), None) if statement is not None else None
        if alone.has_error or literal is None or literal.named_child_count != 1 or alone.named_child_count != 1:
            return
        before = self._masked, self.tree
        self._replace("!" + blank(self._masked[start + 1 : end - 1]) + "0", start)
        if self.has_error:
            self._masked, self.tree = before
        else:
            self.object_at = start

    def _without_comment(self, match: re.Match[str]) -> str:
        return blank(match[0]) if "\n" in match[0] and self._is_text(match.start(), _COMMENT) else match[0]

    def _with_semicolon(self, match: re.Match[str]) -> str:
        return match[0] if self._is_text(match.start()) else match[0][:-1] + ";"

    def _is_text(self, offset: int, kinds: set[str] = _TEXT) -> bool:
        leaf = self.leaf(offset, offset + 1)
        return leaf is not None and leaf.type in kinds

    def _parse(self) -> Tree:
        # Most texts are ASCII, which is parsed faster as it is.
        if self._wide:
            return grammars.parse(self._masked, grammars.javascript())
        return Parser(grammars.javascript()).parse(self._masked.encode())

    def _mask_start(self, text: str) -> str:
        if first := _FIRST_LINE.match(text):
            self.first_line = first.start(1), first.end()
            text = blank(first[0]) + text[first.end() :]
        # The tree keeps a long row of comments as a list that has to be walked for each look at what follows.
        if comments := _LEADING_COMMENTS.match(text):
            text = blank(comments[0]) + text[comments.end() :]
        return text

    def _mask_imports(self, text: str) -> str:
        """Mask import attributes, which the grammar knows only in part, and end a statement that its line ends."""
        if "import" not in text and "export" not in text:
            return text

        def masked(match: re.Match[str]) -> str:
            self.attributes[match.start("quote")] = Attributes(match["inside"], match.end())
            before = match.start("all") - match.start()
            return match[0][:before] + blank(match["all"])

        if "with" in text or "assert" in text:
            text = _ATTRIBUTES.sub(masked, text)
        text = _EXPORTED.sub(lambda match: match["before"] + blank(match["names"]) + "}", text)
        text = _RESERVED.sub(lambda match: match["before"] + "_" * len(match["name"]), text)
        if not _GOING_ON.search(text):
            return text
        return _UNENDED.sub(lambda match: match[0][:-2] + match[0][-1] + ";", text)

    def _mask_awaits(self) -> None:
        """Mask `await` as `void`, which is parsed like it; the grammar would take `await (x)` for a call."""
        text = self._masked
        awaits = [
            (match.start(), text[max(0, match.start() - _NEAR) : match.start()])
            for match in _AWAIT.finditer(text)
            if not _PART.match(text, max(0, match.start() - 1)) or not match.start()
        ]
        if any(_NO_OPERAND.match(text, start + 5) or _DECLARING.search(before) for start, before in awaits):
            self.tree = self._parse()
            for start, _ in awaits:
                leaf = self.leaf(start, start + 5)
                if leaf is not None and binds(leaf):
                    self.awaits_are_names = True
                    return
        parts = []
        end = 0
        for start, before in awaits:
            if not _LOOP.search(before) and not _USING.match(text, start + 5):
                parts += [text[end:start], "void "]
                end = start + 5
        self._masked = "".join([*parts, text[end:]])
