"""Logdirs written by tensorboardX and by TensorBoard itself, and ours read by TensorBoard."""

from __future__ import annotations

import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.importing import all_runs, artifacts, points
from fixtures.tools import asked_tool, free_port, python_of, run_tool, serving_tool
from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.sdk.exporting import export_tensorboard
from millwright.sdk.importing import import_all
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

OLD_DIALECT = """
import sys
import numpy as np
from tensorboardX import SummaryWriter
for run in ("train", "eval/deep"):
    with SummaryWriter(f"{sys.argv[1]}/{run}") as writer:
        for step in range(500):
            writer.add_scalar("loss/total", 1 / (step + 1), step)
        writer.add_scalar("odd", float("nan"), 1)
        writer.add_scalar("odd", float("inf"), 2)
        writer.add_histogram("weights", np.random.RandomState(0).randn(1000), 3)
        writer.add_text("note", "hello **there**", 4)
        writer.add_image("digit", np.full((3, 4, 5), 255, dtype=np.uint8), 5)
        writer.add_hparams({"lr": 0.1, "depth": 3, "kind": "tree", "on": True}, {"hp/auc": 0.5})
"""

NEW_DIALECT = """
import sys
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.histogram.summary import histogram_pb
from tensorboard.plugins.scalar.summary import scalar_pb
from tensorboard.plugins.text.summary import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(f"{sys.argv[1]}/new")
def add(summary, step):
    writer.add_event(Event(wall_time=1790000000 + step, step=step, summary=summary))
for step in range(100):
    add(scalar_pb("loss/total", 1 / (step + 1)), step)
add(histogram_pb("weights", np.arange(10.0), buckets=5), 3)
add(text_pb("note", "hello"), 4)
writer.close()
"""

ACCUMULATED = """
import json, sys
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
seen = EventMultiplexer(size_guidance={"scalars": 0, "histograms": 0, "tensors": 0, "images": 0})
seen.AddRunsFromDirectory(sys.argv[1])
seen.Reload()
found = {}
for run in seen.Runs():
    one = seen.GetAccumulator(run)
    tags = one.Tags()
    found[run] = {
        "scalars": {
            tag: [(e.step, e.wall_time, repr(e.value)) for e in one.Scalars(tag)]
            for tag in tags["scalars"]
        },
        "tensors": {
            tag: [(e.step, e.tensor_proto.SerializeToString().hex()) for e in one.Tensors(tag)]
            for tag in tags["tensors"]
        },
        "histograms": {
            tag: [
                (e.step, e.histogram_value.min, e.histogram_value.max, e.histogram_value.num,
                 list(e.histogram_value.bucket))
                for e in one.Histograms(tag)
            ]
            for tag in tags["histograms"]
        },
        "images": {
            tag: [(e.step, e.encoded_image_string.hex()) for e in one.Images(tag)]
            for tag in tags["images"]
        },
    }
print(json.dumps(found))
"""

Seen = dict[str, dict[str, dict[str, list[list[object]]]]]


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("trackers", "tensorboard, tensorboardX")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def seen_by_tensorboard(python: Path, logdir: Path) -> Seen:
    return cast("Seen", asked_tool(python, ACCUMULATED, str(logdir), cwd=logdir))


def scalars(door: Door, run: Run) -> dict[str, list[list[object]]]:
    """Return the points of a run as TensorBoard's accumulator tells them."""
    found: dict[str, list[list[object]]] = {}
    for point in points(door, run):
        value = math.nan if point.value is None else float(point.value)
        row: list[object] = [point.step, round(point.time_us), repr(value)]
        found.setdefault(point.key, []).append(row)
    return found


