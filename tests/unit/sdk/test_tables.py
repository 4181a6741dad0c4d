from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from fixtures.full_disk import full_disk
from millwright.core.errors import Invalid
from millwright.sdk.tables import columns_of_example, frame_of, table_writer

ROWS = {"a": np.array([0.0, 1.0, 2.0, 3.0] * 50), "b": np.array([1.0, 0.0] * 100)}
LABELS = (ROWS["a"] > 1).astype(np.int64)


@pytest.mark.parametrize(
    "table",
    [
        {"a": [1, 2], "b": ["x", None]},
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pl.LazyFrame({"a": [1, 2], "b": ["x", None]}),
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    ],
    ids=["columns", "polars", "lazy", "pandas"],
)
def test_a_table_of_any_kind_is_one_frame(table: pl.DataFrame) -> None:
    assert frame_of(table).to_dict(as_series=False) == {"a": [1, 2], "b": ["x", None]}


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(Invalid, match="a str is no table"):
        frame_of("a,b")  # pyright: ignore[reportArgumentType]
    with pytest.raises(Invalid, match="the columns do not make a table"):
        frame_of({"a": [1, 2], "b": [1]})


def test_what_a_kind_of_file_has_no_word_for_is_refused_and_named(tmp_path: Path) -> None:
    nested = pl.DataFrame({"a": [{"b": 1}]})
    with pytest.raises(Invalid, match=r"rows\.csv cannot hold this table"):
        table_writer(nested, "rows.csv")(tmp_path / "file")
    table_writer(nested, "rows.parquet")(tmp_path / "file")
    assert pl.read_parquet(tmp_path / "file").equals(nested)
    for name in ("rows", "rows.xlsx"):
        with pytest.raises(Invalid, match="does not say how the table is to be kept"):
            table_writer(nested, name)


@pytest.mark.parametrize("rows", [1, 200_000])
@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow", "json"])
def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, suffix: str, rows: int) -> None:
    write = table_writer(pl.DataFrame({"a": range(rows)}), f"rows.{suffix}")
    with pytest.raises(OSError, match="too large"), full_disk(0):
        write(tmp_path / "file")


def test_a_matrix_gets_the_names_that_the_model_knows() -> None:
    frame = pd.DataFrame(ROWS)
    named = LogisticRegression().fit(frame, LABELS)
    matrix = frame.to_numpy()
    assert list(columns_of_example(named, matrix)) == ["a", "b"]  # pyright: ignore[reportUnknownArgumentType, reportArgumentType]
    nameless = LogisticRegression().fit(matrix, LABELS)
    assert list(columns_of_example(nameless, matrix)) == ["x0", "x1"]  # pyright: ignore[reportUnknownArgumentType, reportArgumentType]
    assert columns_of_example(named, frame) is frame
    rows: list[list[float]] = matrix.tolist()
    assert list(columns_of_example(nameless, rows)) == ["x0", "x1"]  # pyright: ignore[reportArgumentType]
    for wrong in (LABELS, [[1.0], [1.0, 2.0]]):
        with pytest.raises(Invalid, match=r"holds no rows|of one length"):
            columns_of_example(nameless, wrong)
    with pytest.raises(Invalid, match="have 1 columns, not 2"):
        columns_of_example(named, matrix[:, :1])
