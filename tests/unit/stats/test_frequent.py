from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Corrupt, Invalid
from millwright.stats.frequent import FrequentTexts

TEXTS = st.lists(st.sampled_from("aaaabbbccdefghij"), max_size=60)


def count(texts: list[str], *, room: int) -> FrequentTexts:
    found = FrequentTexts(room=room)
    tally = Counter(texts)
    found.update(list(tally), np.array(list(tally.values()), dtype=np.int64))
    return found


@settings(max_examples=60)
@given(TEXTS, TEXTS, st.integers(1, 12))
def test_counts_are_too_low_by_at_most_the_error(a: list[str], b: list[str], room: int) -> None:
    merged = count(a, room=room).merge(count(b, room=room))
    assert merged.to_bytes() == count(b, room=room).merge(count(a, room=room)).to_bytes()
    true, stored = Counter(a + b), dict(merged.top(room))
    assert merged.total == len(a) + len(b)
    assert merged.error * (room + 1) <= merged.total
    for text, times in true.items():
        assert times - merged.error <= stored.get(text, 0) <= times
    back = FrequentTexts.from_bytes(merged.to_bytes())
    assert back.to_bytes() == merged.to_bytes()


def test_few_texts_are_counted_exactly_and_ties_go_by_text() -> None:
    found = count(list("cababz"), room=4)
    assert found.top(3) == [("a", 2), ("b", 2), ("c", 1)]
    assert found.error == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="room"):
        count(["a"], room=2).merge(count(["a"], room=3))
    with pytest.raises(Invalid, match="1 texts came with 2 counts"):
        FrequentTexts().update(["a"], np.array([1, 2], dtype=np.int64))
    with pytest.raises(Corrupt):
        FrequentTexts.from_bytes(count(["a"], room=2).to_bytes()[:-3])
