import numpy as np
import pytest

from millwright.core.errors import Corrupt
from millwright.stats.coding import Reader, Writer


def written() -> bytes:
    writer = Writer("abc1")
    writer.integer(-7)
    writer.number(0.5)
    writer.text("grün \ud800")
    writer.floats(np.array([1.5, np.nan]))
    writer.integers(np.array([3, -4], dtype=np.int64))
    return writer.done()


def test_fields_come_back() -> None:
    reader = Reader(written(), "abc1")
    assert reader.integer() == -7
    assert reader.number() == 0.5
    assert reader.text() == "grün \ud800"
    np.testing.assert_array_equal(reader.floats(), [1.5, np.nan])
    assert reader.integers().tolist() == [3, -4]
    reader.end()


def test_damage_is_named() -> None:
    with pytest.raises(Corrupt, match="expected stored statistics of the kind xyz1"):
        Reader(written(), "xyz1")
    cut = Reader(written()[:9], "abc1")
    with pytest.raises(Corrupt, match="end early"):
        cut.integer()
    with pytest.raises(Corrupt, match="negative"):
        Reader(written(), "abc1").count()
    left = Reader(written(), "abc1")
    with pytest.raises(Corrupt, match="left at the end"):
        left.end()
