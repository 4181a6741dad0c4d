from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.foreign import (
    T0_US,
    contents,
    json_items,
    runs_of,
    unread_of,
    wandb_exit,
    wandb_folder,
    wandb_history,
    wandb_run,
)
from fixtures.wandb_logs import write_log
from millwright.core.errors import Invalid, NotFound
from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import (
    FoundBytes,
    FoundEnd,
    FoundExperiment,
    FoundParams,
    FoundRun,
    FoundTags,
)
from millwright.tracking.sources.wandb import Wandb
from millwright.tracking.sources.wire import put_bytes

HISTORY = [wandb_history(step, {"loss": 1 / (step + 1)}) for step in range(5)]


def points(found: list[object]) -> list[tuple[str, int, object]]:
    return [(one.key, one.step, one.value) for one in found if isinstance(one, MetricPoint)]


def test_an_offline_run_is_read_whole(tmp_path: Path) -> None:
    records = [wandb_run(config={"lr": 0.1}), *HISTORY, wandb_exit()]
    log = wandb_folder(tmp_path, records)
    (tmp_path / "latest-run").symlink_to(log.parent)
    source = Wandb(tmp_path)
    assert list(source.experiments()) == [FoundExperiment(name="churn")]
    (run,) = runs_of(source)
    assert (run.id, run.name, run.experiment) == ("churn/abc123", "first", "churn")
    assert run.start_us == T0_US
    found: list[object] = list(source.items(run))
    assert points(found) == [("loss", step, 1 / (step + 1)) for step in range(5)]
    assert FoundParams(params={"lr": "0.1"}) in found
    assert any(isinstance(one, FoundTags) for one in found)
    assert contents(found, tmp_path) == {"requirements.txt": b"numpy==2.0\n"}
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 4_000_000)
    assert unread_of(found) == []
    assert list(source.models()) == []


@pytest.mark.parametrize("where", ["wandb", ".", "run", "log"])
def test_each_way_to_name_the_folder_leads_to_the_run(tmp_path: Path, where: str) -> None:
    log = wandb_folder(tmp_path / "wandb", [wandb_run(), wandb_exit()])
    places = {"wandb": tmp_path / "wandb", ".": tmp_path, "run": log.parent, "log": log}
    assert [run.id for run in runs_of(Wandb(places[where]))] == ["churn/abc123"]


def test_a_run_that_was_resumed_is_one_run(tmp_path: Path) -> None:
    wandb_folder(tmp_path, [wandb_run(), *HISTORY[:2]])
    later = tmp_path / "offline-run-20260922_120000-abc123"
    later.mkdir()
    data = write_log([wandb_run(name="again"), *HISTORY[2:], wandb_exit()])
    (later / "run-abc123.wandb").write_bytes(data)
    source = Wandb(tmp_path)
    (run,) = runs_of(source)
    found: list[object] = list(source.items(run))
    assert [step for _, step, _ in points(found)] == [0, 1, 2, 3, 4]
    assert isinstance(found[-1], FoundEnd)
    assert found[-1].status == "finished"


def test_how_a_run_ended_is_said(tmp_path: Path) -> None:
    wandb_folder(tmp_path, [wandb_run("killed"), *HISTORY], run_id="killed")
    wandb_folder(tmp_path, [wandb_run("broken"), wandb_exit(3)], run_id="broken")
    source = Wandb(tmp_path)
    ends = {
        run.id: one
        for run in runs_of(source)
        for one in source.items(run)
        if isinstance(one, FoundEnd)
    }
    killed, broken = ends["churn/killed"], ends["churn/broken"]
    assert (killed.status, broken.status) == ("failed", "failed")
    assert killed.error is not None
    assert killed.error.what == "the run did not say how it ended"
    assert broken.error is not None
    assert broken.error.what == "it ended with exit code 3"


def test_the_summary_is_kept_whole(tmp_path: Path) -> None:
    summary = put_bytes(3, json_items(1, {"best": 0.9, "note": "x"}))
    wandb_folder(tmp_path, [wandb_run(), summary, wandb_exit()])
    source = Wandb(tmp_path)
    found = list(source.items(runs_of(source)[0]))
    kept = {one.path: json.loads(one.data) for one in found if isinstance(one, FoundBytes)}
    assert kept == {"wandb-summary.json": {"best": 0.9, "note": "x"}}


def test_a_damaged_log_gives_what_is_left_and_names_the_place(tmp_path: Path) -> None:
    log = wandb_folder(tmp_path, [wandb_run(), *HISTORY, wandb_exit()])
    data = bytearray(log.read_bytes())
    data[-3] ^= 0xFF
    log.write_bytes(bytes(data))
    source = Wandb(tmp_path)
    found: list[object] = list(source.items(runs_of(source)[0]))
    assert len(points(found)) == 5
    (unread,) = unread_of(found)
    assert unread.startswith(f"{log} at byte ")
    assert unread.endswith("a chunk does not fit its checksum")


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    log = wandb_folder(tmp_path, [wandb_run(), put_bytes(2, b"\x0a\xff"), wandb_exit()])
    source = Wandb(tmp_path)
    (unread,) = unread_of(source.items(runs_of(source)[0]))
    assert unread.startswith(f"{log} at byte ")


def test_saved_files_outside_of_the_run_are_named_unless_links_are_followed(
    tmp_path: Path,
) -> None:
    # `wandb.save` leaves links to the files in place of copies.
    log = wandb_folder(tmp_path / "wandb", [wandb_run(), wandb_exit()])
    (tmp_path / "weights.bin").write_bytes(b"weights")
    link = log.parent / "files" / "weights.bin"
    link.symlink_to(tmp_path / "weights.bin")
    source = Wandb(tmp_path / "wandb")
    assert unread_of(source.items(runs_of(source)[0])) == [
        f"{link}: it is a link that leads outside, to {tmp_path}/weights.bin"
    ]
    followed = Wandb(tmp_path / "wandb", follow_links=True)
    kept = contents(followed.items(runs_of(followed)[0]), tmp_path)
    assert kept["weights.bin"] == b"weights"


def test_a_log_of_another_kind_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    wandb_folder(tmp_path, [wandb_run(), wandb_exit()])
    other = wandb_folder(tmp_path, [], run_id="other")
    torn = wandb_folder(tmp_path, [], run_id="torn")
    torn.write_bytes(b"not a log")
    found = list(Wandb(tmp_path).runs())
    assert [one.id for one in found if isinstance(one, FoundRun)] == ["churn/abc123"]
    assert unread_of(found) == [
        f"{other}: it does not say which run it is of",
        f"{torn}: it does not begin with ':W&B'",
    ]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="holds no offline runs"):
        list(Wandb(tmp_path).runs())
    with pytest.raises(NotFound, match="there is no folder"):
        Wandb(tmp_path / "missing")
