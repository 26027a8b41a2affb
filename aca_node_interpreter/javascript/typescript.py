"""Erase TypeScript's types in place, so that what is left is JavaScript with the same lines and columns.

What exists when the program runs (enums, namespaces with values, parameter properties, decorators) can't be erased;
it is refused by line. What is erased, and where a `;` or a parenthesis has to take its place, is what Node.js does
(`module.stripTypeScriptTypes`), which the tests compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node, Tree

from . import grammars, typescript_tree
from .prepared import Refusal
from .units import blank, from_units, has_line_end, line_of, to_units


def erase(code: str, *, hinted: bool = False) -> str | Refusal | None:
    """Erase the types of code that does not parse as JavaScript.

    Args:
        code: the text.
        hinted: whether whoever wrote the code called it TypeScript: then its types go even when the parser sees errors.

    Returns:
        JavaScript with the same lines and as many UTF-16 units in each; a refusal; or None where the code does not
        look like TypeScript, so that an error in it is better told about the code as it is.
    """
    units = to_units(code)
    tree = typescript_tree.parse(units)
    is_certain = hinted or _is_surely_typescript(units, tree)
    if tree.root_node.has_error and not is_certain:
        return None
    spans, has_types = _spans(units, tree)
    if not has_types:
        return None
    erased = _erased(units, spans)
    if isinstance(erased, str) and not is_certain and not _is_javascript(erased):
        return None
    return erased


# What to erase, by the name of the function that says where it starts and ends, and what takes its place.
_PATTERNS = """
[
  (type_annotation) (type_predicate_annotation) (asserts_annotation) (type_parameters) (type_arguments)
  (accessibility_modifier) (override_modifier) (implements_clause)
] @whole
(optional_parameter "?" @whole)
(method_definition "?" @whole)
(variable_declarator "!" @whole)
(non_null_expression "!" @whole .)
(abstract_class_declaration "abstract" @whole)

[(as_expression) (satisfies_expression)] @assertion

[(interface_declaration) (type_alias_declaration) (ambient_declaration)] @statement
(function_signature) @signature
(if_statement consequence: [(interface_declaration) (type_alias_declaration) (ambient_declaration)] @body)
(else_clause [(interface_declaration) (type_alias_declaration) (ambient_declaration)] @body)
(while_statement body: [(interface_declaration) (type_alias_declaration) (ambient_declaration)] @body)
(for_statement body: [(interface_declaration) (type_alias_declaration) (ambient_declaration)] @body)
(for_in_statement body: [(interface_declaration) (type_alias_declaration) (ambient_declaration)] @body)

(import_statement) @import
(export_statement) @export
[(import_specifier) (export_specifier)] @specifier

(formal_parameters (required_parameter pattern: (this)) @this)

[(public_field_definition) (method_definition)] @member
(method_signature) @signature_member
[(abstract_method_signature) (index_signature)] @type_member

(arrow_function return_type: (_)) @arrow_return
(arrow_function "async" type_parameters: (_)) @arrow_generic
(return_statement (arrow_function type_parameters: (_)) @arrow_generic)
(throw_statement (arrow_function type_parameters: (_)) @arrow_generic)
(yield_expression (arrow_function type_parameters: (_)) @arrow_generic)

(template_string) @tag_type

(enum_declaration) @enum
[(internal_module) (module)] @namespace
(required_parameter [(accessibility_modifier) (override_modifier) "readonly"]) @parameter_property
(optional_parameter [(accessibility_modifier) (override_modifier) "readonly"]) @parameter_property
(decorator) @decorator
(type_assertion) @angle_cast
(import_alias) @import_equals
"""

_CERTAIN = """
[(interface_declaration) (type_alias_declaration)] @certain
(import_statement "type") @certain
(variable_declarator type: (_) @annotation)
(required_parameter type: (_) @annotation)
(optional_parameter type: (_) @annotation)
"""
_CERTAIN_TYPE = re.compile(
    r":\s*(?:(?:string|number|boolean|any|unknown|void|never|object|bigint)\b|[A-Z][\w.]*[^\w.(])"
)

_GAP = re.compile(r"(?:\s+|//[^\n\r\u2028\u2029]*|/\*(?:[^*]|\*(?!/))*\*/)*")
"""What lies between two tokens."""


@dataclass(frozen=True)
class _Span:
    """A stretch to blank, in UTF-16 units."""

    start: int
    end: int
    marks: tuple[tuple[int, str], ...] = ()
    """Single characters that take the place of blanks in it."""
    refusal: str = ""
    """What to write instead of what can't be erased."""


