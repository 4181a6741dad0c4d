from __future__ import annotations

import json
from pathlib import Path

import pytest

from millwright.sdk.imported_rows import Rows


def read(rows: Rows) -> dict[str, list[object]]:
    return {
        table: [json.loads(line) for line in path.read_text().splitlines()]
        for table, path in rows.changed()
    }


def test_rows_lie_in_a_file_for_each_table_in_their_order(tmp_path: Path) -> None:
    rows = Rows(lambda: tmp_path / "rows")
    for step in range(3):
        rows.add("b", {"step": step})
    rows.add("../a", {"text": "hello"})
    assert read(rows) == {"../a": [{"text": "hello"}], "b": [{"step": step} for step in range(3)]}
    assert {path.parent for path in tmp_path.rglob("*.jsonl")} == {tmp_path / "rows"}


def test_only_tables_that_grew_are_told_of_again(tmp_path: Path) -> None:
    rows = Rows(lambda: tmp_path / "rows")
    rows.add("a", {"n": 1})
    rows.add("b", {"n": 1})
    read(rows)
    assert read(rows) == {}
    rows.add("b", {"n": 2})
    assert read(rows) == {"b": [{"n": 1}, {"n": 2}]}


def test_nothing_is_made_for_no_rows(tmp_path: Path) -> None:
    assert read(Rows(lambda: tmp_path / "rows")) == {}
    assert list(tmp_path.iterdir()) == []


def test_many_rows_do_not_wait_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millwright.sdk.imported_rows.MAX_WAITING_BYTES", 100)
    rows = Rows(lambda: tmp_path / "rows")
    for number in range(50):
        rows.add("a", {"number": number})
    assert (tmp_path / "rows" / "0.jsonl").read_text().count("\n") > 30
    assert read(rows)["a"] == [{"number": number} for number in range(50)]
