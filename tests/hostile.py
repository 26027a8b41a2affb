"""Strategies for input of somebody hostile: valid answers with a part put wrong, any JSON, any bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

IDENTIFIER = "node-5eCrEt/9f8e7d6c5b4a"
SECRETS = [
    IDENTIFIER,
    IDENTIFIER.upper(),
    IDENTIFIER.replace("/", "%2F"),
    "https://westus2.dynamicsessions.io/subscriptions/0/resourceGroups/g",
    "westus2.acasessions.io",
    "Bearer abcdefgh",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
]

TEXTS = st.one_of(
    st.text(st.characters(), max_size=30),
    st.sampled_from(
        [*SECRETS, "\x1b]0;x\x07", "\u202e", "\ud800", "\x00", "../..", "x" * 5_000, "NaN", "1e999", "[" * 50]
    ),
    st.tuples(st.integers(0, 600), st.sampled_from(SECRETS)).map(lambda each: "x" * each[0] + each[1]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**53, -1, 1e308, float("inf"), float("-inf")]),
    TEXTS,
)


ANY_JSON = st.recursive(
    SCALARS | st.integers(1, 150).map(lambda levels: json.loads(f"{'[' * levels}{']' * levels}")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def mutated(draw: st.DrawFn, examples: list[Any]) -> Any:
    """Draw a value like one of the examples, in which some parts are replaced, missing or there twice."""
    value = copy.deepcopy(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(value))
        if not places:
            return draw(ANY_JSON)
        container, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "replace", "delete", "more"]))
        if change == "replace":
            container[key] = draw(ANY_JSON)
        elif change == "delete":
            del container[key]
        elif isinstance(container, list):
            container.extend(container * draw(st.sampled_from([1, 50])))
        else:
            container[draw(TEXTS)] = container[key]
    return value


def _places(value: Any) -> Any:
    """Yield each container with each of its keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield value, key
        yield from _places(each)


@st.composite
def mutated_bytes(draw: st.DrawFn, examples: list[Any]) -> bytes:
    """Draw the JSON of a mutated value, or bytes that were cut, changed or made up."""
    kind = draw(st.sampled_from(["json", "json", "json", "cut", "changed", "any"]))
    if kind == "any":
        return draw(st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
    content = json.dumps(draw(mutated(examples)), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    at = draw(st.integers(0, len(content)))
    if kind == "cut":
        return content[:at]
    return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at:] if kind == "changed" else content


Property = Callable[[st.DataObject], None]
