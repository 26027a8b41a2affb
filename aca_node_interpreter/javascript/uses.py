"""What a text uses of Node.js, as far as its tree tells: modules, globals, and places where nobody can tell.

It reads what is written, not what it does: the code of packages, of files and in strings stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Node

from . import grammars
from .bindings import binds
from .declarations import FUNCTIONS
from .modules import string_at
from .syntax import Source
from .units import from_units, unescaped

BUILTINS = frozenset(
    str.split(
        """
        assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain
        events fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl
        stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib
        """
    )
)
"""Node.js's own modules that need no `node:` before their names."""

NETWORK_GLOBALS = frozenset({"fetch", "WebSocket", "WebSocketStream", "EventSource", "XMLHttpRequest", "WebTransport"})
"""Globals that reach the network."""

# As plain names these are other things; the rest of the modules are globals in a session, as in Node.js's REPL.
_GLOBALS = (BUILTINS - {"console", "module", "process"}) | NETWORK_GLOBALS
_ROOTS = {"globalThis", "global"}
_GUARDED = {*_ROOTS, "process", "module", "require"}
_LOADERS = {"require", "getBuiltinModule"}
# Ways around `require`, and of code in strings.
_HIDDEN = {"_load", "_compile", "_linkedBinding", "dlopen"}
_WATCHED = {*_GLOBALS, *_ROOTS, *_LOADERS, *_HIDDEN, "createRequire", "eval", "Function", "constructor", "binding"}
_HARMLESS_OF_REQUIRE = {"resolve", "main", "cache"}

_IMPORTS = """
(import_statement source: (string) @source)
(export_statement source: (string) @source)
(call_expression function: (import) @import)
"""
_NAMES = """
(identifier) @name
(property_identifier) @name
(shorthand_property_identifier) @name
(shorthand_property_identifier_pattern) @name
(subscript_expression index: (_) @index)
(pair_pattern key: (computed_property_name) @computed)
"""
_BLOCKS = {"program", "statement_block", "switch_body", "for_statement", "for_in_statement", "class_static_block"}
_FUNCTIONS = {"program", "method_definition", "class_static_block", *FUNCTIONS}
_SCOPES = _BLOCKS | _FUNCTIONS | {"catch_clause"}
_PATTERNS = {
    "array_pattern",
    "object_pattern",
    "pair_pattern",
    "rest_pattern",
    "assignment_pattern",
    "object_assignment_pattern",
}
_OWN_SCOPE = {"function_expression", "generator_function", "class", "arrow_function", "catch_clause"}
_COMPARES = {"===", "!==", "==", "!=", "in", "instanceof"}
# Characters that are shown of what can't be read.
_SHOWN = 60


class Use(NamedTuple):
    """Something that a text uses."""

    name: str
    """As it is written."""
    line: int
    """From 1."""


@dataclass(frozen=True)
class Uses:
    """What a text uses."""

    modules: tuple[Use, ...] = ()
    """What it imports or requires, by the specifiers."""
    globals: tuple[Use, ...] = ()
    """What it takes from the global object and does not declare: Node.js's modules, and what reaches the network."""
    unreadable: tuple[Use, ...] = ()
    """Where a module may be loaded, or code be run, and the text does not say which."""
    own: frozenset[str] = frozenset()
    """Names of such globals that the text leaves to later runs as variables of its own."""


def uses_of(source: Source) -> Uses:
    """Return what a text uses."""
    return _Reading(source).uses()


