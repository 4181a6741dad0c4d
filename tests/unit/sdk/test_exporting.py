from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.foreign import runs_of
from millwright.core.errors import Failed, Invalid, NotFound
from millwright.core.ids import RunId
from millwright.doors.door import Door
from millwright.records.runs import ArtifactFile, MetricPoint, RunSource
from millwright.sdk.exporting import check_logdir, export_tensorboard, runs_of_experiment
from millwright.tracking.sources.found import FoundBytes, FoundParams, FoundRow
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home

SOURCE = RunSource(command=[], python="", platform="")
START_US = 1_790_000_000_000_000


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    home = Home.create(tmp_path / "home")
    yield cast("Door", home.door(home.local_principal(), "default"))
    home.close()


def png(width: int, height: int) -> bytes:
    """Return a black image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def started(door: Door, name: str = "train", **points: list[float | None]) -> RunId:
    run = door.runs.start(name=name, source=SOURCE, experiment="churn", start_us=START_US).id
    logged = [
        MetricPoint(key=key, value=value, step=step, time_us=START_US + step + 1)
        for key, values in points.items()
        for step, value in enumerate(values)
    ]
    door.runs.log_batch(run=run, points=logged, params={}, tags={})
    return run


def keep(door: Door, run: RunId, folder: Path, path: str, data: bytes) -> None:
    file = folder / "file"
    file.write_bytes(data)
    digest = door.artifacts.put_file(file)
    kept = ArtifactFile(path=path, digest=digest, size_bytes=len(data))
    door.runs.log_artifacts(run=run, files=[kept])


def test_a_run_comes_back_from_what_was_written(door: Door, tmp_path: Path) -> None:
    run = started(door, loss=[1.0, 0.5, None], acc=[0.25])
    door.runs.log_batch(run=run, points=[], params={"depth": "3"}, tags={"a|b": "c\nd"})
    keep(door, run, tmp_path, "plots/roc.png", png(3, 2))
    keep(door, run, tmp_path, "images/digit/7.png", png(4, 4))
    keep(door, run, tmp_path, "broken.png", b"\x89PNG\r\n\x1a\n")
    keep(door, run, tmp_path, "notes.txt", b"hello")
    report = export_tensorboard(door, [run], tmp_path / "logs")
    assert (report.runs, report.points, report.texts, report.images) == (1, 4, 2, 2)
    source = TensorBoard(tmp_path / "logs")
    (found,) = runs_of(source)
    assert (found.name, found.start_us) == ("train", START_US)
    items = list(source.items(found))
    points = [one for one in items if isinstance(one, MetricPoint)]
    values = sorted((one.key, one.step, one.value is None, one.value or 0) for one in points)
    assert values == [
        ("acc", 0, False, 0.25),
        ("loss", 0, False, 1.0),
        ("loss", 1, False, 0.5),
        ("loss", 2, True, 0),
    ]
    assert FoundParams(params={"depth": "3"}) in items
    texts = {one.table: one.row["text"] for one in items if isinstance(one, FoundRow)}
    assert texts["texts/params"] == "| name | value |\n| --- | --- |\n| depth | 3 |"
    assert "| a\\|b | c d |" in str(texts["texts/tags"])
    images = {one.path: one.data for one in items if isinstance(one, FoundBytes)}
    assert images == {"images/plots/roc/0.png": png(3, 2), "images/digit/7.png": png(4, 4)}


def test_points_come_by_step_whenever_they_were_logged(door: Door, tmp_path: Path) -> None:
    run = started(door)
    late = [
        MetricPoint(key="loss", value=float(step), step=step, time_us=START_US - step)
        for step in range(5)
    ]
    door.runs.log_batch(run=run, points=late, params={}, tags={})
    export_tensorboard(door, [run], tmp_path / "logs")
    source = TensorBoard(tmp_path / "logs")
    points = [one for one in source.items(runs_of(source)[0]) if isinstance(one, MetricPoint)]
    assert [point.step for point in points] == [0, 1, 2, 3, 4]


def test_runs_of_one_name_and_of_odd_names_have_folders_of_their_own(
    door: Door, tmp_path: Path
) -> None:
    runs = [started(door, name, loss=[1.0]) for name in ("same", "same", "../up", "a/b")]
    report = export_tensorboard(door, runs, tmp_path / "logs")
    places = [Path(file).parent.relative_to(tmp_path / "logs").as_posix() for file in report.files]
    assert places == ["same", f"same-{runs[1][-8:]}", "%2E%2E/up", "a/b"]
    assert len(runs_of(TensorBoard(tmp_path / "logs"))) == 4


def test_a_run_that_is_exported_again_is_not_there_twice(door: Door, tmp_path: Path) -> None:
    run = started(door, loss=[1.0])
    export_tensorboard(door, [run], tmp_path)
    more = [MetricPoint(key="loss", value=0.5, step=1, time_us=START_US + 9)]
    door.runs.log_batch(run=run, points=more, params={}, tags={})
    assert export_tensorboard(door, [run], tmp_path).points == 2
    source = TensorBoard(tmp_path)
    points = [one for one in source.items(runs_of(source)[0]) if isinstance(one, MetricPoint)]
    assert len(points) == 2
    assert list((tmp_path / "train").glob(".*")) == []


def test_an_experiments_runs_are_listed(door: Door) -> None:
    runs = {started(door, f"run {number}") for number in range(3)}
    door.runs.start(name="elsewhere", source=SOURCE, experiment="other")
    assert set(runs_of_experiment(door, "churn")) == runs


def test_what_cannot_be_written_or_found_is_said(door: Door, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export_tensorboard(door, ["run_" + "0" * 26], tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(Failed, match="cannot write"):
        export_tensorboard(door, [started(door)], tmp_path / "file")
    with pytest.raises(Invalid, match="is a file"):
        check_logdir(tmp_path / "file")
    assert check_logdir(tmp_path / "new") == tmp_path / "new"
