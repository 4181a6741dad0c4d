from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import (
    T0_S,
    T0_US,
    json_items,
    timestamp,
    wandb_exit,
    wandb_history,
    wandb_run,
)
from millwright.core.errors import Corrupt
from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import FoundFile, FoundLog, FoundRow, Item
from millwright.tracking.sources.wandb_records import Reading, flat, spelled, time_us
from millwright.tracking.sources.wire import Message, put_bytes, put_integer


def read(reading: Reading, *records: bytes) -> list[Item]:
    return [item for record in records for item in reading.read(Message(record))]


def test_numbers_become_points_under_keys_joined_by_dots() -> None:
    reading = Reading()
    row = {"loss": 0.5, "val.acc": 1, "flag": True, "odd": math.nan, "much": math.inf}
    found = read(reading, wandb_run(), wandb_history(2, row))
    at_us = T0_US + 2_000_000
    assert found == [
        MetricPoint(key="loss", value=0.5, step=2, time_us=at_us),
        MetricPoint(key="val.acc", value=1.0, step=2, time_us=at_us),
        MetricPoint(key="flag", value=1.0, step=2, time_us=at_us),
        MetricPoint(key="odd", value=None, step=2, time_us=at_us),
        MetricPoint(key="much", value=math.inf, step=2, time_us=at_us),
    ]
    assert reading.last_us == at_us


def test_an_object_logged_whole_is_taken_apart_like_a_nested_key() -> None:
    found = read(Reading(), wandb_history(0, {"val": {"acc": 0.5, "deep": {"er": 2}}}))
    keys = [(one.key, one.value) for one in found if isinstance(one, MetricPoint)]
    assert keys == [("val.acc", 0.5), ("val.deep.er", 2.0)]


def test_what_is_no_number_becomes_a_row() -> None:
    histogram = {"_type": "histogram", "values": [1, 2], "bins": [0.0, 1.0, 2.0]}
    odd = {"_type": "histogram", "values": [1, 2], "bins": "packed"}
    image = {"_type": "image-file", "path": "media/x.png"}
    found = read(
        Reading(),
        wandb_history(1, {"word": "hi", "list": [1], "h": histogram, "odd": odd, "img": image}),
    )
    at = {"step": 1, "time_us": T0_US + 1_000_000}
    assert found == [
        FoundRow(table="values/word", row=at | {"text": "hi"}),
        FoundRow(table="values/list", row=at | {"value": [1]}),
        FoundRow(table="histograms/h", row=at | {"buckets": [[0.0, 1.0, 1], [1.0, 2.0, 2]]}),
        FoundRow(table="media/odd", row=at | {"value": odd}),
        FoundRow(table="media/img", row=at | {"value": image}),
    ]


def test_configuration_counts_as_it_was_in_the_end() -> None:
    reading = Reading()
    change = put_bytes(5, json_items(1, {"lr": 0.2, "opt.name": "sgd"}) + json_items(2, {"n": 0}))
    read(reading, wandb_run(config={"lr": 0.1, "n": 3, "opt.beta": [1, 2], "_wandb": {}}), change)
    assert reading.config() == {"lr": 0.2, "opt.beta": [1, 2], "opt.name": "sgd"}
    assert [spelled(value) for value in reading.config().values()] == ["0.2", "[1,2]", "sgd"]


def test_a_number_that_was_only_summarised_is_a_point_at_the_end() -> None:
    reading = Reading()
    summary = put_bytes(3, json_items(1, {"best": 0.9, "loss": 0.5, "_runtime": 3, "name": "x"}))
    read(reading, wandb_run(), wandb_history(4, {"loss": 0.5}), summary)
    assert list(reading.left_in_summary()) == [
        MetricPoint(key="best", value=0.9, step=4, time_us=T0_US + 4_000_000)
    ]
    gone = put_bytes(3, json_items(2, {"best": 0, "deep.er": 0}))
    read(reading, gone)
    assert "best" not in reading.summary