class _Reading:
    """One look through a tree."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._modules: list[Use] = []
        self._unreadable: list[Use] = []
        self._scopes: dict[str, list[tuple[int, int]]] = {}
        self._assigned: set[str] = set()
        self._own: set[str] = set()

    def uses(self) -> Uses:
        found = grammars.captures(self._source.tree, grammars.javascript(), _IMPORTS + _NAMES)
        for node in found.get("source", ()):
            self._modules.append(self._use(string_at(self._source, node), node))
        for node in found.get("import", ()):
            self._load(node)
        for node in found.get("computed", ()):
            self._unread(node)
        leaves = [(self._source.name(leaf), leaf) for leaf in found.get("name", ())]
        for name, leaf in leaves:
            if name in _GLOBALS:
                self._declare(name, leaf)
        globals_: list[Use] = []
        for name, leaf in leaves:
            if name in _WATCHED:
                globals_ += self._see(name, leaf)
        for node in found.get("index", ()):
            globals_ += self._see_index(node)
        return Uses(
            tuple(sorted(self._modules, key=_line)),
            tuple(sorted(globals_, key=_line)),
            tuple(sorted(self._unreadable, key=_line)),
            frozenset(self._own),
        )

    def _see(self, name: str, leaf: Node) -> Iterator[Use]:
        """Judge a name by where it stands."""
        parent = leaf.parent
        if parent is None or _is_key(leaf, parent):
            return
        if parent.type == "unary_expression" and leaf.type == "identifier":
            # Nothing can be done with `typeof fs`.
            return
        of = _object_of(leaf, parent)
        if name in _GLOBALS:
            if self._is_global(name, leaf, of):
                yield self._use(name, leaf)
        elif name in _ROOTS:
            # Under another name, nobody sees what is taken of it.
            if of is None and not _is_object(leaf, parent) and not _is_compared(parent):
                self._unread(leaf)
        elif name in _LOADERS:
            self._see_loader(name, leaf, parent)
        elif name == "createRequire":
            self._see_maker(leaf, parent)
        elif name in _HIDDEN or (name == "binding" and of is not None and self._text(of) == "process"):
            self._unread(leaf)
        elif name == "eval":
            if of is None or self._is_root(of):
                self._unread(leaf)
        elif name == "Function":
            if not binds(leaf) and not _is_prototype(self._source, leaf, parent) and not _is_compared(parent):
                self._unread(leaf)
        elif name == "constructor" and of is not None and of.type != "this" and _is_called(parent):
            # That of a function makes functions of strings.
            self._unread(leaf)

    def _see_loader(self, name: str, leaf: Node, parent: Node) -> None:
        if name != "getBuiltinModule" and (binds(leaf) or _is_assigned(leaf)):
            return
        if name == "require" and _is_object(leaf, parent):
            member = parent.child_by_field_name("property")
            if member is not None and self._text(member) in _HARMLESS_OF_REQUIRE:
                return
        self._load(_whole(leaf, parent))

    def _see_index(self, index: Node) -> Iterator[Use]:
        """Judge `object[index]`: a string is as good as a name."""
        subscript = index.parent
        of = subscript.child_by_field_name("object") if subscript is not None else None
        if subscript is None or of is None:
            return
        name = self._literal(index)
        if name is None:
            if self._text(of) in _GUARDED or self._is_root(of):
                self._unread(index)
        elif name in _LOADERS:
            self._load(subscript)
        elif self._is_way_around(name, of, subscript):
            self._unread(index)
        elif name in _GLOBALS and self._is_root(of):
            yield self._use(name, index)

    def _is_way_around(self, name: str, of: Node, subscript: Node) -> bool:
        """Whether `of[name]` loads a module or runs code so that nobody can tell which."""
        if name == "binding":
            return self._text(of) == "process"
        if name == "constructor":
            return of.type != "this" and _is_called(subscript)
        if name in {"eval", "Function"}:
            return self._is_root(of)
        return name in _HIDDEN or name == "createRequire"

    def _see_maker(self, leaf: Node, parent: Node) -> None:
        """Judge `createRequire`: what it makes may be called `require` alone, which every later run is watched for."""
        if binds(leaf):
            if parent.child_by_field_name("alias") is not None:
                self._unread(leaf)
            return
        whole = _whole(leaf, parent)
        made = whole.parent
        around = made.parent if made is not None and _is_called(whole) else None
        if made is None or around is None:
            self._unread(leaf)
        elif _is_called(made):
            self._load(made)
        else:
            left = around.child_by_field_name("name") or around.child_by_field_name("left")
            if left is None or self._text(left) != "require":
                self._unread(leaf)

    def _load(self, loader: Node) -> None:
        """Note the module that a loader is called with, or that nobody can tell it."""
        call = loader.parent
        arguments = call.child_by_field_name("arguments") if call is not None and _is_called(loader) else None
        first = next((each for each in arguments.named_children if each.type != "comment"), None) if arguments else None
        name = self._literal(first) if first is not None else None
        if name is None:
            self._unread(loader)
        else:
            self._modules.append(self._use(name, loader))

    def _literal(self, node: Node) -> str | None:
        """Return what a string says that is written out."""
        if node.type == "string":
            return string_at(self._source, node)
        if node.type == "template_string" and all(each.type != "template_substitution" for each in node.named_children):
            return unescaped(self._source.slice(node)[1:-1])
        return None

    def _declare(self, name: str, leaf: Node) -> None:
        """Note where a name is the text's own."""
        parent = leaf.parent
        if parent is None:
            return
        of = _object_of(leaf, parent)
        if _is_assigned(_whole(leaf, parent)) and (of is None or self._text(of) in _ROOTS):
            self._assigned.add(name)
            self._own.add(name)
        elif (scope := _scope_of(leaf)) is not None:
            self._scopes.setdefault(name, []).append((scope.start_byte, scope.end_byte))
            if scope.type == "program":
                self._own.add(name)

    def _is_global(self, name: str, leaf: Node, of: Node | None) -> bool:
        """Whether a name is that of the global object, and is read."""
        if of is not None:
            return self._is_root(of) and (leaf.parent is None or not _is_assigned(leaf.parent))
        if binds(leaf) or leaf.type == "property_identifier" or _is_assigned(leaf):
            return False
        if any(start <= leaf.start_byte < end for start, end in self._scopes.get(name, ())):
            return False
        return name not in self._assigned or self._is_in_own_assignment(name, leaf)

    def _is_in_own_assignment(self, name: str, leaf: Node) -> bool:
        """Whether a name is read for its own new value, as in `fs = fs`."""
        around = leaf.parent
        while around is not None:
            left = around.child_by_field_name("left") if around.type == "assignment_expression" else None
            if left is not None and self._text(left) == name:
                return True
            around = around.parent
        return False

    def _is_root(self, node: Node) -> bool:
        """Whether something is the global object by a name of its own, which it has in itself, too."""
        if node.type == "subscript_expression":
            of, index = node.child_by_field_name("object"), node.child_by_field_name("index")
            name = self._literal(index) if index is not None else None
        else:
            of, member = node.child_by_field_name("object"), node.child_by_field_name("property")
            name = self._text(node if member is None else member)
        return name in _ROOTS and (of is None or self._is_root(of))

    def _text(self, node: Node) -> str:
        return self._source.name(node)

    def _use(self, name: str, node: Node) -> Use:
        return Use(name, node.start_point.row + 1)

    def _unread(self, node: Node) -> None:
        written = from_units(self._source.slice(node.parent or node))
        shown = written if len(written) <= _SHOWN else written[:_SHOWN] + "…"
        self._unreadable.append(self._use(" ".join(shown.split()), node))


