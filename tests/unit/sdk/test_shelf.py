from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from millwright.core.errors import Invalid, NotFound
from millwright.doors.door import Door
from millwright.records.runs import LoggedDataset, Run
from millwright.sdk.active import ActiveRun
from millwright.sdk.current import Options, start_in
from millwright.sdk.models import load_from
from millwright.workspace.config import Config

pytestmark = pytest.mark.sockets


@pytest.fixture
def run(config: Config) -> Iterator[ActiveRun]:
    with start_in(config, "shelf", options=Options(console=False, system=False)) as run:
        yield run


def read(door: Door, run: ActiveRun, name: str, folder: Path) -> bytes:
    """Return the content of a file that a run kept."""
    link = next(link for link in door.runs.show(ref=run.id).links if link.name == name)
    door.artifacts.fetch(link.digest, folder / "read")
    return (folder / "read").read_bytes()


def test_text_and_plain_data_are_files(run: ActiveRun, door: Door, tmp_path: Path) -> None:
    run.log_text("größer\n", "notes/note.md")
    run.log_dict({"b": [1, None], "a": "x"}, "facts.json")
    run.log_dict({"b": [1, None], "a": "x"}, "facts.yaml")
    assert read(door, run, "notes/note.md", tmp_path) == "größer\n".encode()
    assert json.loads(read(door, run, "facts.json", tmp_path)) == {"b": [1, None], "a": "x"}
    assert yaml.safe_load(read(door, run, "facts.yaml", tmp_path)) == {"b": [1, None], "a": "x"}
    with pytest.raises(Invalid, match=r"facts\.json cannot be written"):
        run.log_dict({"x": object()}, "facts.json")


def test_numbers_of_numpy_are_plain_data(run: ActiveRun, door: Door, tmp_path: Path) -> None:
    run.log_dict({"auc": np.float64(0.5), "n": np.int64(3), "by": np.array([[1, 2]])}, "a.json")
    assert json.loads(read(door, run, "a.json", tmp_path)) == {"auc": 0.5, "n": 3, "by": [[1, 2]]}
    with pytest.raises(Invalid, match=r"a\.yaml cannot be written") as told:
        run.log_dict({"model": LogisticRegression()}, "a.yaml")
    assert told.value.why == "a LogisticRegression is no plain data"


def test_a_folder_is_kept_file_by_file_and_as_a_tree(
    run: ActiveRun, door: Door, tmp_path: Path
) -> None:
    (tmp_path / "plots" / "deep").mkdir(parents=True)
    (tmp_path / "plots" / "a.svg").write_text("<svg/>")
    (tmp_path / "plots" / "deep" / "b.svg").write_text("<svg>b</svg>")
    run.log_artifact(tmp_path / "plots", name="figures")
    (link,) = door.runs.show(ref=run.id).links
    door.artifacts.fetch_folder(link.digest, tmp_path / "back")
    assert (tmp_path / "back" / "deep" / "b.svg").read_text() == "<svg>b</svg>"
    entries = door.runs.artifacts(ref=run.id, folder="figures")
    assert sorted(entry.path.rpartition("/")[2] for entry in entries) == ["a.svg", "deep"]


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a\\b", "", "C:/x", "a//b"])
def test_a_name_that_leaves_the_run_is_refused(run: ActiveRun, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be a path in a tree"):
        run.log_text("x", name)


def test_a_link_in_a_folder_is_named(run: ActiveRun, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    with pytest.raises(Invalid, match="is a symbolic link"):
        run.log_artifact(tmp_path / "folder")
    with pytest.raises(NotFound, match="there is no file"):
        run.log_artifact(tmp_path / "nothing")


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow", "json"])
def test_a_table_is_kept_as_its_name_says(
    run: ActiveRun, door: Door, tmp_path: Path, suffix: str
) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    run.log_table(frame, f"table.{suffix}")
    (tmp_path / "file").write_bytes(read(door, run, f"table.{suffix}", tmp_path))
    readers = {
        "parquet": pl.read_parquet,
        "csv": pl.read_csv,
        "arrow": pl.read_ipc,
        "json": pl.read_json,
    }
    assert readers[suffix](tmp_path / "file").equals(frame)


def test_a_table_needs_a_kind(run: ActiveRun) -> None:
    with pytest.raises(Invalid, match="does not say how the table is to be kept"):
        run.log_table({"a": [1]}, "table")


def shown(door: Door, run: ActiveRun) -> Run:
    return door.runs.show(ref=run.id)


def test_data_becomes_a_version_that_the_run_read(
    run: ActiveRun, door: Door, tmp_path: Path
) -> None:
    (tmp_path / "loans.csv").write_text("a,b\n1,x\n2,y\n")
    made = run.log_dataset(tmp_path / "loans.csv")
    assert made is not None
    assert (made.name, made.version, made.row_count) == ("loans", 1, 2)
    again = run.log_dataset(str(tmp_path / "loans.csv"))
    assert again == made
    table = run.log_dataset({"a": [1.0, 2.0]}, name="numbers")
    assert table is not None
    assert table.format == "arrow"
    assert {(link.way, link.what, link.id) for link in shown(door, run).links} == {
        ("input", "dataset_version", made.id),
        ("input", "dataset_version", table.id),
    }


def test_a_version_that_is_there_is_linked(run: ActiveRun, door: Door, tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("a\n1\n")
    digest = door.artifacts.put_file(tmp_path / "known.csv")
    version = door.data.add(name="known", digest=digest, format="csv", source="known.csv")
    assert run.log_dataset("known@v1") is None
    (link,) = shown(door, run).links
    assert (link.name, link.id) == ("known", version.id)
    with pytest.raises(NotFound):
        run.log_dataset("nothing@v1")


def test_data_that_cannot_be_a_version_is_refused(run: ActiveRun, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        run.log_dataset(tmp_path / "nothing.csv")
    (tmp_path / "data.xyz").write_text("x")
    with pytest.raises(Invalid, match="has no format that is known"):
        run.log_dataset(tmp_path / "data.xyz")
    with pytest.raises(Invalid, match="that becomes a dataset needs a name"):
        run.log_dataset({"a": [1]})


def test_data_that_is_kept_elsewhere_is_described(run: ActiveRun, door: Door) -> None:
    run.describe_datasets([LoggedDataset(name="lake", digest="abc", source="s3://lake/x")])
    assert [one.source for one in shown(door, run).datasets] == ["s3://lake/x"]


ROWS = {"a": np.array([0.0, 1.0, 2.0, 3.0] * 50), "b": np.array([1.0, 0.0] * 100)}
LABELS = (ROWS["a"] > 1).astype(np.int64)


def test_a_model_is_packaged_and_registered(run: ActiveRun, door: Door, config: Config) -> None:
    matrix = np.stack(list(ROWS.values()), axis=1)
    model = LogisticRegression().fit(matrix, LABELS)
    kept = run.log_model(model, example=matrix)
    assert kept.version is None
    name = f"shelf-{'remote' if config.url else 'embedded'}"
    registered = run.log_model(model, example=ROWS, name="best", register=name)
    assert registered.version is not None
    assert (registered.version.name, registered.version.run) == (name, run.id)
    links = {link.name: link.what for link in shown(door, run).links}
    assert links == {"model": "artifact", "best": "model_version"}
    loaded = load_from(config, f"{name}@v1")
    assert loaded.digest == registered.digest
    assert loaded.predict(ROWS)["prediction"].tolist() == LABELS.tolist()
    with pytest.raises(Invalid):
        run.log_model(model, example={"a": ROWS["a"]})