def test_what_the_run_says_of_itself() -> None:
    reading = Reading()
    git = put_bytes(1, "git@host:x") + put_bytes(2, "c0ffee")
    environment = put_bytes(
        26,
        put_bytes(1, "Linux")
        + put_bytes(2, "CPython 3.11")
        + put_bytes(5, "--lr")
        + put_bytes(5, "1")
        + put_bytes(6, "train.py")
        + put_bytes(9, git),
    )
    read(reading, wandb_run(), environment, wandb_exit(3))
    assert (reading.run_id, reading.name, reading.project) == ("abc123", "first", "churn")
    assert reading.command == ("train.py", "--lr", "1")
    assert (reading.python, reading.platform) == ("CPython 3.11", "Linux")
    assert reading.git_commit == "c0ffee"
    assert reading.exit_code == 3
    assert reading.start_us == T0_US
    assert reading.tags == {"mlflow.note.content": "what it is for", "wandb.tags": '["good"]'}


def test_system_figures_are_points_and_what_was_printed_is_the_log() -> None:
    item = put_bytes(1, "cpu") + put_bytes(16, "12.5")
    broken = put_bytes(1, "odd") + put_bytes(16, '"text"')
    stats = put_bytes(
        7, put_bytes(2, timestamp(T0_S + 1)) + put_bytes(3, item) + put_bytes(3, broken)
    )
    output = put_bytes(13, put_bytes(2, timestamp(T0_S + 2)) + put_bytes(3, "hello\n"))
    found = read(Reading(), stats, stats, output)
    assert found == [
        MetricPoint(key="system/cpu", value=12.5, step=0, time_us=T0_US + 1_000_000),
        MetricPoint(key="system/cpu", value=12.5, step=1, time_us=T0_US + 1_000_000),
        FoundLog(text="hello\n"),
    ]


def test_artifacts_are_rows_and_their_staged_files_are_taken_only_when_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "staged").write_text("content")
    entry = put_bytes(1, "a/b.txt") + put_bytes(2, "d1") + put_integer(4, 7)
    entry += put_bytes(6, str(tmp_path / "staged"))
    held = put_bytes(4, "model") + put_bytes(5, "net") + put_bytes(12, put_bytes(4, entry))
    used = put_bytes(25, put_bytes(2, "dataset") + put_bytes(3, "loans:v1"))
    files: list[object] = [{"path": "a/b.txt", "digest": "d1", "ref": "", "size": 7}]
    row: dict[str, object] = {
        "name": "net",
        "type": "model",
        "way": "output",
        "digest": "",
        "description": "",
        "metadata": {},
        "aliases": [],
        "files": files,
    }
    inward: dict[str, object] = {"name": "loans:v1", "type": "dataset", "way": "input"}
    rows = [FoundRow(table="wandb-artifacts", row=one) for one in (row, inward)]
    assert read(Reading(), put_bytes(8, held), used) == rows
    staged, *rest = read(Reading(take_staged=True), put_bytes(8, held))
    assert rest == rows[:1]
    assert isinstance(staged, FoundFile)
    assert staged.path == "artifacts/net/a/b.txt"
    assert staged.fetch(tmp_path / "x").read_text() == "content"


@pytest.mark.parametrize(
    ("seconds", "us"),
    [(1.5, 1_500_000), (0, None), (-1.0, None), (math.nan, None), ("x", None), (1e300, None)],
)
def test_times_in_seconds(seconds: object, us: int | None) -> None:
    assert time_us(seconds) == us


def test_nested_values_are_flattened_and_empty_ones_kept() -> None:
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": []})) == {"a.b": 1, "a.c": {}, "d": []}


@given(st.binary(max_size=100), st.sampled_from([2, 3, 5, 7, 8, 13, 17, 18, 25, 26]))
def test_any_bytes_are_read_or_refused(data: bytes, number: int) -> None:
    try:
        read(Reading(take_staged=False), data, put_bytes(number, data))
        read(Reading(), put_bytes(number, put_bytes(1, data)))
    except Corrupt:
        return
