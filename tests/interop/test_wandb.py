"""Offline runs made by the real wandb."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import runs_of
from fixtures.importing import all_runs, artifacts, points
from fixtures.tools import python_of, run_tool
from millwright.doors.door import Door
from millwright.sdk.importing import import_all
from millwright.tracking.sources.wandb import Wandb
from millwright.workspace.open import Home

pytestmark = pytest.mark.interop

OFFLINE = """
import os, sys
import numpy as np
import wandb
config = {"lr": 0.1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "layers": 3}
for name in ("first", "second"):
    with wandb.init(
        project="churn", name=name, dir=sys.argv[1], config=config, tags=["good"],
        notes="what for", group="g", mode="offline", settings=wandb.Settings(silent=True),
    ) as run:
        for step in range(3000):
            run.log({"loss": 1 / (step + 1), "val": {"acc": step / 3000}, "word": f"w{step % 3}"})
        run.log({"odd": float("nan"), "much": float("inf")})
        run.log({
            "hist": wandb.Histogram([1, 2, 3, 3]),
            "img": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8)),
            "table": wandb.Table(columns=["a"], data=[[1], [2]]),
            "long": "x" * 100_000,
        })
        print("printed by", name)
        run.summary["best"] = 0.9
        run.config.update({"later": 5})
        path = os.path.join(sys.argv[1], "weights.bin")
        with open(path, "wb") as stream:
            stream.write(b"weights")
        run.save(path, base_path=sys.argv[1])
        artifact = wandb.Artifact("net", type="model")
        artifact.add_file(path)
        run.log_artifact(artifact)
"""

FAILING = """
import sys
import wandb
wandb.init(project="churn", name="broken", dir=sys.argv[1], mode="offline",
           settings=wandb.Settings(silent=True)).log({"a": 1})
sys.exit(3)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = python_of("trackers", "wandb")
    folder = tmp_path_factory.mktemp("wandb")
    own = {"WANDB_DATA_DIR": str(folder / "staged"), "WANDB_CACHE_DIR": str(folder / "cache")}
    own |= {"WANDB_CONFIG_DIR": str(folder / "config"), "HOME": str(folder)}
    run_tool(python, OFFLINE, str(folder), cwd=folder, environment=own)
    done = subprocess.run([python, "-c", FAILING, str(folder)], cwd=folder, env=own, check=False)
    assert done.returncode == 3
    return folder


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def test_offline_runs_are_imported_whole(folder: Path, door: Door, tmp_path: Path) -> None:
    report = import_all(door, Wandb(folder, follow_links=True))
    assert report.ok
    assert report.problems == []
    runs = all_runs(door)
    assert {name: run.status for name, run in runs.items()} == {
        "first": "finished",
        "second": "finished",
        "broken": "failed",
    }
    first = runs["first"]
    assert (first.experiment, first.params) == (
        "churn",
        {
            "lr": "0.1",
            "opt.name": "adam",
            "opt.betas": "[0.9,0.99]",
            "layers": "3",
            "later": "5",
        },
    )
    assert {
        "mlflow.note.content": "what for",
        "wandb.group": "g",
        "wandb.tags": '["good"]',
    }.items() <= first.tags.items()
    by_key: dict[str, list[tuple[int, float | None]]] = {}
    for point in points(door, first):
        value = None if point.value is None else float(point.value)
        by_key.setdefault(point.key, []).append((point.step, value))
    assert sorted(by_key["loss"]) == [(step, 1 / (step + 1)) for step in range(3000)]
    assert sorted(by_key["val.acc"]) == [(step, step / 3000) for step in range(3000)]
    assert by_key["odd"] == [(3000, None)]
    assert by_key["much"] == [(3000, math.inf)]
    assert [value for _, value in by_key["best"]] == [0.9]
    assert "system/memory_percent" in by_key

    kept = artifacts(door, first, tmp_path)
    words = [json.loads(line)["text"] for line in kept["values/word.jsonl"].splitlines()]
    assert words == [f"w{step % 3}" for step in range(3000)]
    assert json.loads(kept["values/long.jsonl"])["text"] == "x" * 100_000
    buckets = json.loads(kept["histograms/hist.jsonl"])["buckets"]
    assert sum(bucket[2] for bucket in buckets) == 4
    assert kept["weights.bin"] == kept["artifacts/net/weights.bin"] == b"weights"
    assert any(path.startswith("media/images/img_") for path in kept)
    assert any(path.startswith("media/table/table_") for path in kept)
    assert "numpy" in kept["requirements.txt"].decode()
    assert first.log_digest is not None
    door.artifacts.fetch(first.log_digest, tmp_path / "log")
    assert "printed by first\n" in (tmp_path / "log").read_text()

    assert import_all(door, Wandb(folder, follow_links=True)).unchanged == 3


def test_files_outside_are_named_where_links_are_not_followed(folder: Path, door: Door) -> None:
    report = import_all(door, Wandb(folder))
    assert report.ok
    assert [Path(one.where).name for one in report.problems] == ["weights.bin", "weights.bin"]


def test_a_log_that_was_cut_off_is_imported_as_far_as_it_goes(
    folder: Path, door: Door, tmp_path: Path
) -> None:
    first = next(run for run in runs_of(Wandb(folder)) if run.name == "first")
    (log,) = folder.glob(f"wandb/offline-run-*/run-{first.id.rpartition('/')[2]}.wandb")
    cut = tmp_path / "wandb" / log.parent.name
    cut.mkdir(parents=True)
    data = log.read_bytes()
    (cut / log.name).write_bytes(data[: len(data) // 2])
    report = import_all(door, Wandb(tmp_path / "wandb"))
    assert report.ok
    (run,) = all_runs(door).values()
    assert (run.name, run.status) == ("first", "failed")
    steps = sorted(point.step for point in points(door, run) if point.key == "loss")
    assert len(steps) > 500
    assert steps == list(range(len(steps)))