def test_a_logdir_of_tensorboardx_is_imported_as_tensorboard_reads_it(
    python: Path, door: Door, tmp_path: Path
) -> None:
    logdir = tmp_path / "logs"
    run_tool(python, OLD_DIALECT, str(logdir), cwd=tmp_path)
    report = import_all(door, TensorBoard(logdir))
    assert report.ok
    assert report.problems == []
    # Each of the two runs has one below it with its hyperparameters.
    assert (report.kept.runs, report.kept.points, report.kept.params) == (4, 1006, 8)
    seen = seen_by_tensorboard(python, logdir)
    runs = all_runs(door)
    assert set(runs) == set(seen)
    for name, tags in seen.items():
        expected = {
            tag: [[step, round(cast("float", at) * 1e6), value] for step, at, value in rows]
            for tag, rows in tags["scalars"].items()
        }
        assert scalars(door, runs[name]) == expected
        kept = artifacts(door, runs[name], tmp_path)
        for tag, rows in tags["images"].items():
            for step, data in rows:
                assert kept[f"images/{tag}/{step}.png"].hex() == data
        for tag, rows in tags["histograms"].items():
            lines = kept[f"histograms/{tag}.jsonl"].splitlines()
            for line, (step, low, high, count, buckets) in zip(lines, rows, strict=True):
                row = json.loads(line)
                assert (row["step"], row["count"]) == (step, count)
                assert [bucket[2] for bucket in row["buckets"]] == buckets
                assert (row["buckets"][0][0], row["buckets"][-1][1]) == (low, high)
    kept = artifacts(door, runs["train"], tmp_path)
    note = json.loads(kept["texts/note/text_summary.jsonl"])
    assert (note["step"], note["text"]) == (4, "hello **there**")
    (below,) = [run for name, run in runs.items() if name.startswith("train/")]
    assert below.params == {"lr": "0.1", "depth": "3", "kind": "tree", "on": "true"}
    assert below.metrics == {"hp/auc": 0.5}


def test_a_logdir_of_tensors_is_imported(python: Path, door: Door, tmp_path: Path) -> None:
    logdir = tmp_path / "logs"
    run_tool(python, NEW_DIALECT, str(logdir), cwd=tmp_path)
    report = import_all(door, TensorBoard(logdir))
    assert report.ok
    assert report.problems == []
    (run,) = all_runs(door).values()
    found = points(door, run)
    assert len(found) == 100
    assert [point.value for point in found] == pytest.approx(
        [1 / (step + 1) for step in range(100)], rel=1e-6
    )
    kept = artifacts(door, run, tmp_path)
    histogram = json.loads(kept["histograms/weights.jsonl"])
    assert [bucket[2] for bucket in histogram["buckets"]] == [2.0] * 5
    assert json.loads(kept["texts/note.jsonl"])["text"] == "hello"


def test_our_runs_open_in_tensorboard(python: Path, door: Door, tmp_path: Path) -> None:
    source = tmp_path / "source"
    run_tool(python, OLD_DIALECT, str(source), cwd=tmp_path)
    import_all(door, TensorBoard(source))
    runs = all_runs(door)
    logdir = tmp_path / "logs"
    export_tensorboard(door, [run.id for run in runs.values()], logdir)
    before, after = seen_by_tensorboard(python, source), seen_by_tensorboard(python, logdir)
    assert set(after) == set(runs)
    for name in runs:
        assert after[name]["scalars"] == {
            tag: [[step, pytest.approx(at, abs=1e-6), value] for step, at, value in rows]
            for tag, rows in before[name]["scalars"].items()
        }
        images = [row[1] for rows in before[name]["images"].values() for row in rows]
        assert [row[1] for rows in after[name]["images"].values() for row in rows] == images

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python.parent / "tensorboard", "--logdir", str(logdir), "--port", str(port)]
    with serving_tool(command, f"{url}/data/environment", cwd=tmp_path):
        tags = asked(f"{url}/data/plugin/scalars/tags", until={"train", "eval/deep"})
        assert set(tags) == set(runs)
        assert set(tags["train"]) == {"loss/total", "odd"}
        query = urllib.parse.urlencode({"run": "train", "tag": "loss/total"})
        with urllib.request.urlopen(f"{url}/data/plugin/scalars/scalars?{query}") as answer:
            rows = json.loads(answer.read())
        assert [row[1] for row in rows] == list(range(500))
        texts = asked(f"{url}/data/plugin/text/tags", until={"train"})
        assert "tags" in texts["train"]


def asked(url: str, *, until: set[str]) -> dict[str, list[str]]:
    """Return the tags by run, once the server has read these runs."""
    found: dict[str, list[str]] = {}
    for _ in range(100):
        with urllib.request.urlopen(url) as answer:
            found = json.loads(answer.read())
        if until <= set(found):
            break
        time.sleep(0.2)
    return found
