from __future__ import annotations

import importlib
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid, Unsupported
from millwright.records.schema import Column, ColumnKind, Signature
from millwright.registry.signature import (
    Array,
    check_columns,
    columns_of,
    infer_signature,
    is_missing,
)

pd: Any = importlib.import_module("pandas")  # it has no types

SIGNATURE = Signature(
    inputs=[
        Column(name="age", kind="integer"),
        Column(name="income", kind="float", nullable=True),
        Column(name="member", kind="boolean"),
        Column(name="region", kind="text", nullable=True),
    ],
    outputs=[Column(name="prediction", kind="integer")],
)


def given_rows(**changes: object) -> dict[str, Array]:
    columns: dict[str, object] = {
        "age": [30, 41],
        "income": [1.5, float("nan")],
        "member": [True, False],
        "region": np.array(["north", None], dtype=object),
    }
    return {name: np.asarray(values) for name, values in (columns | changes).items()}


def written(rows: Any) -> dict[str, Array]:
    """Return columns of what a user wrote down by hand, without arrays."""
    return columns_of(rows)


class TestInfer:
    def test_polars_and_pandas_frames_have_one_signature(self) -> None:
        data: dict[str, list[object]] = {
            "a": [1, 2],
            "b": [1.5, None],
            "c": [True, False],
            "d": ["x", None],
        }
        outputs: dict[str, Array] = {
            "prediction": np.array([0, 1]),
            "probability": np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]),
        }
        expected = Signature(
            inputs=[
                Column(name="a", kind="integer"),
                Column(name="b", kind="float", nullable=True),
                Column(name="c", kind="boolean"),
                Column(name="d", kind="text", nullable=True),
            ],
            outputs=[
                Column(name="prediction", kind="integer"),
                Column(name="probability", kind="float"),
            ],
        )
        for frame in (pl.DataFrame(data), pd.DataFrame(data)):
            assert infer_signature(columns_of(frame), outputs) == expected

    def test_a_timestamp_is_refused_by_name(self) -> None:
        with pytest.raises(Unsupported, match="column 'seen' has the type datetime64"):
            infer_signature({"seen": np.array(["2026-01-01"], dtype="datetime64[us]")}, {})

    def test_mixed_values_are_refused_by_name(self) -> None:
        with pytest.raises(Unsupported, match="'x' mixes values of the types int, str"):
            infer_signature({"x": np.array([1, "a"], dtype=object)}, {})

    def test_columns_of_different_lengths_are_refused(self) -> None:
        with pytest.raises(Invalid, match="one length"):
            columns_of({"a": np.zeros(2), "b": np.zeros(3)})

    def test_two_columns_of_one_name_are_refused(self) -> None:
        frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
        with pytest.raises(Invalid, match="share a name: a"):
            columns_of(frame)

    def test_names_that_are_no_text_become_it(self) -> None:
        frame = pd.DataFrame(np.arange(4.0).reshape(2, 2))
        columns = columns_of(frame)
        assert {name: values.tolist() for name, values in columns.items()} == {
            "0": [0.0, 2.0],
            "1": [1.0, 3.0],
        }
        assert list(written({0: np.zeros(1), "a": np.zeros(1)})) == ["0", "a"]
        with pytest.raises(Invalid, match="share a name: 0"):
            written({0: np.zeros(1), "0": np.zeros(1)})

    def test_a_columns_lists_of_several_lengths_are_named(self) -> None:
        rows = written({"age": [[1], [1, 2]]})
        with pytest.raises(Invalid) as caught:
            check_columns(Signature(inputs=[Column(name="age", kind="integer")], outputs=[]), rows)
        assert caught.value.why == "age should hold whole numbers, and holds [1], [1, 2]"


