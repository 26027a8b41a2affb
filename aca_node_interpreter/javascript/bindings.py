"""Which identifiers declare."""

from __future__ import annotations

from tree_sitter import Node

_BINDING_PARENTS = {
    "formal_parameters": None,
    "array_pattern": None,
    "object_pattern": None,
    "rest_pattern": None,
    "pair_pattern": "value",
    "assignment_pattern": "left",
    "object_assignment_pattern": "left",
    "variable_declarator": "name",
    "function_declaration": "name",
    "function_expression": "name",
    "generator_function_declaration": "name",
    "generator_function": "name",
    "class_declaration": "name",
    "class": "name",
    "arrow_function": "parameter",
    "catch_clause": "parameter",
    "import_clause": None,
    "namespace_import": None,
    "import_specifier": None,
}


def binds(leaf: Node) -> bool:
    """Whether an identifier declares: a variable, a parameter, a function, a class or an import.

    A destructuring assignment looks like a declaration to the grammar, and to this.
    """
    if leaf.type not in ("identifier", "shorthand_property_identifier_pattern"):
        return False
    parent = leaf.parent
    if parent is None:
        return False
    if parent.type == "for_in_statement":
        return parent.child_by_field_name("left") == leaf and parent.child_by_field_name("kind") is not None
    if parent.type not in _BINDING_PARENTS:
        return False
    field = _BINDING_PARENTS[parent.type]
    return field is None or parent.child_by_field_name(field) == leaf
