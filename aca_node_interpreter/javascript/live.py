"""Imports that change: a name imported from a file of the model's own follows what that file assigns to it.

Names are bound once, when the text starts; that serves packages and Node.js's own modules. For specifiers that are
paths, each use of a name becomes a property of the module's namespace, which V8 keeps up to date.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace

from tree_sitter import Node

from .bindings import binds
from .declarations import FUNCTIONS
from .prepared import Edit, Import
from .syntax import Source

_FILES = ("./", "../", "/", "file:", "#")
_BLOCKS = {"statement_block", "switch_body", "for_statement", "for_in_statement", "catch_clause", "program"}
_LISTS = {"program", "statement_block", "switch_case", "switch_default"}
_TARGETS = {"update_expression": "argument", "assignment_expression": "left", "augmented_assignment_expression": "left"}
_PATTERNS = {"array_pattern", "object_pattern", "rest_pattern", "pair_pattern"}


def live_bindings(
    source: Source, imports: Sequence[Import], guarded: Container[int]
) -> tuple[list[Import], list[Edit]]:
    """Return the imports, with namespaces where names may change, and what refers to these.

    At the guarded offsets nothing before can go on with what stands there.
    """
    changed = []
    edits: list[Edit] = []
    files = [each for each in imports if each.specifier.startswith(_FILES)]
    if not files or "$import" in source.units:
        return list(imports), []
    leaves = source.occurrences({local for each in files for _, local in each.bindings})
    for index, each in enumerate(imports):
        uses = []
        space = f"$import{index}"
        if each.specifier.startswith(_FILES):
            for name, local in each.bindings:
                if name != "*":
                    property_of = f"{space}.{name}" if name.isidentifier() else f"{space}[{_quoted(name)}]"
                    uses += list(_uses(source, leaves[local], property_of, guarded))
        edits += uses
        changed.append(replace(each, bindings=(*each.bindings, ("*", space))) if uses else each)
    return changed, edits


def _quoted(text: str) -> str:
    return "'" + "".join(c if c.isalnum() else f"\\u{{{ord(c):x}}}" for c in text) + "'"


def _uses(source: Source, leaves: list[Node], property_of: str, guarded: Container[int]) -> Iterator[Edit]:
    """Yield what puts a property in the place of each use of a name that is not hidden there."""
    hidden = [_scope(leaf) for leaf in leaves if binds(leaf) and _is_inner(leaf)]
    for leaf in leaves:
        if any(scope.start_byte <= leaf.start_byte < scope.end_byte for scope in hidden):
            continue
        start, end = source.start(leaf), source.end(leaf)
        if leaf.type == "shorthand_property_identifier":
            yield Edit(end, end, f":{property_of}")
        elif leaf.type == "identifier" and not binds(leaf) and not _is_assigned(leaf):
            spelled = _spelled(leaf, property_of)
            yield Edit(start, end, spelled.lstrip(";") if start in guarded else spelled)


def _is_inner(leaf: Node) -> bool:
    """Whether a declaration is not the import itself."""
    parent = leaf.parent
    return parent is None or parent.type not in ("import_clause", "import_specifier", "namespace_import")


def _is_assigned(leaf: Node) -> bool:
    """Whether a name is assigned to, or only named in an export: the import itself is constant, and says so."""
    parent = leaf.parent
    if parent is None or parent.type in _PATTERNS or parent.type == "export_specifier":
        return True
    field = _TARGETS.get(parent.type)
    return field is not None and parent.child_by_field_name(field) == leaf


def _spelled(leaf: Node, property_of: str) -> str:
    """Return how a use is written: a call has no `this`, and a line may start with what would go on with the last."""
    parent = leaf.parent
    if parent is None or parent.type != "call_expression" or parent.child_by_field_name("function") != leaf:
        return property_of
    called = f"(0,{property_of})"
    while parent is not None and parent.start_byte == leaf.start_byte:
        above = parent.parent
        if parent.type == "expression_statement":
            return f";{called}" if above is not None and above.type in _LISTS else called
        parent = above
    return called


def _scope(leaf: Node) -> Node:
    """Return where a declaration counts."""
    declaration = leaf.parent
    while declaration is not None and declaration.type in (
        *_PATTERNS,
        "assignment_pattern",
        "object_assignment_pattern",
        "variable_declarator",
        "formal_parameters",
    ):
        declaration = declaration.parent
    if declaration is None:
        return leaf
    kind = declaration.type
    node: Node | None = declaration
    if declaration == leaf.parent and kind.endswith(("function_declaration", "class_declaration")):
        node = declaration.parent
    elif kind == "variable_declaration" or (kind == "for_in_statement" and _is_var(declaration)):
        while node is not None and node.type not in FUNCTIONS and node.type not in ("method_definition", "program"):
            node = node.parent
        return node or leaf
    elif kind in FUNCTIONS or kind in ("method_definition", "class"):
        return declaration
    while node is not None and node.type not in _BLOCKS and node.type not in FUNCTIONS:
        node = node.parent
    return node or leaf


def _is_var(loop: Node) -> bool:
    kind = loop.child_by_field_name("kind")
    return kind is not None and kind.type == "var"
