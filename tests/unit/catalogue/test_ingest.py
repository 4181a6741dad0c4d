from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from millwright.catalogue.ingest import ingest
from millwright.core.errors import NotFound
from millwright.data.frames import arrow_bytes


def test_rows_come_in_the_kinds_of_their_schema(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,age,note\na,3,\nb,,late\n")
    found = ingest(path)
    wanted = pl.DataFrame({"id": ["a", "b"], "age": [3, None], "note": [None, "late"]})
    assert_frame_equal(found, wanted)


def test_what_was_kept_of_a_frame_comes_back_as_it_was(
    tmp_path: Path, people: pl.DataFrame
) -> None:
    path = tmp_path / "people.arrow"
    path.write_bytes(arrow_bytes(people.lazy()))
    assert_frame_equal(ingest(path), people)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing\.csv"):
        ingest(tmp_path / "nothing.csv")
