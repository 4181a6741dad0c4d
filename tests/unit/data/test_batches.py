from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from millwright.core.errors import Invalid, NotFound
from millwright.data.batches import (
    MAX_BATCH_ROWS,
    check_format,
    format_of,
    open_known,
    open_table,
)
from millwright.records.schema import Column, TableSchema

SHARED = Path(__file__).parents[4] / "shared" / "data"

MESSY = (
    b"\xef\xbb\xbf"
    b'id,age,"income, EUR",seen,active,postcode,note\r\n'
    b'1,34,1200.50,2021-03-04,true,02139,"said ""no"",\r\nthen yes"\r\n'
    b"2,,?,2021-03-04 10:00:00,FALSE,10001,\r\n"
    b'3,-5,7,2021-03-05T11:12:13+01:00,True,"00501","  "\r\n'
    b"\r\n"
    b"\r\n"
)
MESSY_ROWS = [
    (1, 34, "1200.50", datetime(2021, 3, 4, tzinfo=UTC), True, "02139", 'said "no",\r\nthen yes'),
    (2, None, "?", datetime(2021, 3, 4, 10, tzinfo=UTC), False, "10001", None),
    (3, -5, "7", datetime(2021, 3, 5, 10, 12, 13, tzinfo=UTC), True, "00501", "  "),
]
MESSY_SCHEMA = TableSchema(
    columns=[
        Column(name="id", kind="integer"),
        Column(name="age", kind="integer", nullable=True),
        Column(name="income, EUR", kind="text"),
        Column(name="seen", kind="timestamp"),
        Column(name="active", kind="boolean"),
        Column(name="postcode", kind="text"),
        Column(name="note", kind="text", nullable=True),
    ]
)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    path = tmp_path / "messy [1].csv"
    path.write_bytes(MESSY)
    return path


def test_a_messy_csv_is_read_as_it_was_meant(messy: Path) -> None:
    table = open_table(messy)
    assert (table.source, table.format, table.row_count) == ("messy [1].csv", "csv", 3)
    assert table.schema == MESSY_SCHEMA
    assert table.frame().rows() == MESSY_ROWS
    assert [batch.rows() for batch in table.batches()] == [MESSY_ROWS]


def test_all_formats_give_the_same_table(messy: Path, tmp_path: Path) -> None:
    frame = open_table(messy).frame()
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.FEATHER")
    for source in (tmp_path / "t.parquet", tmp_path / "t.FEATHER", frame):
        table = open_table(source)
        assert table.schema == MESSY_SCHEMA
        assert table.frame().equals(frame)
        assert pl.concat(table.batches()).equals(frame)


def test_a_known_file_is_read_without_looking_it_over(messy: Path) -> None:
    seen = open_table(messy)
    known = open_known(
        messy, kept_as="csv", schema=seen.schema, row_count=seen.row_count, label="kept"
    )
    assert known.frame().equals(seen.frame())
    assert known.source == "kept"


def test_batches_have_the_same_rows_whatever_the_pieces_polars_gives(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(150_000)})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=7_001)
    frame.write_parquet(tmp_path / "b.parquet")
    sizes = [MAX_BATCH_ROWS, MAX_BATCH_ROWS, 150_000 - 2 * MAX_BATCH_ROWS]
    for name in ("a.parquet", "b.parquet"):
        batches = list(open_table(tmp_path / name).batches())
        assert [batch.height for batch in batches] == sizes
        assert pl.concat(batches).equals(frame)


def test_a_wide_table_comes_in_smaller_batches() -> None:
    wide = pl.DataFrame({f"c{at}": range(1000) for at in range(10_000)})
    heights = [batch.height for batch in open_table(wide).batches()]
    assert heights == [419, 419, 162]


def test_a_missing_file_is_not_found_and_the_nearest_named(messy: Path) -> None:
    with pytest.raises(NotFound, match="there is no file") as caught:
        open_table(messy.with_name("mesy [1].csv"))
    assert caught.value.fix == "did you mean 'messy [1].csv'?"


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is a folder"):
        open_table(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(Invalid, match="is a device, pipe or socket"):
        open_table(tmp_path / "t.csv")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"")
    with pytest.raises(Invalid, match=r"t\.parquet is empty"):
        open_table(path)


def test_a_file_that_is_not_what_its_suffix_says_is_named(tmp_path: Path) -> None:
    for name in ("t.parquet", "t.arrow"):
        path = tmp_path / name
        path.write_bytes(b"a,b\n1,2\n" * 20)
        with pytest.raises(Invalid, match=f"{name} cannot be read"):
            open_table(path)


def test_a_cut_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Invalid, match=r"t\.parquet cannot be read"):
        open_table(path)


def test_an_unknown_suffix_is_refused_with_those_known(tmp_path: Path) -> None:
    path = tmp_path / "t.parqet"
    path.write_bytes(b"x")
    with pytest.raises(Invalid) as caught:
        open_table(path)
    assert caught.value.fix == "did you mean '.parquet'?"
    with pytest.raises(Invalid, match="the suffix here is 'missing'"):
        format_of(Path("data"))
    with pytest.raises(Invalid, match="'xlsx' is not a format"):
        check_format("xlsx")


def test_a_frame_without_rows_or_columns_is_no_table() -> None:
    with pytest.raises(Invalid, match="data frame has columns and no rows"):
        open_table(pl.DataFrame({"a": []}))
    with pytest.raises(Invalid, match="data frame has no columns"):
        open_table(pl.DataFrame())


def test_a_number_beyond_64_bits_in_a_frame_is_refused() -> None:
    with pytest.raises(Invalid, match="data frame cannot be read"):
        open_table(pl.DataFrame({"a": pl.Series([2**64 - 1], dtype=pl.UInt64)})).frame()


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared data sets are not in {SHARED}")
class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "row_count", "columns"),
        [
            ("adult.parquet", 32_561, 15),
            ("bike_sharing_hour.csv", 17_379, 17),
            ("electricity_elec2.parquet", 45_312, 7),
        ],
    )
    def test_a_real_file_is_read(self, name: str, row_count: int, columns: int) -> None:
        table = open_table(SHARED / name)
        assert (table.row_count, len(table.schema.columns)) == (row_count, columns)
        assert sum(batch.height for batch in table.batches()) == row_count
