"""The two grammars that models' text is read with. A tree's offsets, halved, are UTF-16 units."""

from __future__ import annotations

import functools

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

from .units import to_units


@functools.cache
def javascript() -> Language:
    """Return the grammar of JavaScript, which takes JSX too."""
    return Language(tree_sitter_javascript.language())


@functools.cache
def typescript() -> Language:
    """Return the grammar of TypeScript without JSX."""
    return Language(tree_sitter_typescript.language_typescript())


def parse(units: str, language: Language) -> Tree:
    """Parse a text given with one character for each UTF-16 unit: the tree may have errors, its offsets are doubled."""
    return Parser(language).parse(units.encode("utf-16-le", "surrogatepass"), encoding="utf16le")


def captures(tree: Tree, language: Language, patterns: str) -> dict[str, list[Node]]:
    """Find what patterns name in a tree."""
    return _cursor(language, patterns).captures(tree.root_node)


def matches(tree: Tree, language: Language, patterns: str) -> list[tuple[int, dict[str, list[Node]]]]:
    """Find where patterns match in a tree."""
    return _cursor(language, patterns).matches(tree.root_node)


def error_line(tree: Tree) -> int:
    """Return the line, from 1, of the first mistake that a tree has."""
    node = tree.root_node
    while not (node.is_error or node.is_missing):
        wrong = next((child for child in node.children if child.has_error), None)
        if wrong is None:
            break
        node = wrong
    return node.start_point.row + 1


def is_program(code: str) -> bool:
    """Tell whether the text parses as it is, as JavaScript or as TypeScript."""
    units = to_units(code)
    return any(not parse(units, language()).root_node.has_error for language in (javascript, typescript))


def _cursor(language: Language, patterns: str) -> QueryCursor:
    cursor = QueryCursor(_query(language, patterns))
    # V8 gives up long before; tree-sitter (0.26) counts depth in 16 bits, and takes for ever beyond.
    cursor.set_max_start_depth(20_000)
    return cursor


@functools.cache
def _query(language: Language, patterns: str) -> Query:
    query: Query = Query(language, patterns)
    return query
