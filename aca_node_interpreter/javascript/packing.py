"""The runtime on its way into a session: its files joined, made small, and worded as an expression.

It travels once a session, with the first code. What reads well also travels well: comments stay here, names get short.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import count, product
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

from tree_sitter import Node

from . import grammars
from .bindings import binds
from .declarations import FUNCTIONS

# In the order in which they are evaluated.
_FILES = (
    *("builtins", "runs", "output", "answers", "repair", "names", "compiling", "errors", "values", "displays", "files"),
    *("life", "ending", "process", "timers", "descriptors", "children", "modules", "watchdog", "install"),
)
_AROUND = '(function(boot){"use strict";const root=globalThis;if(typeof root.__aca==="function")return;%s})'

# A string, template or regular expression stays as it is; of other space only what parts two words. No statement is
# empty there, so that none needs its semicolon at the end of a block.
_SQUEEZED = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=\()/(?:[^/\\\n]|\\.)+/)|(?<=[\w$])(\s)\s*(?=[\w$])|;(?=\s*\})|\s+"""
)
_KEYWORDS = {"as", "do", "for", "get", "if", "in", "let", "new", "of", "set", "try", "var"}
_NAMES = "(identifier) @name (shorthand_property_identifier) @pair (shorthand_property_identifier_pattern) @pair"

# Base 85 in characters that JSON leaves as they are: from `#` on, without the backslash.
_DIGITS = [chr(code) for code in range(ord("#"), ord("#") + 86) if code != ord("\\")]
_UNPACK = (
    'require("zlib").inflateRawSync(Buffer.from("%s".match(/.{5}/g).flatMap(g=>{let n=0;for(const c of Buffer.from(g))'
    "n=n*85+c-35-(c>92);return[n>>>24,n>>16,n>>8,n]}))).toString()"
)


@cache
def expression() -> str:
    """Return an expression of JavaScript whose value is the runtime's source."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, memLevel=9)
    packed = compressor.compress(source().encode()) + compressor.flush()
    packed += bytes(-len(packed) % 4)
    groups = (int.from_bytes(packed[start : start + 4], "big") for start in range(0, len(packed), 4))
    return _UNPACK % "".join(_DIGITS[group // 85**place % 85] for group in groups for place in (4, 3, 2, 1, 0))


def source() -> str:
    """Return the runtime, a function of the boot id, without comments, needless space and long names."""
    folder = files(__package__).joinpath("runtime")
    lines = (line for name in _FILES for line in folder.joinpath(f"{name}.js").read_text("utf-8").splitlines())
    code = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    squeezed = _SQUEEZED.sub(lambda match: match[1] or match[2] or "", code)
    return _with_short_names(_AROUND % squeezed)


def _with_short_names(code: str) -> str:
    """Give each name that the code declares a short one; properties keep theirs.

    A name of the runtime's own scope gets one that nothing else has, everywhere. All others are local to a statement of
    that scope, and each statement has the same short ones for them, which makes statements alike.
    """
    language = grammars.javascript()
    tree = grammars.parse(code, language)
    found = grammars.captures(tree, language, _NAMES)
    leaves = sorted((leaf for each in found.values() for leaf in each), key=lambda leaf: leaf.start_byte)
    spelled = [code[leaf.start_byte >> 1 : leaf.end_byte >> 1] for leaf in leaves]
    statements = _statements(tree.root_node)
    starts = [statement.start_byte for statement in statements]
    places = [bisect(starts, leaf.start_byte) - 1 for leaf in leaves]
    shared: Counter[str] = Counter()
    local = set()
    for leaf, name, place in zip(leaves, spelled, places, strict=True):
        if binds(leaf):
            if place >= 0 and _is_inner(leaf, statements[place]):
                local.add((place, name))
            else:
                shared[name] = 0
    local = {(place, name) for place, name in local if name not in shared}
    declared = {*shared, *(name for _, name in local)}
    taken = {name for name in spelled if name not in declared} | _KEYWORDS
    shared.update(name for name in spelled if name in shared)
    short = (name for name in _short_names(ascii_uppercase) if name not in taken)
    names = {name: next(short) for name, _ in shared.most_common()}
    locals_of: dict[int, dict[str, str]] = {}
    parts, position = [], 0
    for leaf, name, place in zip(leaves, spelled, places, strict=True):
        if (place, name) in local:
            known = locals_of.setdefault(place, {})
            if name not in known:
                known[name] = next(
                    each for each in _short_names(ascii_lowercase) if each not in taken and each not in known.values()
                )
            written = known[name]
        elif name in names:
            written = names[name]
        else:
            continue
        start = leaf.start_byte >> 1
        parts += [code[position:start], f"{name}:" if leaf.type != "identifier" else "", written]
        position = leaf.end_byte >> 1
    return "".join([*parts, code[position:]])


def _statements(root: Node) -> list[Node]:
    """Return what the function around the runtime's files consists of."""
    node = root
    while (body := node.child_by_field_name("body")) is None:
        node = node.named_children[0]
    return body.named_children


def _is_inner(leaf: Node, statement: Node) -> bool:
    """Whether a declaration counts within a statement only."""
    node = leaf.parent
    if statement.type.endswith("_declaration") and node == statement:
        return False
    while node is not None and node != statement:
        if node.type in FUNCTIONS or node.type in ("method_definition", "statement_block", "class_body"):
            return True
        node = node.parent
    return not statement.type.endswith(("lexical_declaration", "variable_declaration"))


def _short_names(initials: str) -> Iterator[str]:
    for length in count():
        for first, *rest in product(initials, *[ascii_letters + digits] * length):
            yield "".join([first, *rest])
