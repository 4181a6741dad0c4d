from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from fixtures.foreign import T0_US, event_file, logdir, runs_of, unread_of
from millwright.core.errors import Invalid, NotFound
from millwright.records.runs import MetricPoint
from millwright.tracking.sources import events
from millwright.tracking.sources.eventfile import frame
from millwright.tracking.sources.found import FoundEnd, FoundExperiment, FoundRun, Item
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.tracking.sources.wire import put_bytes, put_integer


def losses(found: Iterable[Item]) -> list[object]:
    return [one.value for one in found if isinstance(one, MetricPoint)]


def test_each_folder_with_event_files_is_a_run(tmp_path: Path) -> None:
    root = logdir(tmp_path / "logs", {".": 1, "train": 2, "deep/er": 3})
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("not an event file")
    event_file(root / "train", [], name="events.out.tfevents.1.x.profile-empty")
    source = TensorBoard(root)
    assert list(source.experiments()) == [FoundExperiment(name="logs")]
    runs = runs_of(source)
    assert [(run.id, run.name, run.experiment, run.start_us) for run in runs] == [
        (".", "logs", "logs", T0_US),
        ("deep/er", "deep/er", "logs", T0_US),
        ("train", "train", "logs", T0_US),
    ]
    assert [len(losses(source.items(run))) for run in runs] == [1, 3, 2]
    assert list(source.models()) == []
    assert source.place == source.scope == str(root.resolve())


def test_a_run_is_read_in_the_order_of_its_files_and_says_when_it_ended(tmp_path: Path) -> None:
    event_file(tmp_path / "r", [events.scalar("loss", 2.0)], name="events.out.tfevents.2.b")
    event_file(tmp_path / "r", [events.scalar("loss", 1.0)], name="events.out.tfevents.1.a")
    source = TensorBoard(tmp_path, experiment="chosen")
    (run,) = runs_of(source)
    assert run.experiment == "chosen"
    found = list(source.items(run))
    assert losses(found) == [1.0, 2.0]
    assert found[-1] == FoundEnd(status="finished", end_us=T0_US + 1_000_000)


def test_a_growing_run_is_followed_without_reading_anything_twice(tmp_path: Path) -> None:
    path = event_file(tmp_path / "r", [events.scalar("loss", 1.0)])
    source = TensorBoard(tmp_path)
    (run,) = runs_of(source)
    tail = source.tail(run)
    assert losses(tail.new_items()) == [1.0]
    assert list(tail.new_items()) == []
    more = frame(events.event(T0_US / 1e6 + 5, step=1, summary=events.scalar("loss", 0.5)))
    with path.open("ab") as stream:
        stream.write(more[:-3])
    assert losses(tail.new_items()) == []
    with path.open("ab") as stream:
        stream.write(more[-3:])
    assert losses(tail.new_items()) == [0.5]
    event_file(tmp_path / "r", [events.scalar("loss", 0.25)], name="events.out.tfevents.9.z")
    assert losses(tail.new_items()) == [0.25]
    assert runs_of(source)[0].mark != run.mark


def test_a_damaged_record_is_named_by_file_and_place_and_the_rest_is_read(tmp_path: Path) -> None:
    path = event_file(tmp_path / "r", [events.scalar("loss", one) for one in (1.0, 0.5, 0.25)])
    data = bytearray(path.read_bytes())
    first = len(frame(events.event(T0_US / 1e6)))
    data[first + 20] ^= 0xFF
    path.write_bytes(bytes(data))
    source = TensorBoard(tmp_path)
    found = list(source.items(runs_of(source)[0]))
    assert unread_of(found) == [f"{path} at byte {first}: a record does not fit its checksum"]
    assert losses(found) == [0.5, 0.25]


def test_a_damaged_length_costs_the_rest_of_the_file(tmp_path: Path) -> None:
    path = event_file(tmp_path / "r", [events.scalar("loss", one) for one in (1.0, 0.5)])
    data = bytearray(path.read_bytes())
    first = len(frame(events.event(T0_US / 1e6)))
    data[first] ^= 0xFF
    path.write_bytes(bytes(data))
    source = TensorBoard(tmp_path)
    run = runs_of(source)[0]
    (unread,) = unread_of(source.items(run))
    assert unread == (
        f"{path} at byte {first}: the length of a record does not fit its checksum; "
        "the rest of the file was left out"
    )


def test_a_record_that_is_cut_off_is_named_once_all_is_read(tmp_path: Path) -> None:
    path = event_file(tmp_path / "r", [events.scalar("loss", 1.0)])
    whole = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(frame(events.event(2.0, summary=events.scalar("loss", 2.0)))[:-1])
    source = TensorBoard(tmp_path)
    found = list(source.items(runs_of(source)[0]))
    assert losses(found) == [1.0]
    assert unread_of(found) == [f"{path} at byte {whole}: the last record is cut off"]
    # One that follows the file waits for the rest.
    assert unread_of(source.tail(runs_of(source)[0]).new_items()) == []


def test_a_whole_record_that_is_no_event_is_named(tmp_path: Path) -> None:
    path = event_file(tmp_path / "r", [])
    begun = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(frame(b"\x2a\xff") + frame(events.event(2.0, summary=events.scalar("a", 1.0))))
    source = TensorBoard(tmp_path)
    found = list(source.items(runs_of(source)[0]))
    assert unread_of(found) == [
        f"{path} at byte {begun}: a number at byte 1 of a message does not end"
    ]
    assert losses(found) == [1.0]


def test_event_files_outside_of_the_logdir_are_not_read_through_links(tmp_path: Path) -> None:
    outside = event_file(tmp_path / "outside", [events.scalar("loss", 1.0)])
    root = logdir(tmp_path / "logs", {"r": 1})
    (root / "r" / "events.out.tfevents.5.link").symlink_to(outside)
    source = TensorBoard(root)
    found = list(source.runs())
    assert unread_of(found) == [
        f"{root}/r/events.out.tfevents.5.link: it is a link that leads outside, to {outside}"
    ]
    run = next(one for one in found if isinstance(one, FoundRun))
    assert len(losses(source.items(run))) == 1
    followed = TensorBoard(root, follow_links=True)
    assert len(losses(list(followed.items(runs_of(followed)[0])))) == 2


def test_a_run_that_ended_badly_by_its_hyperparameters_has_failed(tmp_path: Path) -> None:
    ended = put_bytes(4, put_integer(1, 2))
    metadata = put_bytes(1, put_bytes(1, "hparams") + put_bytes(2, ended))
    event_file(tmp_path / "r", [put_bytes(1, put_bytes(9, metadata))])
    source = TensorBoard(tmp_path)
    ends = [one for one in source.items(runs_of(source)[0]) if isinstance(one, FoundEnd)]
    assert [end.status for end in ends] == ["failed"]


def test_what_is_no_logdir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(Invalid, match="is no logdir") as refused:
        list(TensorBoard(tmp_path).runs())
    assert "tfevents" in refused.value.why
    with pytest.raises(NotFound, match="there is no logdir"):
        TensorBoard(tmp_path / "missing")
    with pytest.raises(Invalid, match="it is not a folder"):
        TensorBoard(tmp_path / "other.txt")
