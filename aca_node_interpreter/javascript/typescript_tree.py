"""Parse TypeScript, also where the grammar (tree-sitter-typescript 0.23) does not know it or misreads it.

The parser is then shown a copy in which that is written in a way it knows, character for character, so that its offsets
are those of the text. A copy is used only where the text itself does not parse, or plainly was misread.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node, Tree

from . import grammars
from .units import blank, has_line_end


def parse(units: str) -> Tree:
    """Parse TypeScript as well as can be; the tree may have errors, and its offsets are doubled."""
    tree = grammars.parse(units, grammars.typescript())
    if tree.root_node.has_error:
        copy = _respelled(units, tree)
        other = grammars.parse(copy, grammars.typescript())
        if not other.root_node.has_error:
            units, tree = copy, other
    copy = _disambiguated(units, tree)
    if copy == units:
        return tree
    other = grammars.parse(copy, grammars.typescript())
    return tree if other.root_node.has_error and not tree.root_node.has_error else other


def _spaces(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _braces(match: re.Match[str]) -> str:
    return "{" + " " * (len(match[0]) - 2) + "}"


def _semicolon(match: re.Match[str]) -> str:
    """Put a `;` in the place of the last line end, if there is one."""
    gap = match[0]
    last = gap.rfind("\n")
    return gap if last < 0 else f"{gap[:last]};{gap[last + 1 :]}"


_SPELLINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    # class Box<in out T>
    (re.compile(r"(?<=[<,\s])(?:in\s+)?(?:in|out)(?=\s+[\w$]+\s*(?:[,>=]|extends\b))"), _spaces),
    # interface Call { (a: A): B⏎ <T>(a: T): B }
    (re.compile(r"(?<=[\w$\])}\"'`>])(?<!=>)\s+(?=<\s*(?:const\s+)?[\w$]+\s*(?:,|>\s*\(|extends\b|=))"), _semicolon),
    # Callback<<T>(a: T) => void>
    (re.compile(r"(?<=<)<\s*[\w$][^<>]*>(?=\()"), _spaces),
    # `an \`escaped\` type`
    (re.compile(r"\\[\\`]"), lambda match: "__"),
    # type as a name of a type
    (re.compile(r"(?<![\w$.])type(?=\s*(?:extends\b|[>,)\[\]&|?]))"), lambda match: "type"[:-1] + "_"),
    # { in: A }
    (re.compile(r"(?<=[\s{;,])in(?=\??:)"), lambda match: "i_"),
    # export type * from "a"
    (
        re.compile(r"(?<=export type )\*(?:\s+as\s+[\w$]+)?\s+(?=from\b)"),
        lambda match: "{" + " " * (len(match[0]) - 2) + "}",
    ),
    # class A { accessor x = 1 }
    (re.compile(r"(?<![\w$.])accessor(?=\s+[\w$#\[\"'])"), _spaces),
    # using file: File = open()
    (re.compile(r"(?<![\w$.])await\s+(?=using\s+[\w$]+\s*[:=])"), _spaces),
    (re.compile(r"(?<![\w$.])using(?=\s+[\w$]+\s*[:=])"), lambda match: "const"),
)


def _respelled(units: str, tree: Tree) -> str:
    parts: list[str] = []
    position = 0
    comments = grammars.captures(tree, grammars.typescript(), "(comment) @comment").get("comment", ())
    for start, end in sorted(_range(node) for node in comments):
        parts += (units[position:start], blank(units[start:end]))
        position = end
    copy = "".join((*parts, units[position:]))
    for pattern, spelling in _SPELLINGS:
        copy = pattern.sub(spelling, copy)
    return copy


# No error, yet another meaning: a line that starts with `[` does not go on with the type before it; a name of three
# parts after `as` is one name; `as` is a name after `let`.
_MISREAD = """
(lookup_type . (_) @before "[" @bracket)
(array_type . (_) @before "[" @bracket)
(member_expression object: [(as_expression) (satisfies_expression)] @qualified)
(as_expression . (identifier) @let . "as" @as)
"""
_NAMES = re.compile(r"(?:\s*\.\s*[\w$]+)*")
_DOT = re.compile(r"(?<=[\w$])\s*\.\s*(?=[A-Za-z_$])")


def _disambiguated(units: str, tree: Tree) -> str:
    changes: list[tuple[int, str]] = []
    for _pattern, found in grammars.matches(tree, grammars.typescript(), _MISREAD):
        if "bracket" in found:
            start, end = _range(found["before"][0])[1], _range(found["bracket"][0])[0]
            if has_line_end(units[start:end]):
                changes.append((end - 1, ";"))
        elif "as" in found:
            if _text(units, found["let"][0]) in ("let", "const", "var"):
                changes.append((_range(found["as"][0])[0], "a_"))
        elif _text(units, found["qualified"][0].children[0]) not in ("let", "const", "var"):
            changes.append(_one_name(units, found["qualified"][0]))
    parts: list[str] = []
    position = 0
    for at, replacement in sorted(changes):
        if at >= position:
            parts += (units[position:at], replacement)
            position = at + len(replacement)
    return "".join((*parts, units[position:]))


def _one_name(units: str, assertion: Node) -> tuple[int, str]:
    """Spell in one, `a_b_c`, the names in the type of an assertion that ends amid the name `a.b.c`."""
    start, middle = _range(assertion.children[0])[1], _range(assertion)[1]
    more = _NAMES.match(units, middle)
    return start, _DOT.sub(lambda match: "_" * len(match[0]), units[start : more.end() if more else middle])


def _range(node: Node) -> tuple[int, int]:
    return node.start_byte // 2, node.end_byte // 2


def _text(units: str, node: Node) -> str:
    start, end = _range(node)
    return units[start:end]