class TestCheck:
    def test_rows_come_back_in_the_models_order_and_kinds(self) -> None:
        shuffled = dict(reversed(given_rows(age=[30.0, 41.0], member=[1, 0]).items()))
        taken = check_columns(SIGNATURE, shuffled)
        assert {name: values.dtype.kind for name, values in taken.items()} == {
            "age": "i",
            "income": "f",
            "member": "b",
            "region": "O",
        }
        assert list(taken) == ["age", "income", "member", "region"]
        assert taken["region"].tolist() == ["north", None]

    def test_every_fault_is_named_at_once(self) -> None:
        rows = given_rows(age=["x", "y"], incme=[1.0, 2.0])
        del rows["income"]
        with pytest.raises(Invalid) as caught:
            check_columns(SIGNATURE, rows)
        assert caught.value.why == (
            "missing: income; not known: incme (did you mean 'income'?); "
            "age should hold whole numbers, and holds 'x', 'y'"
        )

    @pytest.mark.parametrize(
        ("column", "values", "words"),
        [
            ("age", [1.5, 2.0], "age should hold whole numbers, and holds 1.5, 2.0"),
            ("age", [1e300, 2.0], "age should hold whole numbers"),
            ("age", [True, False], "age should hold whole numbers, and holds True, False"),
            ("age", [float("nan"), 2.0], "age lacks 1 of 2 values, and the model needs all"),
            ("income", ["1", "2"], "income should hold numbers, and holds '1', '2'"),
            ("member", [2, 0], "member should hold true or false, and holds 2, 0"),
            ("region", [1, 2], "region holds int64 and should hold text"),
            ("age", [[1], [2]], r"age has the shape \(2, 1\); it must be flat"),
            ("age", [1, 2, 3], r"different lengths: \[2, 3\]"),
        ],
    )
    def test_what_does_not_fit_is_said(self, column: str, values: object, words: str) -> None:
        with pytest.raises(Invalid) as caught:
            check_columns(SIGNATURE, given_rows(**{column: values}))
        assert re.search(words, caught.value.why)

    def test_objects_of_numbers_and_missing_become_numbers(self) -> None:
        taken = check_columns(SIGNATURE, given_rows(income=np.array([None, 3], dtype=object)))
        np.testing.assert_array_equal(taken["income"], [np.nan, 3.0])

    @settings(max_examples=25)
    @given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=5))
    def test_checking_twice_changes_nothing(self, incomes: list[float]) -> None:
        n = len(incomes)
        rows: dict[str, Array] = {
            "age": np.arange(n),
            "income": np.array(incomes),
            "member": np.zeros(n, dtype=np.bool_),
            "region": np.array(["x"] * n, dtype=object),
        }
        once = check_columns(SIGNATURE, rows)
        twice = check_columns(SIGNATURE, once)
        for name, values in once.items():
            np.testing.assert_array_equal(values, twice[name])