def _spans(units: str, tree: Tree) -> tuple[list[_Span], bool]:
    captures = grammars.captures(tree, grammars.typescript(), _PATTERNS)
    spans: list[_Span] = []
    has_types = False
    for name, nodes in captures.items():
        found = len(spans)
        for node in nodes:
            spans.extend(_RULES[name](units, node))
        # A function without a body is more likely a slip in JavaScript.
        has_types = has_types or (len(spans) > found and name not in ("signature", "signature_member"))
    return spans, has_types


def _erased(units: str, spans: list[_Span]) -> str | Refusal:
    kept: list[str] = []
    refused: list[_Span] = []
    position = 0
    # Of those that start together the outer comes first, and of equal ones that with marks.
    for span in sorted(spans, key=lambda span: (span.start, -span.end, not span.marks)):
        if span.start < position:
            continue  # Within one that is gone already.
        if span.refusal:
            refused.append(span)
            continue
        kept.append(units[position : span.start])
        gap = blank(units[span.start : span.end])
        for at, character in span.marks:
            gap = gap[: at - span.start] + character + gap[at - span.start + 1 :]
        kept.append(gap)
        position = span.end
    if refused:
        return _refusal(units, refused)
    kept.append(units[position:])
    return from_units("".join(kept))


def _refusal(units: str, refused: list[_Span]) -> Refusal:
    lines = list(dict.fromkeys(f"Line {line_of(units, span.start)}: {span.refusal}" for span in refused[:3]))
    if len(refused) > 3:
        lines.append(f"{len(refused) - 3} more like these.")
    return Refusal("TypeScript's types are removed before it runs, but this is more than a type.\n" + "\n".join(lines))


def _is_javascript(code: str) -> bool:
    return not grammars.parse(to_units(code), grammars.javascript()).root_node.has_error


def _is_surely_typescript(units: str, tree: Tree) -> bool:
    """Tell whether a text has what no slip in JavaScript looks like."""
    found = grammars.captures(tree, grammars.typescript(), _CERTAIN)
    return any(not node.has_error for node in found.get("certain", ())) or any(
        _CERTAIN_TYPE.match(units, _start(node)) for node in found.get("annotation", ())
    )


# Where nodes are, and what comes after them.


def _start(node: Node) -> int:
    return node.start_byte // 2


def _end(node: Node) -> int:
    return node.end_byte // 2


def _end_of_statement(node: Node) -> int:
    """Return where it ends; the grammar counts the comments before a `;` that is not written to it."""
    while True:
        last = next((child for child in reversed(node.children) if child.type != "comment"), None)
        if last is None or last.type not in _WITH_ONE_INSIDE:
            return _end(last or node)
        node = last


_WITH_ONE_INSIDE = ("type_alias_declaration", "function_signature", "lexical_declaration", "variable_declaration")


def _next(units: str, offset: int) -> int:
    """Return where the next token starts."""
    match = _GAP.match(units, offset)
    return match.end() if match else offset


def _child(node: Node, *kinds: str) -> Node | None:
    return next((child for child in node.children if child.type in kinds), None)


def _with_comma(units: str, node: Node) -> _Span:
    after = _next(units, _end(node))
    return _Span(_start(node), after + 1 if units[after : after + 1] == "," else _end(node))


def _runs_on(units: str, offset: int, starters: str) -> bool:
    """Tell whether what follows on a later line would continue a statement that ends here without a `;`."""
    after = _next(units, offset)
    return units[after : after + 1] in tuple(starters) and has_line_end(units[offset:after])


