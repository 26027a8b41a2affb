"""What `prepare` makes of a model's text: code that stays as written, and the edits that let it run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .syntax import Source


class Edit(NamedTuple):
    """A replacement within one line or across several: never one that removes or adds a line.

    `start` and `end` are offsets into the code in UTF-16 code units, as JavaScript counts.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Import:
    """A static import, which the runtime does before the code starts."""

    specifier: str
    line: int
    """In the model's text, from 1."""
    bindings: tuple[tuple[str, str], ...] = ()
    """Pairs of what is imported (`default`, a name, or `*` for all) and what it is called here."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Such as `{"type": "json"}`."""


@dataclass(frozen=True)
class Prepared:
    """A text that can run."""

    code: str
    """The text with all that is not code blanked out, TypeScript's types included: lines are those of the text."""
    edits: tuple[Edit, ...] = ()
    """What turns `code` into a function's body: sorted, without overlap."""
    names: tuple[str, ...] = ()
    """All names that the code declares at its top level."""
    vars: tuple[str, ...] = ()
    """Those of `names` that only `var` declares: they keep what a former run left in them, as in a script."""
    constants: tuple[str, ...] = ()
    """Those of `names` that are constant though an edit made variables of them; see `constants`."""
    at_once: tuple[int, ...] = ()
    """Places in `names` of what is there before the code starts: functions and imports."""
    declared: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Offsets where a declaration ends, each with the places in `names` of what it declares; with none where another
    statement ends, after which earlier functions may have changed what is declared."""
    imports: tuple[Import, ...] = ()
    is_async: bool = False
    """Whether it waits at its top level."""
    is_strict: bool = False
    is_module: bool = False
    """Whether it is an ES module by Node.js's own rule, without CommonJS's names and with no `this`."""
    has_errors: bool = False
    """Whether the parser saw an error: then V8 judges `code` itself, and words the error."""
    language: Literal["javascript", "typescript"] = "javascript"
    source: Source | None = field(default=None, repr=False, compare=False)
    """What `code` was parsed to, for whoever wants to know more of it."""


@dataclass(frozen=True)
class Refusal:
    """A text that can't run, and why, for the model to read; nothing is sent."""

    message: str
