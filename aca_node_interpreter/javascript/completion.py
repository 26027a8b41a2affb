"""The value of a text: its last expression, returned."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from .prepared import Edit
from .syntax import Source

_NOTHING = {"comment", "html_comment", "empty_statement", "hash_bang_line", "{", "}"}
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_FEW = 20
_DEEP = 20


_START, _END = "return (", ")"
# An async function waits for what it returns, but not for what is inside of an object.
_BOXED = {_START: "return {$last:(", _END: ")}"}


def returned(source: Source, *, boxed: bool) -> Iterator[Edit]:
    """Yield what returns the value of the last statement, boxed as the runtime wants it of an async function.

    That is an expression, or the last expression of a last block, `if` or `try`, after which nothing else would run.
    """
    for edit in _returned(source):
        yield edit._replace(text=_BOXED[edit.text]) if boxed else edit


def _returned(source: Source) -> Iterator[Edit]:
    blocks = [source.root]
    while blocks:
        block = blocks.pop()
        statement = _last(block)
        if statement is None:
            if block != source.root and block.parent == source.root and _is_alone(source, block):
                yield from _around(source, block)
            continue
        kind = statement.type
        if kind == "expression_statement":
            yield from _expression(source, statement, block)
        elif kind == "statement_block":
            blocks.append(statement)
        elif kind == "if_statement":
            blocks += _branches(statement)
        elif kind == "try_statement":
            blocks += _attempts(statement)


def _attempts(statement: Node) -> list[Node]:
    """Return the blocks of a `try` that may come last."""
    found = [statement.child_by_field_name("body")]
    if (handler := statement.child_by_field_name("handler")) is not None:
        found.append(handler.child_by_field_name("body"))
    return [block for block in found if block is not None]


def _branches(statement: Node) -> list[Node]:
    """Return what an `if` and its `else` do, each as something that has a last statement."""
    found = [statement]
    if (branch := statement.child_by_field_name("alternative")) is not None:
        found.append(branch)
    return found


def _last(block: Node) -> Node | None:
    """Return the last statement that does something."""
    if block.type == "if_statement":
        return block.child_by_field_name("consequence")
    count = block.child_count
    for index in range(count - 1, max(-1, count - _FEW), -1):
        child = block.child(index)
        if child is not None and child.type not in _NOTHING:
            return child
    # To reach a child takes time when there are many comments.
    return next(
        (child for child in reversed(block.children[: max(0, count - _FEW)]) if child.type not in _NOTHING), None
    )


def _expression(source: Source, statement: Node, block: Node) -> Iterator[Edit]:
    expression = next((child for child in statement.children if child.type not in _NOTHING), None)
    if expression is None or expression.type in (";", "ERROR"):
        return
    if source.start(expression) == source.object_at:
        yield from _around(source, expression)
        return
    if source.units[source.start(expression)] == "{":
        # V8 sees a block, not an object.
        if expression.type == "object" and _reads_alike(source, expression, 0):
            yield from _around(source, expression)
        return
    if block.type == "statement_block" and block.parent == source.root and _is_shorthand(source, block, expression):
        yield from _around(source, block)
        return
    yield from _around(source, expression)


def _around(source: Source, node: Node) -> Iterator[Edit]:
    start, end = source.start(node), source.end(node)
    yield Edit(start, start, _START)
    yield Edit(end, end, _END)


def _is_alone(source: Source, block: Node) -> bool:
    """Whether a text is `{}`."""
    return source.units.strip().rstrip(";").rstrip() == "{}"


def _is_shorthand(source: Source, block: Node, expression: Node) -> bool:
    """Whether a block is an object like `{a, b}`."""
    if block.named_child_count != 1 or source.units[source.end(expression) : source.end(block)].strip() != "}":
        return False
    names = [expression]
    while names:
        name = names.pop()
        if name.type == "sequence_expression":
            names += name.named_children
        elif name.type != "identifier":
            return False
    return True


def _reads_alike(source: Source, literal: Node, depth: int) -> bool:
    """Whether an object does what V8 would do where it sees a block of labels, or V8 sees no such block."""
    if depth > _DEEP:
        return False
    for member in literal.named_children:
        if member.type == "pair":
            value = member.child_by_field_name("value")
            if value is None:
                return False
            if value.type == "object":
                if not _reads_alike(source, value, depth + 1):
                    return False
            elif not _cannot_start_statement(source, value):
                return False
        elif member.type == "method_definition":
            body = member.child_by_field_name("body")
            # In one line, `name() {` can't be a call and a block.
            if body is None or _LINE_END.search(source.units, source.start(member), source.start(body)):
                return False
        elif member.type not in ("shorthand_property_identifier", "spread_element", "comment"):
            return False
    return True


def _cannot_start_statement(source: Source, value: Node) -> bool:
    """Whether a value, after a label, would not be a block or a declaration instead."""
    if value.type == "function_expression":
        return value.child_by_field_name("name") is None
    return value.type == "class" or not source.slice(value).startswith(("{", "function", "class"))