class TestKinds:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (np.array([2**63], dtype=np.uint64), "holds 9223372036854775808, and a whole number"),
            (np.array([10**400, 1], dtype=object), "a number of 1329 bits"),
            (np.array([2**53 + 1, None], dtype=object), "lacks 1 of 2 values"),
        ],
    )
    def test_a_whole_number_that_does_not_fit_is_refused_and_never_wraps(
        self, values: Array, words: str
    ) -> None:
        signature = Signature(inputs=[Column(name="n", kind="integer")], outputs=[])
        with pytest.raises(Invalid) as caught:
            check_columns(signature, {"n": values})
        assert words in caught.value.why

    def test_a_whole_number_beside_a_missing_one_is_exact_or_refused(self) -> None:
        signature = Signature(inputs=[Column(name="n", kind="integer", nullable=True)], outputs=[])
        exact = check_columns(signature, {"n": np.array([2**53 - 1, None], dtype=object)})["n"]
        np.testing.assert_array_equal(exact, [2.0**53 - 1, np.nan])
        for value in (2**53, 2**53 + 1):
            with pytest.raises(Invalid, match="do not fit"):
                check_columns(signature, {"n": np.array([value, None], dtype=object)})
        assert check_columns(signature, {"n": np.array([2**62 + 1])})["n"][0] == 2**62 + 1
        objects = np.array([2**62 + 1, 3], dtype=object)
        assert check_columns(signature, {"n": objects})["n"].tolist() == [2**62 + 1, 3]

    @pytest.mark.parametrize(
        ("kind", "values", "words"),
        [
            ("text", ["a", 1.5, True], "c holds bool, float, str and should hold text"),
            ("integer", [1, True], "c should hold whole numbers, and holds 1, True"),
            ("float", [1.5, True], "c should hold numbers, and holds 1.5, True"),
            ("boolean", [True, "x"], "c should hold true or false, and holds True, 'x'"),
        ],
    )
    def test_a_list_of_mixed_values_is_refused_as_an_array_of_them_is(
        self, kind: ColumnKind, values: list[object], words: str
    ) -> None:
        signature = Signature(inputs=[Column(name="c", kind=kind)], outputs=[])
        for given_values in (values, np.array(values, dtype=object)):
            with pytest.raises(Invalid) as caught:
                check_columns(signature, written({"c": given_values}))
            assert caught.value.why == words

    @pytest.mark.parametrize("kind", ["text", "timestamp", "float", "integer", "boolean"])
    @pytest.mark.parametrize("values", [[np.nan, np.nan], [None, None], [pd.NA, None]])
    def test_a_nullable_column_may_be_missing_in_every_row(
        self, kind: ColumnKind, values: list[object]
    ) -> None:
        column = Column(name="c", kind=kind, nullable=True)
        taken = check_columns(Signature(inputs=[column], outputs=[]), written({"c": values}))
        assert is_missing(taken["c"]).tolist() == [True, True]
        assert taken["c"].dtype.kind == {"text": "O", "timestamp": "M"}.get(kind, "f")

    @pytest.mark.parametrize(
        ("kind", "dtype"),
        [
            ("text", "object"),
            ("timestamp", "datetime64[us]"),
            ("float", "float64"),
            ("integer", "int64"),
            ("boolean", "bool"),
        ],
    )
    def test_no_rows_at_all_are_taken(self, kind: ColumnKind, dtype: str) -> None:
        signature = Signature(inputs=[Column(name="c", kind=kind)], outputs=[])
        empty: list[object] = [[], np.empty(0, dtype=object), np.empty(0, dtype="U1")]
        for values in empty:
            taken = check_columns(signature, written({"c": values}))["c"]
            assert (taken.shape, taken.dtype) == ((0,), np.dtype(dtype))

    def test_a_time_beside_what_pandas_calls_na_is_taken(self) -> None:
        column = Column(name="t", kind="timestamp", nullable=True)
        values = np.array([pd.NA, "2020-01-01"], dtype=object)
        taken = check_columns(Signature(inputs=[column], outputs=[]), {"t": values})["t"]
        assert str(taken.tolist()) == "[None, datetime.datetime(2020, 1, 1, 0, 0)]"

    def test_what_pandas_calls_na_is_missing(self) -> None:
        signature = Signature(inputs=[Column(name="t", kind="text", nullable=True)], outputs=[])
        values = np.array(["a", pd.NA, float("nan"), None], dtype=object)
        assert check_columns(signature, {"t": values})["t"].tolist() == ["a", None, None, None]
        assert is_missing(values).tolist() == [False, True, True, True]

    @pytest.mark.parametrize(
        "values",
        [
            np.array(["2026-11-27T06:00:00", "NaT"], dtype="datetime64[s]"),
            np.array(["2026-11-27T07:00:00+01:00", None], dtype=object),
            np.array([datetime(2026, 11, 27, 6, tzinfo=UTC), None], dtype=object),
            pd.Series([pd.Timestamp("2026-11-27T06:00:00"), pd.NaT], dtype=object).to_numpy(),
        ],
    )
    def test_times_come_as_microseconds_in_utc(self, values: Array) -> None:
        signature = Signature(
            inputs=[Column(name="t", kind="timestamp", nullable=True)], outputs=[]
        )
        taken = check_columns(signature, {"t": values})["t"]
        assert taken.dtype == np.dtype("datetime64[us]")
        assert str(taken.tolist()) == "[datetime.datetime(2026, 11, 27, 6, 0), None]"
        with pytest.raises(Invalid, match="do not fit"):
            check_columns(signature, {"t": np.array(["yesterday"], dtype=object)})

    def test_lists_in_a_column_are_named_and_break_nothing(self) -> None:
        for kind in ("text", "float", "timestamp"):
            signature = Signature(inputs=[Column(name="c", kind=kind)], outputs=[])
            values = np.empty(2, dtype=object)
            values[:] = [[1, 2], np.array([1, 2])]
            with pytest.raises(Invalid, match="do not fit"):
                check_columns(signature, {"c": values})

    def test_what_has_the_right_type_is_not_copied(self) -> None:
        rows: dict[str, Array] = {
            "a": np.zeros(3),
            "b": np.array(["x", "y", "z"], dtype=object),
            "c": np.arange(3),
        }
        signature = infer_signature(rows, {})
        taken = check_columns(signature, rows)
        assert all(np.shares_memory(taken[name], rows[name]) for name in rows)
