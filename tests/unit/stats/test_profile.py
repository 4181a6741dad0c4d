from collections import Counter

import numpy as np
import pytest

from millwright.core.errors import Corrupt, Invalid
from millwright.stats.arrays import Floats
from millwright.stats.profile import (
    Bins,
    NumericProfile,
    TableProfile,
    TextProfile,
    reference_bins,
    start_profile,
)

RNG_SEED = 40
AGES = np.append(np.random.default_rng(RNG_SEED).normal(50, 9, size=998), [np.nan, np.nan])
CITIES = ["Oslo", "Rome", "Rome", "Kiel"] * 240 + ["x" * 12] * 30
CITIES_MISSING = 10


def fill(table: TableProfile, ages: Floats, cities: list[str], missing: int) -> TableProfile:
    table.update_numeric("age", ages)
    table.update_text("city", cities, missing=missing)
    return table


def profiled(bins: Bins | None = None) -> TableProfile:
    empty = start_profile(numeric=["age"], text=["city"], bins=bins)
    return fill(empty, AGES, CITIES, CITIES_MISSING)


def test_the_summary_tells_what_was_seen() -> None:
    found = profiled()
    assert found.rows == 1000
    age, city = found.summary()["age"], found.summary()["city"]
    assert (age["count"], age["missing"], age["infinite"]) == (998, 2, 0)
    assert age["mean"] == pytest.approx(np.nanmean(AGES))
    assert age["max"] == np.nanmax(AGES)
    assert isinstance(age["distinct"], int)
    assert abs(age["distinct"] - 998) < 50
    assert isinstance(age["quantiles"], list)
    assert age["quantiles"][3][1] == pytest.approx(np.nanmedian(AGES), abs=0.4)
    assert city == {
        "kind": "text",
        "count": 990,
        "missing": 10,
        "distinct": 4,
        "shortest": 4,
        "longest": 12,
        "mean_length": pytest.approx((960 * 4 + 30 * 12) / 990),
        "top": [["Rome", 480], ["Kiel", 240], ["Oslo", 240], ["x" * 12, 30]],
        "top_error": 0,
    }


def test_parts_merge_to_the_whole_and_survive_bytes() -> None:
    bins = reference_bins(profiled())
    whole = profiled(bins)
    first = fill(
        start_profile(numeric=["age"], text=["city"], bins=bins), AGES[:300], CITIES[:500], 4
    )
    second = fill(
        start_profile(numeric=["age"], text=["city"], bins=bins), AGES[300:], CITIES[500:], 6
    )
    merged = first.merge(second)
    assert merged.rows == 1000
    assert merged.merge(second).to_bytes() == second.merge(merged).to_bytes()
    age, expected = merged.columns["age"], whole.columns["age"]
    assert isinstance(age, NumericProfile)
    assert isinstance(expected, NumericProfile)
    assert age.histogram is not None
    assert expected.histogram is not None
    assert age.histogram.to_bytes() == expected.histogram.to_bytes()
    assert age.distinct.to_bytes() == expected.distinct.to_bytes()
    assert age.moments.mean == pytest.approx(expected.moments.mean)
    city, told = merged.summary()["city"], whole.summary()["city"]
    assert {**city, "mean_length": None} == {**told, "mean_length": None}
    assert city["mean_length"] == pytest.approx(told["mean_length"])
    back = TableProfile.from_bytes(merged.to_bytes())
    assert back.to_bytes() == merged.to_bytes()
    assert back.summary() == merged.summary()


def test_the_same_rows_give_the_same_bytes() -> None:
    assert profiled().to_bytes() == profiled().to_bytes()


def test_the_second_pass_counts_the_reference_in_its_own_cells() -> None:
    bins = reference_bins(profiled())
    counted = profiled(bins)
    age, city = counted.columns["age"], counted.columns["city"]
    assert isinstance(age, NumericProfile)
    assert isinstance(city, TextProfile)
    assert age.histogram is not None
    assert (age.histogram.below, age.histogram.above, age.histogram.missing) == (0, 0, 2)
    assert len(age.histogram.counts) == 10
    assert age.histogram.counts.min() > 80
    assert city.levels is not None
    assert city.levels.levels == ("Kiel", "Oslo", "Rome", "x" * 12)
    assert city.levels.cells.tolist() == [240, 240, 480, 30, 0]
    assert city.levels.missing == 10


def test_counted_texts_equal_plain_ones() -> None:
    plain, counted = TextProfile(), TextProfile()
    plain.update(CITIES)
    tally = Counter(CITIES)
    counted.update([*tally, "never"], [*tally.values(), 0])
    assert plain.to_bytes() == counted.to_bytes()


def test_empty_and_infinite_columns_have_no_invented_figures() -> None:
    table = start_profile(numeric=["void", "wild"], text=["none"])
    table.update_numeric("void", [np.nan, np.nan])
    table.update_numeric("wild", [np.inf, 1.0])
    table.update_text("none", [], missing=2)
    assert table.rows == 2
    assert table.summary()["void"]["mean"] is None
    assert table.summary()["wild"]["deviation"] is None
    assert table.summary()["none"]["longest"] is None
    assert list(reference_bins(table)) == ["wild"]
    assert TableProfile.from_bytes(table.to_bytes()).to_bytes() == table.to_bytes()


def test_what_cannot_be_is_refused() -> None:
    table = start_profile(numeric=["age"], text=["city"])
    with pytest.raises(Invalid, match="'city' is not a numeric"):
        table.update_numeric("city", [1.0])
    with pytest.raises(Invalid, match="'other' is not a text"):
        table.update_text("other", ["a"])
    with pytest.raises(Invalid, match="stands twice"):
        start_profile(numeric=["a"], text=["a"])
    with pytest.raises(Invalid, match="another kind"):
        start_profile(numeric=["a"], text=[], bins={"a": ("x",)})
    with pytest.raises(Invalid, match="different columns"):
        table.merge(start_profile(numeric=["age"], text=[]))
    with pytest.raises(Invalid, match="numbers in one profile"):
        table.merge(start_profile(numeric=["age", "city"], text=[]))
    with pytest.raises(Invalid, match="fixed edges"):
        NumericProfile(np.array([0.0, 1.0])).merge(NumericProfile())
    with pytest.raises(Invalid, match="fixed levels"):
        TextProfile(["a"]).merge(TextProfile())
    table.update_numeric("age", [1.0])
    with pytest.raises(Invalid, match="0 to 1 rows"):
        _ = table.rows
    with pytest.raises(Corrupt):
        TableProfile.from_bytes(table.to_bytes()[:-2])
