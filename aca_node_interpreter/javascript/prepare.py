"""From what a model sent to a text that can run: pure, without Node.js."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter

from .completion import returned
from .constants import relaxed
from .declarations import COMMONJS, Found, find_declarations, hoisted_functions
from .fences import TYPESCRIPT, code_of
from .foreign import refusal_of
from .live import live_bindings
from .mode import Mode, mode_of
from .modules import imported, meta_edits, module_edits
from .prepared import Edit, Prepared, Refusal
from .syntax import Source
from .typescript import erase
from .units import blank

LONG = 10_000
"""Characters of code that take longer to prepare than a change of thread."""

# After these, earlier functions may have changed what the text has declared anew; not after each of very many.
_STATEMENTS = {
    "lexical_declaration",
    "variable_declaration",
    "expression_statement",
    "for_statement",
    "for_in_statement",
    "while_statement",
    "do_statement",
    "if_statement",
    "switch_statement",
    "try_statement",
    "statement_block",
}
_MANY = 1000


def prepare(text: str, *, language: str = "") -> Prepared | Refusal:
    """Return what is to run for a model's text, or why nothing can.

    Args:
        text: code, or Markdown with blocks of code in it; lines are counted in all of it.
        language: what the model called it, if anything.
    """
    block = code_of(text)
    named = block.language or language.strip().lower()
    if refusal := refusal_of(block.code, named):
        return refusal
    prepared = prepare_code(block.code)
    if not prepared.has_errors:
        return prepared
    # TypeScript is what does not parse as JavaScript, whatever it is called.
    erased = erase(block.code, hinted=named in TYPESCRIPT)
    if erased is None or isinstance(erased, Refusal):
        return erased or prepared
    return replace(prepare_code(erased), language="typescript")


def prepare_code(code: str) -> Prepared:
    """Return how JavaScript runs from which all that stood around it is gone, types included."""
    source = Source(code)
    found = find_declarations(source)
    meta = list(meta_edits(source))
    mode = mode_of(source, found, has_meta=bool(meta))
    imports = imported(source, found)
    found.lexical |= {local: None for each in imports for _, local in each.bindings}
    names, only_vars = _names(found, mode)
    last = list(returned(source, boxed=mode.is_async))
    imports, live = live_bindings(source, imports, {edit.start for edit in last})
    variables, constants = relaxed(source, found.declarations)
    edits = [*_first_line(source), *last, *module_edits(source, found), *meta, *live, *variables]
    kept = _in_order(edits)
    places = {name: place for place, name in enumerate(names)}
    at_once = [*found.functions, *(local for each in imports for _, local in each.bindings)]
    return Prepared(
        code=code,
        edits=tuple(kept),
        names=tuple(names),
        vars=tuple(only_vars),
        constants=tuple(constants),
        at_once=tuple(places[name] for name in at_once if name in places),
        declared=tuple(sorted(_ends(source, found, places, {edit.start for edit in last}))),
        imports=tuple(imports),
        is_async=mode.is_async,
        is_strict=mode.is_strict,
        is_module=mode.is_module,
        has_errors=source.has_error or len(kept) < len(edits),
        source=source,
    )


def _names(found: Found, mode: Mode) -> tuple[dict[str, None], list[str]]:
    """Return what a text declares, and what of that starts as it was left before."""
    parameters = set() if mode.is_module else set(COMMONJS)
    variables = dict(found.vars)
    if not mode.is_strict and found.scopes:
        variables |= dict.fromkeys(hoisted_functions(found, {*found.lexical, *parameters}))
    names = found.functions | found.lexical | variables
    # It is what the call has, whatever was there before.
    names.pop("arguments", None)
    only_vars = [
        name
        for name in variables
        if name in names and name not in found.functions and name not in found.lexical and name not in parameters
    ]
    return names, only_vars


def _ends(
    source: Source, found: Found, places: Mapping[str, int], returned: Container[int]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield where a declaration is over, with what it declares, and where another statement is, with nothing.

    What is returned ends with its value.
    """
    first = None
    for each in found.declarations:
        if published := tuple(places[name] for name in each.names if name in places):
            first = each.end if first is None else first
            yield each.end, published
    if first is None or source.root.child_count > _MANY:
        return
    for node in source.root.children[:-1]:
        if node.type in _STATEMENTS and (end := source.end(node)) > first and end not in returned:
            yield end, ()


def _first_line(source: Source) -> Iterator[Edit]:
    if source.first_line is not None:
        start, end = source.first_line
        yield Edit(start, end, blank(source.units[start:end]))


def _in_order(edits: list[Edit]) -> list[Edit]:
    """Return the edits in their order; where two meet, which only a wrong program has, one of them."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=itemgetter(0, 1)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept
