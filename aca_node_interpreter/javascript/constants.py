"""Constants that later runs may declare anew: earlier functions are to see the new ones, so they become variables.

That changes nothing in a text that nowhere assigns to them; there they stay constants, and V8 says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import grammars
from .declarations import Declaration, names_in
from .prepared import Edit
from .syntax import Source

_ASSIGNED = """
(assignment_expression left: (_) @target)
(augmented_assignment_expression left: (_) @target)
(update_expression argument: (_) @target)
(for_in_statement left: (_) @target)
"""


def relaxed(source: Source, declarations: Sequence[Declaration]) -> tuple[list[Edit], list[str]]:
    """Return what turns constants into variables, in as many characters, and their names."""
    constants = [each for each in declarations if each.is_constant]
    # Code in a string may assign to whatever it likes.
    if not constants or "eval" in source.units:
        return [], []
    assigned = set(_assigned(source))
    kept = [each for each in constants if assigned.isdisjoint(each.names)]
    edits = [Edit(each.start, each.start + len("const"), "let  ") for each in kept]
    return edits, [name for each in kept for name in each.names]


def _assigned(source: Source) -> Iterator[str]:
    """Yield every name that is assigned to anywhere, whatever it means there."""
    found = grammars.captures(source.tree, grammars.javascript(), _ASSIGNED)
    for target in found.get("target", []):
        while target.type == "parenthesized_expression" and target.named_children:
            target = target.named_children[0]
        yield from names_in(source, target)
