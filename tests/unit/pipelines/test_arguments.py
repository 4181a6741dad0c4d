from __future__ import annotations

import msgspec
import pytest

from millwright.core.digest import Digest
from millwright.pipelines.arguments import (
    Address,
    Argument,
    Many,
    Named,
    Plain,
    Ref,
    Stored,
    bind,
    refs_in,
    spell,
)

A, B = Ref(step="a", output="x"), Ref(step="b", output="y")
NESTED = Many(items=[A, Named(items={"k": B, "l": Plain(value=1.5)}), Plain(value=None)])
STORED = Stored(
    kind="json", digest=Digest("b3:1"), maker=Address(module="m", attribute="f", path="p")
)


def test_references_are_found_and_replaced_wherever_they_are() -> None:
    assert list(refs_in(NESTED)) == [A, B]
    bound = bind(NESTED, lambda ref: STORED)
    assert list(refs_in(bound)) == []
    assert bound == Many(
        items=[STORED, Named(items={"k": STORED, "l": Plain(value=1.5)}), Plain(value=None)]
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(bound), type=Argument) == bound  # pyright: ignore[reportArgumentType, reportUnknownMemberType, reportUnknownVariableType]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (Plain(value={"b": 1, "a": [0.1]}), '{"b":1,"a":[0.1]}'),
        (STORED, "json b3:1"),
        (Stored(kind="data", digest=Digest("b3:1"), name="loans.csv"), "data b3:1.csv"),
        (Many(items=[STORED, Plain(value="x")]), '[json b3:1, "x"]'),
        (Named(items={"k": STORED}), "{'k': json b3:1}"),
    ],
)
def test_content_is_spelled(argument: Argument, text: str) -> None:
    assert spell(argument) == text
