"""A file put together by hand; `flavors/test_catboost.py` has CatBoost make them."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt, MillwrightError, Refused
from millwright.registry.cbmfile import MAGIC, check_catboost


class Table:
    """Lays out a FlatBuffers table: scalars and vectors by field number."""

    def __init__(self, fields: dict[int, int | bytes | list[Table]]) -> None:
        self.fields = fields

    def bytes_at(self, place: int) -> tuple[bytes, int]:
        """Return the bytes from `place` on, and where in them the table lies."""
        count = max(self.fields) + 1
        names_bytes = 4 + 2 * count
        names_bytes += -names_bytes % 4
        start = place + names_bytes
        width = 4 + 4 * count
        head = bytearray(struct.pack("<HH", names_bytes, width).ljust(names_bytes, b"\0"))
        body = bytearray(struct.pack("<i", names_bytes).ljust(width, b"\0"))
        tail = bytearray()
        for number, value in self.fields.items():
            offset = 4 + 4 * number
            struct.pack_into("<H", head, 4 + 2 * number, offset)
            if isinstance(value, int):
                struct.pack_into("<i", body, offset, value)
                continue
            here = start + width + len(tail)
            struct.pack_into("<I", body, offset, here - (start + offset))
            if isinstance(value, bytes):
                tail += value
            else:
                tail += _tables(value, here)
        return bytes(head + body + tail), start


def _tables(tables: list[Table], place: int) -> bytes:
    out = bytearray(struct.pack("<I", len(tables)) + bytes(4 * len(tables)))
    for index, table in enumerate(tables):
        data, start = table.bytes_at(place + len(out))
        struct.pack_into("<I", out, 4 + 4 * index, start - (place + 4 + 4 * index))
        out += data
    return bytes(out)


def vector(kind: str, *values: float) -> bytes:
    """Return a vector of numbers, padded."""
    count = len(values) // 2 if kind == "H" else len(values)
    data = struct.pack(f"<I{len(values)}{kind}", count, *values)
    return data + bytes(-len(data) % 4)


def model(**changes: int | bytes) -> bytes:
    """Return a model of two trees, of one split and of two, on one feature of three borders."""
    feature = Table({3: vector("f", 0.5, 1.5, 2.5)})
    numbers: dict[str, int] = {
        "dimension": 0, "splits": 1, "sizes": 2, "starts": 3, "leaves": 8, "weights": 9,
        "steps": 10, "ids": 11, "biases": 16, "bins": 17,
    }  # fmt: skip
    fields: dict[str, int | bytes] = {
        "dimension": 1,
        "splits": vector("i", 0, 2, 1),
        "sizes": vector("i", 1, 2),
        "starts": vector("i", 0, 1),
        "leaves": vector("d", *range(6)),
        "weights": vector("d", *range(6)),
        "biases": vector("d", 0.5),
        "bins": vector("H", 0, 256, 0, 768, 0, 512),
    } | changes
    trees = Table({numbers[name]: value for name, value in fields.items()} | {5: [feature]})
    core = Table({1: b""})
    head, start = core.bytes_at(4)
    inner, at = trees.bytes_at(4 + len(head))
    data = bytearray(struct.pack("<I", start) + head + inner)
    struct.pack_into("<I", data, start + 8, at - (start + 8))
    return MAGIC + struct.pack("<I", len(data)) + bytes(data)


def unlike(**changes: int | bytes) -> bytes:
    """Return a model whose trees do not ask the same on each level."""
    own: dict[str, int | bytes] = {
        "steps": vector("H", 0, 0, 1, 0, 0, 0),
        "ids": vector("I", 0, 1, 2),
        "weights": vector("d"),
    }
    return model(**(own | changes))


def test_trees_that_stay_inside_pass() -> None:
    check_catboost(model())
    check_catboost(model() + b"tables of categories")
    check_catboost(unlike())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (model(splits=vector("i", 0, 3, 1)), "a condition that does not exist"),
        (model(splits=vector("i", 0, -1, 1)), "a condition that does not exist"),
        (model(sizes=vector("i", 1, 1)), "as many or as large"),
        (model(sizes=vector("i", -1, 4)), "as many or as large"),
        (model(dimension=0), "as many or as large"),
        (model(starts=vector("i", 0, 2)), "start where it should"),
        (model(leaves=vector("d", *range(5)), weights=vector("d")), "leaves that are not"),
        (model(dimension=2, biases=vector("d"), weights=vector("d")), "leaves that are not"),
        (model(weights=vector("d", *range(7))), "weights and biases"),
        (model(biases=vector("d", 1, 2)), "weights and biases"),
        (model(bins=vector("H", 0, 256, 1, 768, 0, 512)), "a feature that does not exist"),
        (model(bins=vector("H", 0, 256)), "a feature that does not exist"),
        (model(ids=vector("I", 0, 1, 2)), "leaves that are not"),
        (unlike(steps=vector("H", 1, 0, 1, 0, 0, 0)), "leads outside its tree"),
        (unlike(steps=vector("H", 0, 0, 1, 2, 0, 0)), "leads outside its tree"),
        (unlike(ids=vector("I", 0, 1, 6)), "leaves that are not"),
        (unlike(ids=vector("I", 0, 1)), "as many or as large"),
    ],
)
def test_what_points_outside_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Refused) as caught:
        check_catboost(data)
    assert why in caught.value.why


@pytest.mark.parametrize(
    "data", [b"", b"CBM2" + model()[4:], model()[:-200], MAGIC + struct.pack("<II", 4, 4)]
)
def test_what_is_no_model_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        check_catboost(data)


@settings(max_examples=200)
@given(st.integers(8, len(model()) - 1), st.binary(min_size=1, max_size=4))
def test_a_changed_file_passes_or_fails_with_an_error_of_ours(place: int, change: bytes) -> None:
    data = model()
    with suppress(MillwrightError):
        check_catboost(data[:place] + change + data[place + len(change) :])
