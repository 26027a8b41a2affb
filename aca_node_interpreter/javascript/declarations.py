"""What a text declares at its top level, and whether it waits there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tree_sitter import Node

from .syntax import Source
from .units import IDENTIFIER_PART

COMMONJS = ("exports", "require", "module", "__filename", "__dirname")
"""What a CommonJS module has as parameters."""

_WORDS = re.compile(rf"(?:function|class|var|let|const|using|import|export|await)(?!{IDENTIFIER_PART})")
FUNCTIONS = {
    "function_declaration",
    "generator_function_declaration",
    "function_expression",
    "generator_function",
    "arrow_function",
    "class_static_block",
}
_BLOCKS = {"statement_block", "switch_body", "for_statement", "for_in_statement"}


@dataclass
class Scope:
    """A block outside functions: what it declares, and its functions, which a sloppy script may hoist out of it."""

    end: int
    names: set[str] = field(default_factory=set)
    functions: list[str] = field(default_factory=list)


class Declaration(NamedTuple):
    """A declaration at the top level that takes effect where it stands; offsets of the text."""

    start: int
    end: int
    names: tuple[str, ...]
    is_constant: bool = False
    """Whether all that it declares is `const`, and has a value."""


@dataclass
class Found:
    """What stands at the top level of a text; names in their order."""

    lexical: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    vars: dict[str, None] = field(default_factory=dict)
    imports: list[Node] = field(default_factory=list)
    exports: list[Node] = field(default_factory=list)
    waits: bool = False
    declarations: list[Declaration] = field(default_factory=list)
    scopes: dict[tuple[int, int], Scope] = field(default_factory=dict)


class _Sweep:
    """One walk through the tree, from word to word that matters; what lies within a function is skipped."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found = Found()
        self.cursor = source.root.walk()
        self.path = [source.root]
        self.skip = 0
        self.patience = 8

    def run(self) -> Found:
        awaits_are_names = self.source.awaits_are_names
        for match in _WORDS.finditer(self.source.units):
            offset = match.start()
            word = match[0]
            if offset < self.skip or (word == "await" and (awaits_are_names or self.found.waits)):
                continue
            if self._go_to(self.source.byte(offset)):
                self._see(word)
        return self.found

    def _go_to(self, byte: int) -> bool:
        """Walk to the leaf at an offset; return whether there is one, outside functions."""
        path, cursor = self.path, self.cursor
        while len(path) > 1 and path[-1].end_byte <= byte:
            path.pop()
            beside = self._step_to(byte) if path[-1].end_byte > byte else None
            if beside is not None:
                if not self._enter(beside, byte):
                    return False
                break
            cursor.goto_parent()
        while cursor.goto_first_child_for_byte(byte) is not None and (node := cursor.node) is not None:
            if not self._enter(node, byte):
                return False
        return path[-1].start_byte == byte

    def _step_to(self, byte: int) -> Node | None:
        """Try the next siblings, for to look one up takes long after a row of comments: it is done ever less often."""
        cursor = self.cursor
        for _ in range(self.patience):
            if not cursor.goto_next_sibling():
                return None
            node = cursor.node
            if node is not None and node.end_byte > byte:
                return node
        self.patience *= 2
        return None

    def _enter(self, node: Node, byte: int) -> bool:
        """Take a step of the way; return whether it goes on, not into a function."""
        if node.start_byte > byte:
            # Between nodes there is nothing to find.
            self.skip = self.source.start(node)
            self.cursor.goto_parent()
            return False
        self.path.append(node)
        kind = node.type
        if kind in FUNCTIONS:
            self._see_function(node, kind)
            return False
        if kind == "method_definition":
            # Only a computed name stands outside the function that a method is.
            parameters = node.child_by_field_name("parameters")
            if parameters is None or byte >= parameters.start_byte:
                self.skip = self.source.end(node)
                return False
        elif kind == "catch_clause":
            self._see_catch(node)
        return True

    def _see_function(self, node: Node, kind: str) -> None:
        self.skip = self.source.end(node)
        name = node.child_by_field_name("name")
        if name is None or not kind.endswith("_declaration"):
            return
        place = len(self.path) - 2
        labelled = False
        while place and self.path[place].type == "labeled_statement":
            labelled = True
            place -= 1
        parent = self.path[place]
        if parent.type in ("program", "export_statement", "ERROR"):
            self.found.functions[self.source.name(name)] = None
            return
        if parent.type in ("switch_case", "switch_default"):
            parent = self.path[place - 1]
        # The branch of an `if` is a block of its own.
        scope = self._scope(parent if parent.type in _BLOCKS else node)
        if kind == "function_declaration" and not labelled and node.children[0].type == "function":
            scope.functions.append(self.source.name(name))
        else:
            scope.names.add(self.source.name(name))

    def _see_catch(self, node: Node) -> None:
        """A name that a catch clause takes apart stands in the way of hoisting; a plain one does not."""
        parameter = node.child_by_field_name("parameter")
        if parameter is not None and parameter.type != "identifier":
            self._scope(node).names.update(names_in(self.source, parameter))

    def _scope(self, node: Node) -> Scope:
        key = self.source.start(node), self.source.end(node)
        return self.found.scopes.setdefault(key, Scope(key[1]))

    def _see(self, word: str) -> None:
        leaf = self.path[-1]
        parent = self.path[-2] if len(self.path) > 1 else leaf
        kind = parent.type
        if word == "await":
            waiting = kind in ("unary_expression", "await_expression", "for_in_statement", "using_declaration")
            if waiting and leaf.type in ("void", "await"):
                self.found.waits = True
        elif leaf.type != word:
            return
        elif word == "import" and kind == "import_statement":
            self.found.imports.append(parent)
        elif word == "export" and kind == "export_statement":
            self.found.exports.append(parent)
        elif word == "class" and kind == "class_declaration":
            name = parent.child_by_field_name("name")
            if name is not None:
                self._declare([self.source.name(name)])
                self._note(parent, [self.source.name(name)])
        elif kind == "variable_declaration":
            names = list(_declared(self.source, parent))
            self.found.vars.update(dict.fromkeys(names))
            self._note(parent, names)
        elif kind in ("lexical_declaration", "using_declaration"):
            names = list(_declared(self.source, parent))
            self._declare(names)
            self._note(parent, names, is_constant=word == "const" and _has_values(parent))
        elif kind == "for_in_statement":
            left = parent.child_by_field_name("left")
            if left is None:
                return
            names = list(names_in(self.source, left))
            if word == "var":
                self.found.vars.update(dict.fromkeys(names))
            else:
                self._scope(parent).names.update(names)

    def _declare(self, names: list[str]) -> None:
        """Take a declaration that belongs to its block."""
        block = self.path[-3]
        if block.type in ("program", "export_statement", "ERROR"):
            self.found.lexical.update(dict.fromkeys(names))
            return
        if block.type in ("switch_case", "switch_default"):
            block = self.path[-4]
        self._scope(block).names.update(names)

    def _note(self, node: Node, names: list[str], *, is_constant: bool = False) -> None:
        if self.path[-3].type in ("program", "export_statement"):
            start, end = self.source.start(node), self.source.end(node)
            self.found.declarations.append(Declaration(start, end, tuple(names), is_constant))


