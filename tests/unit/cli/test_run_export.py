from __future__ import annotations

import json

import polars as pl
import pytest

from fixtures.command_line import Mill
from millwright.records.runs import MetricPoint, RunSource
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with three runs, the last of them a step."""
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        for name, auc in (("a", 0.5), ("b", 0.9), ("step", 0.7)):
            kind = "step" if name == "step" else "script"
            run = door.runs.start(name=name, kind=kind, source=SOURCE).id
            door.runs.log_batch(
                run=run,
                params={f"depth of {name}": "3"},
                points=[MetricPoint(key="auc", value=auc)],
            )
    return mill


def test_runs_are_written_in_each_format(project: Mill) -> None:
    ended = project.ok("runs", "export", "runs.parquet", "--order", "metrics.auc")
    assert ended.out.splitlines()[:2] == ["file  runs.parquet", "runs  2"]
    frame = pl.read_parquet(project.folder / "runs.parquet")
    assert frame["name"].to_list() == ["a", "b"]
    assert "params.depth of a" in frame.columns
    project.ok("runs", "export", "runs.csv", "--columns", "name,metrics.auc", "--kind", "step")
    assert (project.folder / "runs.csv").read_text() == "name,metrics.auc\nstep,0.7\n"
    found = project.ok("runs", "export", "runs.jsonl", "--filter", "metrics.auc > 0.6", "--json")
    assert json.loads(found.out)["runs"] == 1
    (line,) = (project.folder / "runs.jsonl").read_text().splitlines()
    assert json.loads(line)["source"]["command"] == ["fit.py"]


def test_a_file_is_not_overwritten_unless_asked(project: Mill) -> None:
    project.write("runs.csv", "mine")
    assert project("runs", "export", "runs.csv").code == 6
    assert "2 runs" in project.ok("runs", "export", "runs.csv", "--dry-run").out
    assert (project.folder / "runs.csv").read_text() == "mine"
    project.ok("runs", "export", "runs.csv", "--overwrite")
    assert (project.folder / "runs.csv").read_text().startswith("id,name,kind,")


def test_what_cannot_be_written_is_said(project: Mill) -> None:
    assert project("runs", "export", "runs.xlsx").code == 2
    assert project("runs", "export", "runs.csv", "--columns", "took").code == 2
    assert project("runs", "export", "runs.csv", "--columns", " ").code == 2
    bad = project("runs", "export", "runs.csv", "--filter", "metrics.auc >")
    assert (bad.code, bad.err.splitlines()[3]) == (2, "               ^")
    assert not (project.folder / "runs.csv").exists()