def _line(use: Use) -> int:
    return use.line


def _is_key(leaf: Node, parent: Node) -> bool:
    """Whether a name is only what something is called inside an object or a class."""
    return parent.type in ("pair", "method_definition", "field_definition") and leaf.type == "property_identifier"


def _object_of(leaf: Node, parent: Node) -> Node | None:
    """Return the object that a name is a property of."""
    if parent.type == "member_expression" and leaf.type == "property_identifier":
        return parent.child_by_field_name("object")
    return None


def _is_object(leaf: Node, parent: Node) -> bool:
    """Whether something is taken of a name."""
    return parent.type in ("member_expression", "subscript_expression") and parent.child_by_field_name("object") == leaf


def _whole(leaf: Node, parent: Node) -> Node:
    """Return `a.b` for its `b`, and other names as they are."""
    return parent if _object_of(leaf, parent) is not None else leaf


def _is_called(node: Node) -> bool:
    call = node.parent
    return call is not None and node in (call.child_by_field_name("function"), call.child_by_field_name("constructor"))


def _is_assigned(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type == "assignment_expression" and parent.child_by_field_name("left") == node


def _is_compared(parent: Node) -> bool:
    operator = parent.child_by_field_name("operator") if parent.type == "binary_expression" else None
    return operator is not None and operator.type in _COMPARES


def _is_prototype(source: Source, leaf: Node, parent: Node) -> bool:
    member = parent.child_by_field_name("property")
    return _is_object(leaf, parent) and member is not None and source.name(member) == "prototype"


def _scope_of(leaf: Node) -> Node | None:
    """Return where a name that is declared is the text's own."""
    parent = leaf.parent
    if not binds(leaf):
        return None
    while parent is not None and parent.type in _PATTERNS:
        parent = parent.parent
    if parent is None:
        return None
    kind = parent.type
    if kind == "formal_parameters":
        return parent.parent
    if kind in _OWN_SCOPE or kind == "for_in_statement":
        return parent
    if kind == "variable_declarator" and parent.parent is not None and parent.parent.type == "variable_declaration":
        # Without a value it may be what it was.
        return _around(parent, _FUNCTIONS) if parent.child_by_field_name("value") is not None else None
    return _around(parent, {"program"} if kind == "assignment_expression" else _SCOPES)


def _around(node: Node, kinds: set[str]) -> Node | None:
    around = node.parent
    while around is not None and around.type not in kinds:
        around = around.parent
    return around
