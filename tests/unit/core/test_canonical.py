from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core import canonical
from millwright.core.canonical import Canonical
from millwright.core.errors import Invalid

ascii_keys = st.text(st.characters(max_codepoint=127), max_size=8)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_keys, inner, max_size=4),
    max_leaves=20,
)


def _escaped(char: str) -> str:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    return short.get(ord(char), f"\\u{ord(char):04x}" if ord(char) < 32 else char)


def rfc8785(value: object) -> str:
    """A plain reading of RFC 8785 §3.2 for values without floats."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(_escaped(char) for char in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(rfc8785(inner) for inner in cast("list[object]", value)) + "]"
    pairs = sorted(
        cast("dict[str, object]", value).items(), key=lambda pair: pair[0].encode("utf-16-be")
    )
    return "{" + ",".join(f"{rfc8785(key)}:{rfc8785(inner)}" for key, inner in pairs) + "}"


@given(values)
def test_the_bytes_are_those_of_rfc_8785(value: Canonical) -> None:
    assert canonical.encode(value) == rfc8785(value).encode()


@given(values)
def test_what_was_encoded_reads_back_as_the_same_value(value: Canonical) -> None:
    assert json.loads(canonical.encode(value)) == value


@given(st.dictionaries(ascii_keys, st.integers(0, 9), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical.encode(value) == canonical.encode(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, {"b": 1.0}]}, r"\$\.a\[1\]\.b is 1\.0 of type float"),
        (2**53, "beyond 53 bits"),
        ({"é": 1}, "keys are ASCII text"),
        ({1: 1}, "keys are ASCII text"),
        ("\ud800", "lone surrogate"),
        (b"bytes", "of type bytes"),
    ],
)
def test_what_libraries_spell_differently_is_refused(value: object, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        canonical.encode(cast("Canonical", value))
