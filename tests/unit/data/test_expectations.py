from __future__ import annotations

import polars as pl
import pytest

from millwright.core.errors import Invalid
from millwright.data.batches import open_table
from millwright.data.expectations import describe, parse, parse_yaml, suggest
from millwright.data.profile import profile_batches
from millwright.data.validate import validate
from millwright.records.data import (
    Expectation,
    HasType,
    InRange,
    IsUnique,
    NotNull,
    OneOf,
    RowCount,
)

YAML = """
- {type: type, column: age, kind: integer}
- {type: range, column: age, low: 0, high: 120}
- {type: not_null, column: age, max_ratio: 0.05}
- {type: unique, columns: [id]}
- {type: one_of, column: sex, values: [f, m, 1, true]}
- {type: row_count, low: 100}
"""
PARSED: list[Expectation] = [
    HasType(column="age", kind="integer"),
    InRange(column="age", low=0, high=120),
    NotNull(column="age", max_ratio=0.05),
    IsUnique(columns=["id"]),
    OneOf(column="sex", values=["f", "m", 1, True]),
    RowCount(low=100),
]


def test_expectations_are_read_from_yaml() -> None:
    assert parse_yaml(YAML) == PARSED


def test_each_is_told_in_a_few_words() -> None:
    assert [describe(expectation) for expectation in PARSED] == [
        "age is integer",
        "age from 0 to 120",
        "age is missing in at most 5.0% of rows",
        "id unique",
        "sex one of 'f', 'm', 1, True",
        "number of rows at least 100",
    ]
    assert describe(NotNull(column="age")) == "age is never missing"
    assert describe(InRange(column="age", high=1e6)) == "age at most 1000000"
    assert describe(OneOf(column="n", values=list(range(10)))).endswith("7 and 2 more")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"type": "range"}, "expectations are a list, not dict"),
        (["age"], "expectation 1 is 'age', not a mapping with the key 'type'"),
        ([{"type": "rnage", "column": "a"}], "expectation 1 has the type 'rnage'"),
        ([{"column": "a"}], "expectation 1 has the type None"),
        (
            [{"type": "not_null", "column": "a"}, {"type": "range", "column": "a", "min": 1}],
            r"expectation 2 \(range\) has the unknown key 'min'\nits keys are type, column, low",
        ),
        ([{"type": "range", "low": 0}], r"expectation 1 \(range\) is not right\n.*`column`"),
        (
            [{"type": "type", "column": "a", "kind": "int"}],
            r"is not right\nInvalid enum value 'int'",
        ),
        ([{"type": "range", "column": "a"}], "has neither low nor high"),
        ([{"type": "range", "column": "a", "low": 2, "high": 1}], "has low 2 above high 1"),
        ([{"type": "range", "column": "a", "low": float("nan")}], "bound that is not a number"),
        ([{"type": "not_null", "column": "a", "max_ratio": 5}], "has max_ratio 5"),
        ([{"type": "unique", "columns": list[str]()}], "has an empty list"),
    ],
)
def test_what_cannot_be_an_expectation_is_refused_and_named(items: object, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parse(items)


def test_the_nearest_known_type_and_key_are_named() -> None:
    with pytest.raises(Invalid, match="did you mean 'range'"):
        parse([{"type": "rnage"}])
    with pytest.raises(Invalid, match="did you mean 'column'"):
        parse([{"type": "range", "colum": "a"}])


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(Invalid, match="the expectations are not YAML"):
        parse_yaml("- {type: range")


def test_what_is_suggested_holds_on_the_table_it_was_suggested_from() -> None:
    table = open_table(
        pl.DataFrame(
            {
                "age": [10, 20, None],
                "balance": [-5.0, 5.0, 0.0],
                "sex": ["f", "m", "f"],
                "note": [None, None, None],
            }
        )
    )
    suggested = suggest(table.schema, profile_batches(table.batches(), table.schema))
    assert suggested == [
        RowCount(low=1),
        HasType(column="age", kind="integer"),
        InRange(column="age", low=0.0, high=30.0),
        HasType(column="balance", kind="float"),
        NotNull(column="balance"),
        InRange(column="balance", low=-15.0, high=15.0),
        HasType(column="sex", kind="text"),
        NotNull(column="sex"),
        OneOf(column="sex", values=["f", "m"]),
        HasType(column="note", kind="text"),
    ]
    assert validate(table, suggested).passed


def test_a_text_of_many_values_is_not_listed() -> None:
    table = open_table(pl.DataFrame({"name": [f"n{at}" for at in range(50)]}))
    suggested = suggest(table.schema, profile_batches(table.batches(), table.schema))
    assert not any(isinstance(expectation, OneOf) for expectation in suggested)
