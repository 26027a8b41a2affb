"""How Node.js takes a text: as a script or as a module, sloppy or strict, at once or waiting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .bindings import binds
from .declarations import COMMONJS, Found
from .syntax import Source
from .units import IDENTIFIER_PART

# Node.js's globals: to assign to them is no mistake in a module.
_GLOBALS = frozenset(
    re.findall(
        r"\w+",
        """
        AbortController AbortSignal Array ArrayBuffer Atomics BigInt BigInt64Array BigUint64Array Blob Boolean
        BroadcastChannel Buffer CompressionStream CustomEvent DOMException DataView Date DecompressionStream
        Error EvalError Event EventTarget File FinalizationRegistry Float32Array Float64Array FormData
        Function Headers Infinity Int16Array Int32Array Int8Array Intl Iterator JSON Map Math MessageChannel
        MessageEvent MessagePort NaN Number Object Promise Proxy RangeError ReadableStream ReferenceError
        Reflect RegExp Request Response Set SharedArrayBuffer String Symbol SyntaxError TextDecoder
        TextEncoder TransformStream TypeError URIError URL URLSearchParams Uint16Array Uint32Array Uint8Array
        Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly WebSocket WritableStream atob btoa
        clearImmediate clearInterval clearTimeout console crypto decodeURI decodeURIComponent encodeURI
        encodeURIComponent escape eval fetch global globalThis isFinite isNaN localStorage navigator
        parseFloat parseInt performance process queueMicrotask require sessionStorage setImmediate setInterval
        setTimeout structuredClone undefined unescape
        """,
    )
)
_ASSIGNING = re.compile(r"=(?![=>])|\+\+|--")
_TARGETS = {"assignment_expression": "left", "augmented_assignment_expression": "left", "update_expression": "argument"}
_ONLY_COMMONJS = re.compile(rf"(?:module|exports|__filename|__dirname)(?!{IDENTIFIER_PART})")


@dataclass(frozen=True)
class Mode:
    """What kind of text it is."""

    is_module: bool
    is_strict: bool
    is_async: bool


def mode_of(source: Source, found: Found, *, has_meta: bool) -> Mode:
    """Return how Node.js takes a text.

    What can only be a module is one. A text that waits is one too, but if it does something that no module can, which
    runs nowhere in Node.js, it is what comes nearest: CommonJS that waits.
    """
    if found.imports or found.exports or has_meta:
        return Mode(is_module=True, is_strict=True, is_async=True)
    strict = _starts_strict(source)
    if not found.waits:
        # As in Node.js: a file that declares what CommonJS has as parameters was meant to be a module.
        module = any(name in found.lexical for name in COMMONJS)
        return Mode(is_module=module, is_strict=strict or module, is_async=module)
    if not strict and _makes_globals(source):
        return Mode(is_module=False, is_strict=False, is_async=True)
    return Mode(is_module=not _needs_commonjs(source, found), is_strict=True, is_async=True)


def _starts_strict(source: Source) -> bool:
    """Whether one of the strings that a text starts with is 'use strict'."""
    if "use strict" not in source.units:
        return False
    for index in range(source.root.child_count):
        statement = source.root.child(index)
        if statement is None or statement.type in ("comment", "hash_bang_line", "html_comment"):
            continue
        if statement.type != "expression_statement" or statement.children[0].type != "string":
            return False
        if source.slice(statement.children[0])[1:-1] == "use strict":
            return True
    return False


def _makes_globals(source: Source) -> bool:
    """Whether a text assigns to a variable that is declared nowhere in it."""
    assigned: set[str] = set()
    for match in _ASSIGNING.finditer(source.units):
        leaf = source.leaf(match.start(), match.end())
        parent = leaf.parent if leaf is not None else None
        if parent is not None and parent.type in _TARGETS:
            target = parent.child_by_field_name(_TARGETS[parent.type])
            if target is not None and target.type == "identifier":
                assigned.add(source.slice(target))
    assigned -= _GLOBALS
    return bool(assigned) and any(not any(map(binds, leaves)) for leaves in source.occurrences(assigned).values())


def _needs_commonjs(source: Source, found: Found) -> bool:
    """Whether a text uses what only CommonJS has, other than to see whether it is there."""
    for match in _ONLY_COMMONJS.finditer(source.units):
        leaf = source.leaf(match.start(), match.end())
        if (
            leaf is None
            or leaf.type != "identifier"
            or source.start(leaf) != match.start()
            or match[0] in found.lexical
        ):
            continue
        parent = leaf.parent
        if parent is None or parent.type != "unary_expression" or parent.children[0].type != "typeof":
            return True
    return False
