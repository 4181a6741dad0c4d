from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from typing import Any

import pytest

from millwright.core.errors import Invalid, NotFound, Unsupported
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint, RunSource
from millwright.sdk import search
from millwright.sdk.search import FoundRuns, search_runs
from millwright.workspace.config import Config

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")
FILTER = "params.depth IN ('3', '5')"


@pytest.fixture
def experiment(door: Door, request: pytest.FixtureRequest) -> str:
    name = f"of {request.node.name}"
    for depth, auc in (("3", 0.5), ("5", None), ("7", 0.75)):
        run = door.runs.start(name=f"d{depth}", source=SOURCE, experiment=name).id
        door.runs.log_batch(
            run=run, params={"depth": depth}, points=[MetricPoint(key="auc", value=auc)]
        )
    return name


def test_runs_are_found_as_records_and_as_frames(config: Config, experiment: str) -> None:
    found = search_runs(
        "metrics.auc > 0.1", order=["metrics.auc desc"], experiments=[experiment], config=config
    )
    assert [run.name for run in found] == ["d7", "d3"]
    frame = found.to_polars()
    assert frame["metrics.auc"].to_list() == [0.75, 0.5]
    assert frame["params.depth"].to_list() == ["7", "3"]


def test_only_what_is_asked_for_is_read(
    config: Config, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAGE", 1)
    found = search_runs(
        FILTER,
        order=["start_time"],
        columns=["name", "metrics.auc", "ended"],
        experiments=[experiment],
        config=config,
    )
    assert [run.params for run in found] == [{}, {}]
    assert found.to_polars().columns == ["name", "metrics.auc", "ended"]
    pandas: Any = found.to_pandas()
    assert list(pandas.columns) == ["name", "metrics.auc", "ended"]
    values = pandas["metrics.auc"].tolist()
    assert values[0] == 0.5
    assert math.isnan(values[1])
    assert str(pandas["ended"].dtype).startswith("datetime64")
    one = search_runs(experiments=experiment, order="name DESC", limit=1, config=config)
    assert [run.name for run in one] == ["d7"]
    assert len(search_runs(experiments=[experiment], limit=None, config=config)) == 3


def test_nothing_found_is_an_empty_frame(config: Config, experiment: str) -> None:
    found = search_runs("metrics.auc > 9", experiments=[experiment], config=config)
    assert found == []
    assert found.to_polars().height == len(found.to_pandas()) == 0


def test_what_cannot_be_read_is_said(config: Config) -> None:
    with pytest.raises(Invalid, match="ends where a value should stand"):
        search_runs("metrics.auc >", config=config)
    with pytest.raises(Invalid, match="is no column of a table of runs"):
        search_runs(columns=["auc"], config=config)
    with pytest.raises(NotFound):
        search_runs(experiments=["none"], config=config)


def test_without_pandas_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Mapping[str, object] | None) -> object:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(Unsupported, match="there is no pandas here"):
        FoundRuns([]).to_pandas()
