import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt
from millwright.stats.arrays import Hashes
from millwright.stats.cardinality import CardinalitySketch, hash_floats, hash_texts


def sketch(hashes: Hashes) -> CardinalitySketch:
    made = CardinalitySketch()
    made.update(hashes)
    return made


@pytest.mark.parametrize("n", [1, 30, 1_000, 20_000, 300_000])
def test_the_estimate_is_within_four_standard_errors(n: int) -> None:
    hashes = hash_floats(np.arange(n, dtype=np.float64))
    assert sketch(hashes).estimate() == pytest.approx(n, rel=0.065, abs=0.5)


def test_texts_have_the_same_hash_for_ever() -> None:
    # From `printf %s abc | b2sum -l 64`, read little-endian.
    assert hash_texts(["abc"])[0] == int.from_bytes(bytes.fromhex("d8bb14d833d59559"), "little")
    assert len(hash_texts([])) == 0


def test_repetition_and_the_sign_of_zero_do_not_count() -> None:
    once = sketch(hash_floats(np.array([0.0, 1.0])))
    twice = sketch(hash_floats(np.array([1.0, -0.0, 0.0, 1.0])))
    assert once.to_bytes() == twice.to_bytes()
    assert CardinalitySketch().estimate() == 0.0


@settings(max_examples=15)
@given(st.integers(0, 6000), st.integers(0, 6000))
def test_merging_is_exact_and_survives_bytes(n: int, m: int) -> None:
    first, second = hash_floats(np.arange(0.0, n)), hash_floats(np.arange(n // 2, n // 2 + m + 0.0))
    merged = sketch(first).merge(sketch(second))
    assert merged.to_bytes() == sketch(np.concatenate((second, first))).to_bytes()
    back = CardinalitySketch.from_bytes(merged.to_bytes())
    assert back.to_bytes() == merged.to_bytes()
    assert back.estimate() == merged.estimate()


def test_damaged_bytes_are_named() -> None:
    data = sketch(hash_floats(np.arange(10.0))).to_bytes()
    with pytest.raises(Corrupt):
        CardinalitySketch.from_bytes(data[:-1])
