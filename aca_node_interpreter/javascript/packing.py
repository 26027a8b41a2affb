"""The runtime on its way into a session: its files joined, made small, and worded as an expression.

It travels once a session, with the first code. What reads well also travels well: comments stay here, names get short.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import count, product
from string import ascii_letters, digits

from aca_node_interpreter.javascript import grammars
from aca_node_interpreter.javascript.bindings import binds

# In the order in which they are evaluated.
_FILES = (
    *("builtins", "runs", "output", "answers", "repair", "names", "compiling", "errors", "values", "displays", "files"),
    *("life", "ending", "process", "timers", "descriptors", "children", "watchdog", "install"),
)
_AROUND = '(function(boot){"use strict";const root=globalThis;if(typeof root.__aca==="function")return;%s})'

# A string, template or regular expression stays as it is; of other space only what parts two words.
_SQUEEZED = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=\()/(?:[^/\\\n]|\\.)+/)|(?<=[\w$])(\s)\s*(?=[\w$])|\s+"""
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
    """Give each name that the code declares another one, the same everywhere; properties keep theirs."""
    language = grammars.javascript()
    found = grammars.captures(grammars.parse(code, language), language, _NAMES)
    leaves = [(leaf.start_byte >> 1, leaf.end_byte >> 1, leaf) for each in found.values() for leaf in each]
    spelled = Counter(code[start:end] for start, end, _ in leaves)
    declared = {code[start:end] for start, end, leaf in leaves if binds(leaf)}
    taken = spelled.keys() - declared | _KEYWORDS
    short = (name for name in _short_names() if name not in taken)
    names = {name: next(short) for name, _ in spelled.most_common() if name in declared}
    parts, position = [], 0
    for start, end, leaf in sorted(leaves, key=lambda each: each[0]):
        name = code[start:end]
        if name in names:
            colon = f"{name}:" if leaf.type != "identifier" else ""
            parts += [code[position:start], colon, names[name]]
            position = end
    return "".join([*parts, code[position:]])


def _short_names() -> Iterator[str]:
    for length in count():
        for first, *rest in product(ascii_letters, *[ascii_letters + digits] * length):
            yield "".join([first, *rest])
