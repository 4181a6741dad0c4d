from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millwright.core.errors import Invalid
from millwright.data import delimited
from millwright.data.batches import open_table
from millwright.data.delimited import Layout, check_csv


def check(folder: Path, data: bytes) -> Layout:
    path = folder / "t.csv"
    path.write_bytes(data)
    return check_csv(path, label="t.csv")


@pytest.mark.parametrize(
    ("data", "layout"),
    [
        (b"a,b\n1,2\n3,4\n", Layout(["a", "b"], 2)),
        (b"a,b\r\n1,2\r\n3,4", Layout(["a", "b"], 2)),
        (b"\xef\xbb\xbfa,b\n1,2\n", Layout(["a", "b"], 1)),
        (b"\n\r\na,b\n1,2\n\n\r\n\n", Layout(["a", "b"], 1)),
        (b'"a,\n x","b ""q"""\n"1\n\n,",2\n"",\n', Layout(["a,\n x", 'b "q"'], 2)),
        (b"a\n1\n\n3\n", Layout(["a"], 3)),
        (b",b,\n1,2,3\n", Layout(["column_1", "b", "column_3"], 1)),
        ("å,b\nø,\U0001f40d\n".encode(), Layout(["å", "b"], 1)),
    ],
)
def test_a_sound_file_has_this_layout(tmp_path: Path, data: bytes, layout: Layout) -> None:
    assert check(tmp_path, data) == layout


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a,b\n1,2\n3\n", "line 3 has 1 fields; the header has 2"),
        (b"a,b\n1,2,3\n3,4\n", "line 2 has 3 fields; the header has 2"),
        (b'a,b\n"1\n\n",2\n3\n', "line 5 has 1 fields; the header has 2"),
        (b"a,b\n1,2\n\n3,4\n", "line 3 is blank; a row has 2 fields"),
        (b"a,b\n1,2\r\n\r\n3,4\n", "line 3 is blank; a row has 2 fields"),
        (b"a\n1,2\n", "line 2 has 2 fields; the header has 1"),
        (b'a,b\n1,5" pipe\n', "line 2 has a quote in the middle of a field"),
        (b'a,b\n1,2\n"1"x,2\n', "line 3 has a quote in the middle of a field"),
        (b'a,b\n1,2\n1,"2\n3,4\n', "line 3 opens a quote that is never closed"),
        (b"a,b\n1,2\n1,caf\xe9\n", "line 3 holds bytes that are not UTF-8 text"),
        (b"a,b\n1,caf\xc3", "line 2 holds bytes that are not UTF-8 text"),
        (b"a,b\n1,\x00\n", "line 2 holds bytes that are not UTF-8 text"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", "line 1 holds bytes that are not UTF-8 text"),
        (b"a,b,a,b,c\n1,2,3,4,5\n", "line 1 is a header that names columns twice: 'a', 'b'"),
        (b"a;b\n1;2\n", "line 1 is a header whose names are separated by semicolons"),
        (b"a\tb\n1\t2\n", "line 1 is a header whose names are separated by tabs"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(tmp_path, data)
    assert caught.value.what == "t.csv cannot be read as CSV"
    assert caught.value.why == why
    assert caught.value.fix


@pytest.mark.parametrize("data", [b"a,b\n", b"a,b", b"a,b\n\n\n", b"\xef\xbb\xbfa,b\r\n"])
def test_a_header_alone_is_no_table(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(
        Invalid, match=r"t\.csv has a header and no rows\nits columns would be a, b"
    ):
        check(tmp_path, data)


def test_a_file_of_blank_lines_is_empty(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"t\.csv is empty"):
        check(tmp_path, b"\n\r\n\n")


FIELD = st.text(st.sampled_from('ab1,"\n\r é'), max_size=5)


@settings(max_examples=100)
@given(
    rows=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(FIELD, min_size=n, max_size=n), min_size=1, max_size=8)
    ),
    chunk=st.integers(1, 12),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_chunks_may_fall_anywhere(
    rows: list[list[str]], chunk: int, ends: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ends)
    names = [f"c{at}" for at in range(len(rows[0]))]
    writer.writerow(names)
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_CHUNK_BYTES", chunk)
        assert check_csv(path, label="t.csv") == Layout(names, len(rows))
    read = open_table(path).frame().select(pl.all().cast(pl.String))
    assert read.shape == (len(rows), len(names))


@settings(max_examples=60)
@given(data=st.lists(st.sampled_from([b"a", b",", b"\n", b"\r\n", b'"', b"1"]), max_size=25))
def test_whatever_the_bytes_polars_reads_what_we_let_pass(
    data: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(b"x,y\n" + b"".join(data))
    try:
        layout = check_csv(path, label="t.csv")
    except Invalid:
        return
    assert open_table(path).frame().shape == (layout.row_count, 2)
