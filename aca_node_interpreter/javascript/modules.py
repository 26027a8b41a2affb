"""A module's static imports and exports, as a function's body has to spell them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from .declarations import Found
from .prepared import Edit, Import
from .syntax import Source
from .units import blank, unescaped

META = "$importMeta"
"""What stands for `import.meta`, and is as long."""

_META = re.compile(r"import\s*\.\s*meta\b")
_STRING = re.compile(r"""(["'])(?:(?!\1)[^\\\n]|\\(?:\r\n|[\s\S]))*\1""")
_ATTRIBUTE = re.compile(r"""([\w$]+|"[^"\n]*"|'[^'\n]*')\s*:\s*(["'])((?:[^"'\\\n]|\\.)*)\2""")


def imported(source: Source, found: Found) -> list[Import]:
    """Return what a text imports, also to export it again, in its order."""
    nodes = sorted(
        (*found.imports, *(node for node in found.exports if _source_of(node))), key=lambda node: node.start_byte
    )
    return [_read_import(source, node) for node in nodes]


def module_edits(source: Source, found: Found) -> Iterator[Edit]:
    """Yield what takes imports and exports out of the text, each of them with its own place kept."""
    for node in found.imports:
        yield _removed(source, node)
    for node in found.exports:
        yield from _export(source, node)


def meta_edits(source: Source) -> Iterator[Edit]:
    """Yield what puts a name in the place of each `import.meta`."""
    if "meta" not in source.units or META in source.units:
        return
    for match in _META.finditer(source.units):
        leaf = source.leaf(match.start(), match.start() + 6)
        if leaf is not None and leaf.type == "import":
            yield Edit(match.start(), match.end(), META + "".join(c for c in match[0] if c in "\n\r\u2028\u2029"))


def _source_of(node: Node) -> Node | None:
    return node.child_by_field_name("source")


def _read_import(source: Source, node: Node) -> Import:
    bindings = []
    for clause in node.named_children:
        if clause.type != "import_clause":
            continue
        for part in clause.named_children:
            if part.type == "identifier":
                bindings.append(("default", source.name(part)))
            elif part.type == "namespace_import":
                bindings += [("*", source.name(name)) for name in part.named_children if name.type == "identifier"]
            elif part.type == "named_imports":
                bindings += [
                    _read_specifier(source, each) for each in part.named_children if each.type == "import_specifier"
                ]
    place = _source_of(node)
    if place is None:
        return Import("", node.start_point.row + 1, tuple(bindings))
    attributes = {}
    if written := source.attributes.get(source.start(place)):
        attributes = {
            unescaped(key.strip("\"'")): unescaped(value) for key, _, value in _ATTRIBUTE.findall(written.text)
        }
    return Import(string_at(source, place), node.start_point.row + 1, tuple(bindings), attributes)


def _read_specifier(source: Source, node: Node) -> tuple[str, str]:
    name = node.child_by_field_name("name")
    alias = node.child_by_field_name("alias")
    if name is None:
        return "", ""
    whole = string_at(source, name) if name.type == "string" else source.name(name)
    return whole, source.name(alias) if alias is not None else whole


def string_at(source: Source, node: Node) -> str:
    """Return what a string says; its node may end early, for the mask of the statement's end."""
    match = _STRING.match(source.units, source.start(node))
    return unescaped(match[0][1:-1]) if match else ""


def _removed(source: Source, node: Node) -> Edit:
    """Blank a statement; the semicolon ends the one before, as the statement did."""
    start, end = source.start(node), source.end(node)
    place = _source_of(node)
    if place is not None and source.start(place) in source.attributes:
        end = max(end, source.attributes[source.start(place)].end)
    return Edit(start, end, ";" + blank(source.units[start + 1 : end]))


def _export(source: Source, node: Node) -> Iterator[Edit]:
    declaration = node.child_by_field_name("declaration")
    children = node.children
    word = children[0]
    if declaration is not None:
        start, end = source.start(word), source.start(declaration)
        yield Edit(start, end, blank(source.units[start:end]))
        return
    default = next((child for child in children if child.type == "default"), None)
    value = node.child_by_field_name("value")
    if default is not None and value is not None:
        # As a property, an anonymous function or class is called "default", as it is in a module.
        yield Edit(source.start(word), source.end(word), "void {")
        end = source.end(default)
        yield Edit(end, end + (source.units[end] == " "), ":")
        yield Edit(source.end(value), source.end(value), "};")
    elif _source_of(node) is not None or any(child.type == "export_clause" for child in children):
        yield _removed(source, node)