def _follows_semicolon(units: str, offset: int) -> bool:
    at = offset - 1
    while at >= 0 and units[at].isspace():
        at -= 1
    return at < 0 or units[at] == ";"


# The rules.


def _whole(_units: str, node: Node) -> Iterator[_Span]:
    yield _Span(_start(node), _end(node))


def _assertion(units: str, node: Node) -> Iterator[_Span]:
    start, end = _end(node.children[0]), _end(node)
    if _runs_on(units, end, "([`"):
        yield _Span(start, end, ((_next(units, start), ";"),))
    else:
        yield _Span(start, end)


def _statement(units: str, node: Node) -> Iterator[_Span]:
    start, end = _start(node), _end_of_statement(node)
    if _runs_on(units, end, "([`+-/") and not _follows_semicolon(units, start):
        yield _Span(start, end, ((start, ";"),))
    else:
        yield _Span(start, end)


def _body(_units: str, node: Node) -> Iterator[_Span]:
    yield _Span(_start(node), _end(node), ((_start(node), ";"),))


def _import(units: str, node: Node) -> Iterator[_Span]:
    if _child(node, "type"):
        yield from _statement(units, node)
    elif _child(node, "import_require_clause"):
        yield _Span(_start(node), _end(node), refusal="write `const x = require('x')` for `import x = require('x')`.")


def _export(units: str, node: Node) -> Iterator[_Span]:
    erasable = ("type", "interface_declaration", "type_alias_declaration", "ambient_declaration", "function_signature")
    if _child(node, *erasable):
        yield from _statement(units, node)
    elif _child(node, "=") and not _child(node, "default"):
        yield _Span(_start(node), _end(node), refusal="write `export default x` for `export = x`.")
    elif (module := _child(node, "internal_module", "module")) and _is_without_values(module):
        yield from _statement(units, node)


def _specifier(units: str, node: Node) -> Iterator[_Span]:
    # `type as X` is a value called `type`; `type as` and `type as as X` are types called `as`.
    words = units[_start(node) : _end(node)].split()
    if words[0] == "type" and len(words) in (2, 4):
        yield _with_comma(units, node)


def _this(units: str, node: Node) -> Iterator[_Span]:
    yield _with_comma(units, node)


def _type_member(units: str, node: Node) -> Iterator[_Span]:
    start, end = _start(node), _end(node)
    after = _next(units, end)
    if units[after : after + 1] == ";":
        yield _Span(start, after + 1)
    elif _runs_on(units, end, "[*(") and not _follows_semicolon(units, start):
        yield _Span(start, end, ((start, ";"),))
    else:
        yield _Span(start, end)


def _member(units: str, node: Node) -> Iterator[_Span]:
    name = node.child_by_field_name("name")
    if name is None:
        return
    modifiers = {child.type: child for child in node.children if child.start_byte < name.start_byte}
    if "declare" in modifiers or "abstract" in modifiers:
        yield from _type_member(units, node)
        return
    for mark in ("?", "!", "readonly"):
        if child := _child(node, mark):
            yield _Span(_start(child), _end(child))
    erased = [
        modifiers[kind] for kind in ("accessibility_modifier", "override_modifier", "readonly") if kind in modifiers
    ]
    if erased and "static" not in modifiers and "decorator" not in modifiers:
        is_bare = units[_start(name) : _end(name)] in ("in", "instanceof")
        if name.type == "computed_property_name" or "*" in modifiers or is_bare:
            first = min(erased, key=lambda child: child.start_byte)
            yield _Span(_start(first), _end(first), ((_start(first), ";"),))
    kind = node.child_by_field_name("type")
    if (
        kind is not None
        and not node.child_by_field_name("value")
        and units[_start(name) : _end(name)] in ("get", "set", "static")
    ):
        yield _Span(_start(kind), _end(kind), ((_start(kind), ";"),))


