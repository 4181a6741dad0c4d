from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fixtures.example_host import example_of
from fixtures.full_disk import full_disk
from millwright.core.errors import Conflict, Denied, Invalid, NotFound
from millwright.core.ids import RunId
from millwright.records.runs import Infinite, Run
from millwright.tracking.export import (
    ATTRIBUTES,
    export_runs,
    format_of,
    frame_of,
)

EXAMPLE = replace(example_of(Run), params={}, metrics={}, tags={}, start_us=1_000_000)
Metrics = dict[str, float | Infinite | None]
Logged = tuple[dict[str, str], Metrics]

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
LOGGED = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["a", "b c"]), TEXTS, max_size=2),
        st.dictionaries(
            st.sampled_from("xy"),
            st.one_of(
                st.floats(allow_nan=False, allow_infinity=False),
                st.sampled_from([None, "Infinity"]),
            ),
        ),
    ),
    min_size=1,
    max_size=8,
)


def runs_of(logged: list[Logged]) -> list[Run]:
    return [
        replace(EXAMPLE, id=RunId(f"run_{at}"), name=f"r{at}", params=params, metrics=metrics)
        for at, (params, metrics) in enumerate(logged)
    ]


def paged(runs: list[Run], size: int) -> Iterator[list[Run]]:
    yield from (runs[at : at + size] for at in range(0, len(runs), size))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LOGGED, st.integers(1, 4))
def test_pages_make_one_table_in_their_order(
    tmp_path: Path, logged: list[Logged], size: int
) -> None:
    runs = runs_of(logged)
    path = tmp_path / "runs.parquet"
    assert export_runs(paged(runs, size), path, overwrite=True) == len(runs)
    whole = frame_of(runs)
    assert pl.read_parquet(path).equals(whole, null_equal=True)
    assert whole["id"].to_list() == [run.id for run in runs]
    for run, row in zip(runs, whole.iter_rows(named=True), strict=True):
        assert {key: row[f"params.{key}"] for key in run.params} == run.params
        for key, value in run.metrics.items():
            found = row[f"metrics.{key}"]
            assert math.isnan(found) if value is None else found == float(value)


def test_columns_stand_in_their_order() -> None:
    runs = runs_of([({"b": "1"}, {"auc": 0.5}), ({"a": "2"}, {})])
    frame = frame_of([*runs, replace(EXAMPLE, tags={"who": "ada"})])
    assert frame.columns == [*ATTRIBUTES, "params.a", "params.b", "metrics.auc", "tags.who"]
    chosen = frame_of(runs, ["metrics.auc", "name", "params.none", "started"])
    assert chosen.rows()[0][:3] == (0.5, "r0", None)
    assert chosen.schema["started"] == pl.Datetime("us", "UTC")


def test_a_csv_is_read_by_anything(tmp_path: Path) -> None:
    runs = runs_of([({"a": 'x, "y"\nz'}, {"auc": 0.5}), ({}, {"auc": None})])
    export_runs([runs], tmp_path / "runs.csv", columns=["id", "started", "params.a", "metrics.auc"])
    assert (tmp_path / "runs.csv").read_text() == (
        "id,started,params.a,metrics.auc\n"
        'run_0,1970-01-01T00:00:01.000000Z,"x, ""y""\nz",0.5\n'
        "run_1,1970-01-01T00:00:01.000000Z,,NaN\n"
    )


def test_json_lines_are_records_or_what_was_chosen_of_them(tmp_path: Path) -> None:
    runs = runs_of([({"a": "1"}, {"auc": None, "f1": 0.5}), ({}, {})])
    path = tmp_path / "runs.jsonl"
    assert export_runs(paged(runs, 1), path) == 2
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["id"], one["params"]) for one in lines] == [("run_0", {"a": "1"}), ("run_1", {})]
    export_runs([runs], path, columns=["name", "metrics.auc", "metrics.f1"], overwrite=True)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"name": "r0", "metrics.auc": "NaN", "metrics.f1": 0.5},
        {"name": "r1", "metrics.auc": None, "metrics.f1": None},
    ]


def test_no_runs_are_a_table_without_rows(tmp_path: Path) -> None:
    for name in ("runs.parquet", "runs.csv", "runs.jsonl"):
        assert export_runs([], tmp_path / name) == 0
    assert pl.read_parquet(tmp_path / "runs.parquet").columns == list(ATTRIBUTES)
    assert (tmp_path / "runs.csv").read_text() == ",".join(ATTRIBUTES) + "\n"
    assert (tmp_path / "runs.jsonl").read_text() == ""


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("mine")
    with pytest.raises(Conflict, match="is there already"):
        export_runs([], path)

    def breaking() -> Iterator[list[Run]]:
        yield runs_of([({}, {})])
        raise Invalid("the server went away")

    with pytest.raises(Invalid, match="went away"):
        export_runs(breaking(), path, overwrite=True)
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["runs.csv"]
    with pytest.raises(NotFound, match=r"there is no folder .*none"):
        export_runs([], tmp_path / "none" / "runs.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Invalid, match="is a folder"):
        export_runs([], tmp_path / "folder.csv", overwrite=True)


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet", "runs.jsonl"])
@pytest.mark.parametrize("file_bytes", [0, 8_000])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str, file_bytes: int) -> None:
    path = tmp_path / name
    path.write_text("mine")
    runs = runs_of([({"a": f"{at:x}" * 99}, {"y": at / 7}) for at in range(2_000)])
    with full_disk(file_bytes), pytest.raises(Denied, match=f"{name} cannot be written"):
        export_runs(paged(runs, 500), path, overwrite=True)
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_texts_are_written_as_they_were_logged_and_numbers_as_numbers(tmp_path: Path) -> None:
    texts = {"a": "=1+1", "b": "+1", "c": "-1e-5", "d": "@SUM(1)", "e": "\tx"}
    path = tmp_path / "runs.csv"
    columns = [*(f"params.{key}" for key in texts), "metrics.auc"]
    export_runs([runs_of([(texts, {"auc": -0.5})])], path, columns=columns)
    assert path.read_text().splitlines()[1] == "=1+1,+1,-1e-5,@SUM(1),\tx,-0.5"


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    assert [format_of(Path(f"x.{one}")) for one in ("csv", "PARQUET", "jsonl")] == [
        "csv",
        "parquet",
        "jsonl",
    ]
    with pytest.raises(Invalid, match=r"runs\.xlsx does not say in which format"):
        export_runs([], tmp_path / "runs.xlsx")
    with pytest.raises(Invalid, match="'took' is no column of a table of runs"):
        export_runs([], tmp_path / "runs.csv", columns=["took"])