def find_declarations(source: Source) -> Found:
    """Return what a text has at its top level."""
    return _Sweep(source).run()


def hoisted_functions(found: Found, barred: set[str]) -> list[str]:
    """Return the functions of blocks that a sloppy script sees outside of them too.

    A function is one unless a block around its own declares the same name, or the name is barred.
    """
    hoisted = []
    active: dict[str, int] = {}
    around: list[Scope] = []
    for (start, _), scope in sorted(found.scopes.items(), key=lambda item: (item[0][0], -item[0][1])):
        while around and around[-1].end <= start:
            for name in around.pop().names:
                active[name] -= 1
        hoisted += [name for name in scope.functions if not active.get(name) and name not in barred]
        scope.names.update(scope.functions)
        for name in scope.names:
            active[name] = active.get(name, 0) + 1
        around.append(scope)
    return hoisted


def names_in(source: Source, pattern: Node) -> Iterator[str]:
    """Yield the names that a pattern binds."""
    nodes = [pattern]
    while nodes:
        node = nodes.pop()
        kind = node.type
        if kind in ("identifier", "shorthand_property_identifier_pattern"):
            yield source.name(node)
        elif kind in ("object_pattern", "array_pattern", "rest_pattern"):
            nodes += reversed(node.named_children)
        elif kind in ("assignment_pattern", "object_assignment_pattern", "pair_pattern"):
            inner = node.child_by_field_name("value" if kind == "pair_pattern" else "left")
            nodes += [inner] if inner is not None else []


def _declared(source: Source, declaration: Node) -> Iterator[str]:
    for declarator in declaration.named_children:
        name = declarator.child_by_field_name("name") if declarator.type == "variable_declarator" else None
        if name is not None:
            yield from names_in(source, name)


def _has_values(declaration: Node) -> bool:
    """Whether V8 would not refuse the declaration of constants for want of a value."""
    declarators = [node for node in declaration.named_children if node.type == "variable_declarator"]
    return all(node.child_by_field_name("value") is not None for node in declarators)