def _arrow_return(units: str, node: Node) -> Iterator[_Span]:
    parameters, kind = node.child_by_field_name("parameters"), node.child_by_field_name("return_type")
    arrow = _child(node, "=>")
    if parameters and kind and arrow and has_line_end(units[_end(parameters) : _start(arrow)]):
        # No line may end between `)` and `=>`: the parenthesis moves down.
        yield _Span(_end(parameters) - 1, _end(parameters))
        yield _Span(_start(kind), _end(kind), ((_end(kind) - 1, ")"),))


def _arrow_generic(units: str, node: Node) -> Iterator[_Span]:
    kinds, parameters = node.child_by_field_name("type_parameters"), node.child_by_field_name("parameters")
    if kinds and parameters and has_line_end(units[_start(kinds) : _start(parameters)]):
        # No line may end after `async`, `return`, `throw` and `yield`: the parenthesis moves up.
        yield _Span(_start(kinds), _end(kinds), ((_start(kinds), "("),))
        yield _Span(_start(parameters), _start(parameters) + 1)


def _tag_type(units: str, node: Node) -> Iterator[_Span]:
    """Find the types of a tag, as in `sql<Row>`…``, which the grammar takes for comparisons."""
    end = _start(node)
    if units[max(0, end - 1) : end] != ">" or units[max(0, end - 2) : end] == "=>":
        return
    depth = 0
    for bracket in reversed(list(_ANGLES.finditer(units, units.rfind("`", 0, end) + 1, end))):
        depth += {">": 1, "<": -1}.get(bracket[0], 0)
        if depth == 0 and bracket[0] == "<":
            if _NAME_END.match(units, bracket.start() - 1):
                yield _Span(bracket.start(), end)
            return


_ANGLES = re.compile("=>|[<>]")
_NAME_END = re.compile(r"[\w$)\]]")


def _namespace(units: str, node: Node) -> Iterator[_Span]:
    if _is_without_values(node):
        yield from _statement(units, node)
    else:
        yield _Span(
            _start(node), _end(node), refusal="a namespace with values: write an object, `const Name = { … }`, instead."
        )


def _is_without_values(module: Node) -> bool:
    waiting = [module]
    while waiting:
        for node in waiting.pop().children:
            if node.type in (
                "statement_block",
                "export_statement",
                "internal_module",
                "module",
                "expression_statement",
            ):
                waiting.append(node)
            elif node.is_named and node.type not in _WITHOUT_VALUES:
                return False
    return True


_WITH_STATEMENTS = ("statement_block", "export_statement", "internal_module", "module", "expression_statement")
_WITHOUT_VALUES = (
    "identifier",
    "nested_identifier",
    "string",
    "comment",
    "interface_declaration",
    "type_alias_declaration",
)


def _refused(advice: str) -> Callable[[str, Node], Iterator[_Span]]:
    def rule(_units: str, node: Node) -> Iterator[_Span]:
        yield _Span(_start(node), _end(node), refusal=advice)

    return rule


_RULES: dict[str, Callable[[str, Node], Iterator[_Span]]] = {
    "whole": _whole,
    "assertion": _assertion,
    "statement": _statement,
    "signature": _statement,
    "body": _body,
    "import": _import,
    "export": _export,
    "specifier": _specifier,
    "this": _this,
    "member": _member,
    "type_member": _type_member,
    "signature_member": _type_member,
    "arrow_return": _arrow_return,
    "arrow_generic": _arrow_generic,
    "tag_type": _tag_type,
    "namespace": _namespace,
    "enum": _refused("an enum: write `const Name = { First: 0, Second: 1 }` instead."),
    "parameter_property": _refused(
        "a parameter property: declare the field in the class and write `this.name = name` in the constructor."
    ),
    "decorator": _refused("a decorator: call the function on the class or the value instead."),
    "angle_cast": _refused("a cast in angle brackets: write `value as Type` for `<Type>value`."),
    "import_equals": _refused("an import alias: write `const name = Space.name` for `import name = Space.name`."),
}
