"""The two grammars that models' text is read with. A tree's offsets, halved, are UTF-16 units."""

from __future__ import annotations

import functools

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Parser, Query, Tree


@functools.cache
def javascript() -> Language:
    """Return the grammar of JavaScript, which takes JSX too."""
    return Language(tree_sitter_javascript.language())


@functools.cache
def typescript() -> Language:
    """Return the grammar of TypeScript without JSX."""
    return Language(tree_sitter_typescript.language_typescript())


def parse(units: str, language: Language) -> Tree:
    """Parse a text, given with one character for each UTF-16 unit; its tree may have errors, and offsets are doubled."""
    return Parser(language).parse(units.encode("utf-16-le", "surrogatepass"), encoding="utf16le")


@functools.cache
def query(language: Language, patterns: str) -> Query:
    """Compile a query once."""
    return Query(language, patterns)
