from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from fixtures.example_host import serving
from fixtures.foreign import (
    CHILD,
    PARENT,
    T0_US,
    event_file,
    logdir,
    mlflow_store,
    wandb_exit,
    wandb_folder,
    wandb_history,
    wandb_run,
)
from fixtures.importing import all_runs, artifacts, change, everything, failing, points
from millwright.client.services import Client
from millwright.core.errors import Corrupt, Denied, Invalid, Unreachable
from millwright.core.ids import to_hex
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint, RunSource
from millwright.sdk.importing import (
    ImportCounts,
    ImportProblem,
    ImportReport,
    follow_logdir,
    import_all,
)
from millwright.server.host import Host
from millwright.tracking.sources import events
from millwright.tracking.sources.found import FoundRun, Item
from millwright.tracking.sources.mlflow_sql import MlflowDatabase
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.tracking.sources.wandb import Wandb
from millwright.tracking.sources.wire import put_bytes
from millwright.workspace.open import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def door(home: Home) -> Door:
    return cast("Door", home.door(home.local_principal(), "default"))


@pytest.fixture
def remote(home: Home) -> Iterator[Door]:
    with (
        serving(cast("Host", home), open_on_loopback=True) as address,
        Client(address, None, "default") as client,
    ):
        yield client


def mlflow(door: Door, path: Path) -> ImportReport:
    with closing(MlflowDatabase(path)) as source:
        return import_all(door, source)


MLFLOW_COUNTS = ImportCounts(
    experiments=2,
    runs=2,
    params=1,
    tags=2,
    points=8,
    artifacts=2,
    datasets=1,
    models=1,
    versions=1,
    aliases=1,
)


def check_mlflow(door: Door, folder: Path) -> None:
    runs = all_runs(door)
    parent, child = runs["parent"], runs["child"]
    # They keep the digits by which every link of MLflow's knows them.
    assert (to_hex(parent.id), to_hex(child.id)) == (PARENT, CHILD)
    assert child.parent == parent.id
    assert (parent.status, child.status) == ("finished", "failed")
    assert (parent.start_us, parent.end_us) == (T0_US, T0_US + 1_000_000)
    assert (parent.experiment, parent.user, parent.params) == ("churn", "ada", {"depth": "3"})
    tags = {"import.source": "mlflow", "import.id": PARENT, "import.open": "no", "who": "ada"}
    assert tags.items() <= parent.tags.items()
    losses = [point for point in points(door, parent) if point.key == "loss"]
    assert losses == [
        MetricPoint(key="loss", value=1 / (step + 1), step=step, time_us=T0_US + 1000 * step)
        for step in range(5)
    ]
    odd = {point.key: point.value for point in points(door, parent) if point.key != "loss"}
    assert odd["worst"] is None
    assert float(odd["best"] or 0) == float("inf")
    assert artifacts(door, parent, folder) == {
        "notes.txt": b"hello",
        "model/MLmodel": b"flavors: {}\n",
    }
    assert {one.name: one.tags for one in door.experiments.list_all()}["churn"] == {"team": "risk"}


def test_an_mlflow_store_is_brought_in_whole(door: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    report = mlflow(door, path)
    assert report.ok
    assert (report.source, report.place) == ("mlflow", f"sqlite:///{path}")
    assert report.found == MLFLOW_COUNTS
    assert [one.why for one in report.problems] == ["deleted runs were left out: 1"]
    assert report.kept == MLFLOW_COUNTS
    assert [one.name for one in door.models.list_all()] == ["churn"]
    check_mlflow(door, tmp_path)


def test_what_came_to_a_finished_run_later_is_taken_by_the_next_import(
    door: Door, tmp_path: Path
) -> None:
    path = mlflow_store(tmp_path / "store")
    mlflow(door, path)
    folder = next(path.parent.glob(f"**/{PARENT}/artifacts"))
    (folder / "late.txt").write_text("late")
    report = mlflow(door, path)
    assert report.ok
    assert (report.found.runs, report.unchanged) == (1, 1)
    parent = all_runs(door)["parent"]
    assert artifacts(door, parent, tmp_path)["late.txt"] == b"late"
    assert (parent.status, parent.end_us) == ("finished", T0_US + 1_000_000)
    assert mlflow(door, path).unchanged == 2


@pytest.mark.sockets
def test_the_same_over_http(remote: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    report = mlflow(remote, path)
    assert report.ok
    assert report.found == MLFLOW_COUNTS
    check_mlflow(remote, tmp_path)
    assert mlflow(remote, path).unchanged == 2


def test_a_second_import_changes_nothing(door: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    mlflow(door, path)
    before = everything(door, tmp_path)
    n_events = door.jobs.status().events
    report = mlflow(door, path)
    assert (report.unchanged, report.found.runs, report.found.points) == (2, 0, 0)
    assert everything(door, tmp_path) == before
    assert door.jobs.status().events == n_events


@pytest.mark.parametrize("calls", range(0, 31, 2))
def test_an_import_that_was_killed_anywhere_goes_on_and_doubles_nothing(
    door: Door, tmp_path: Path, calls: int
) -> None:
    path = mlflow_store(tmp_path / "store")
    with pytest.raises(Unreachable), closing(MlflowDatabase(path)) as source:
        import_all(failing(door, calls), source)
    report = mlflow(door, path)
    assert report.ok
    check_mlflow(door, tmp_path)
    assert len(all_runs(door)) == 2
    assert mlflow(door, path).unchanged == 2


def test_a_logdir_is_brought_in_with_its_texts_and_images(door: Door, tmp_path: Path) -> None:
    summaries = [
        events.scalar("loss", 0.5),
        events.text("note", "hello"),
        events.text("note", "again"),
        events.image("digit", b"\x89PNG\r\n\x1a\n....", width=1, height=1),
        events.hparams({"depth": "3"}, start_s=1.0),
    ]
    event_file(tmp_path / "logs" / "train" / "one", summaries)
    report = import_all(door, TensorBoard(tmp_path / "logs"))
    assert (
        report.found
        == report.kept
        == ImportCounts(experiments=1, runs=1, params=1, points=1, artifacts=2, rows=2)
    )
    (run,) = all_runs(door).values()
    assert (run.name, run.experiment, run.status) == ("train/one", "logs", "finished")
    assert (run.start_us, run.params, run.metrics) == (T0_US, {"depth": "3"}, {"loss": 0.5})
    kept = artifacts(door, run, tmp_path)
    assert kept["images/digit/3.png"] == b"\x89PNG\r\n\x1a\n...."
    rows = [json.loads(line) for line in kept["texts/note.jsonl"].splitlines()]
    assert [(row["step"], row["text"]) for row in rows] == [(1, "hello"), (2, "again")]


def test_a_logdir_that_grew_is_brought_up_to_date(door: Door, tmp_path: Path) -> None:
    root = logdir(tmp_path / "logs", {"a": 2, "b": 2})
    import_all(door, TensorBoard(root))
    logdir(root, {"a": 4})
    report = import_all(door, TensorBoard(root))
    assert (report.unchanged, report.found.runs, report.found.points) == (1, 1, 4)
    assert report.ok
    counts = {name: len(points(door, run)) for name, run in all_runs(door).items()}
    assert counts == {"a": 4, "b": 2}
    assert all_runs(door)["a"].status == "finished"


def test_a_logdir_is_followed_while_it_grows(door: Door, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    root.mkdir()
    seen: list[dict[str, tuple[int, str]]] = []

    def look() -> dict[str, tuple[int, str]]:
        return {name: (len(points(door, run)), run.status) for name, run in all_runs(door).items()}

    def wait() -> bool:
        seen.append(look())
        steps = len(seen)
        logdir(root, {"a": 2 * steps} | ({"late": 1} if steps == 2 else {}))
        return steps == 3

    report = follow_logdir(door, TensorBoard(root, is_growing=True), wait=wait)
    assert seen == [
        {},
        {"a": (2, "running")},
        {"a": (4, "running"), "late": (1, "running")},
    ]
    assert look() == {"a": (6, "finished"), "late": (1, "finished")}
    assert report.ok
    assert (report.found.runs, report.found.points) == (2, 7)
    # What was followed to its end is complete.
    assert import_all(door, TensorBoard(root)).unchanged == 2


def test_a_record_that_was_never_finished_is_named_when_following_ends(
    door: Door, tmp_path: Path
) -> None:
    root = logdir(tmp_path / "logs", {"killed": 3})
    (path,) = (root / "killed").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    report = follow_logdir(door, TensorBoard(root, is_growing=True), wait=lambda: True)
    assert report.found.points == 2
    assert [one.why for one in report.problems] == ["the last record is cut off"]


def test_offline_runs_are_brought_in_with_their_log(door: Door, tmp_path: Path) -> None:
    from millwright.tracking.sources.wire import put_bytes

    printed = [put_bytes(13, put_bytes(3, line)) for line in ("hello ", "world\n")]
    history = [wandb_history(step, {"loss": 0.5, "word": "x"}) for step in range(3)]
    records = [wandb_run(config={"lr": 0.1}), *history, *printed, wandb_exit()]
    wandb_folder(tmp_path / "wandb", records)
    report = import_all(door, Wandb(tmp_path / "wandb"))
    assert report.ok
    (run,) = all_runs(door).values()
    assert (run.name, run.experiment, run.status) == ("first", "churn", "finished")
    assert (run.params, len(points(door, run))) == ({"lr": "0.1"}, 3)
    assert set(artifacts(door, run, tmp_path)) == {"requirements.txt", "values/word.jsonl"}
    digest = door.runs.show(ref=run.id).log_digest
    assert digest is not None
    door.artifacts.fetch(digest, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "hello world\n"


def test_a_run_that_still_runs_stays_open_and_is_closed_later(door: Door, tmp_path: Path) -> None:
    import sqlite3

    path = mlflow_store(tmp_path / "store")

    def change(sql: str) -> None:
        with sqlite3.connect(path) as database:
            database.execute(sql)
        database.close()

    change("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE name = 'parent'")
    mlflow(door, path)
    assert all_runs(door)["parent"].status == "running"
    assert mlflow(door, path).unchanged == 2
    change("UPDATE runs SET status = 'KILLED', end_time = 1790000009000 WHERE name = 'parent'")
    assert mlflow(door, path).unchanged == 1
    parent = all_runs(door)["parent"]
    assert (parent.status, parent.end_us) == ("cancelled", 1_790_000_009_000_000)


def test_the_same_point_twice_in_the_store_is_one_point(door: Door, tmp_path: Path) -> None:
    path = event_file(tmp_path / "logs" / "a", [events.scalar("loss", 0.5)])
    data = path.read_bytes()
    (path.parent / "events.out.tfevents.1790000001.again").write_bytes(data)
    report = import_all(door, TensorBoard(tmp_path / "logs"))
    assert report.ok
    assert report.found.points == report.kept.points == 1


def test_what_cannot_be_kept_is_named_and_all_else_is_there(door: Door, tmp_path: Path) -> None:
    long = "x" * 9000
    summaries = [
        events.scalar("y" * 300, 1.0),
        events.scalar("good", 1.0),
        events.hparams({"long": long, "odd\nkey": "1"}, start_s=1.0),
    ]
    event_file(tmp_path / "logs" / "a", summaries)
    report = import_all(door, TensorBoard(tmp_path / "logs"))
    assert report.ok
    assert [one.why.partition(" cannot")[0] for one in report.problems] == [
        f"'{'y' * 80}'",
        "'odd\\nkey'",
    ]
    (run,) = all_runs(door).values()
    assert list(run.metrics) == ["good"]
    assert len(run.params["long"]) <= 8000
    assert artifacts(door, run, tmp_path) == {"params/long.txt": long.encode()}
    # It is looked at again another time, for what was left out may be there then.
    assert import_all(door, TensorBoard(tmp_path / "logs")).unchanged == 0


def test_what_one_run_lacks_stops_no_other(door: Door, tmp_path: Path) -> None:
    root = logdir(tmp_path / "logs", {"a": 1, "b": 1})
    source = TensorBoard(root)
    runs = list(source.runs())
    assert len(runs) == 2
    import_all(door, source)
    door.runs.delete(run=all_runs(door)["a"].id)
    logdir(root, {"a": 2, "b": 2})
    report = import_all(door, TensorBoard(root))
    assert [one.where for one in report.problems] == ["run a"]
    assert "was imported and then deleted" in report.problems[0].why
    assert len(points(door, all_runs(door)["b"])) == 2


def test_experiments_whose_names_read_alike_stay_two(door: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    change(
        path,
        "UPDATE experiments SET name = 'a' || char(9) || 'b' WHERE experiment_id = 1",
        "UPDATE experiments SET name = 'a b' WHERE experiment_id = 0",
    )
    assert mlflow(door, path).ok
    tags = {one.name: one.tags for one in door.experiments.list_all()}
    (changed,) = [name for name in tags if name.startswith("a b-")]
    assert tags[changed] == {"team": "risk", "import.name": "a\tb"}
    assert tags["a b"] == {}
    assert all_runs(door)["parent"].experiment == changed


def test_times_beyond_all_calendars_are_named_and_cost_nothing_else(
    door: Door, tmp_path: Path
) -> None:
    path = mlflow_store(tmp_path / "store")
    beyond = 2**62
    change(
        path,
        f"INSERT INTO metrics VALUES ('loss', 0.5, {beyond}, '{PARENT}', 9, 0)",
        f"INSERT INTO metrics VALUES ('loss', 'much', 1, '{PARENT}', 9, 0)",
        f"UPDATE runs SET end_time = {beyond} WHERE run_uuid = '{PARENT}'",
    )
    report = mlflow(door, path)
    assert report.ok
    assert (report.kept.runs, report.kept.points) == (2, 8)
    assert {one.why for one in report.problems} >= {
        "the time of metric 'loss' has 72 bits, beyond 64",
        "could not convert string to float: 'much'",
        "it ended at a time that no calendar holds; here it ends when it is imported",
    }
    assert all_runs(door)["parent"].status == "finished"


def test_a_time_of_beginning_that_is_none_costs_one_run(door: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    change(path, f"UPDATE runs SET start_time = 'noon' WHERE run_uuid = '{PARENT}'")
    report = mlflow(door, path)
    assert report.kept.runs == 1
    assert f"sqlite:///{path}, run {PARENT}" in [one.where for one in report.problems]
    change(path, f"UPDATE runs SET start_time = {2**62} WHERE run_uuid = '{PARENT}'")
    report = mlflow(door, path)
    assert [one[:41] for one in report.differences] == [f"run {PARENT} coul"]
    assert report.unchanged == 1


def test_a_value_nested_without_end_costs_nothing_else(door: Door, tmp_path: Path) -> None:
    deep = "[" * 5000 + "]" * 5000
    nested = put_bytes(2, put_bytes(1, put_bytes(1, "x") + put_bytes(16, deep)))
    for run in ("aaa", "bbb", "ccc"):
        records = [wandb_run(run), nested, wandb_history(0, {"loss": 1.0}), wandb_exit()]
        wandb_folder(tmp_path / "wandb", records, run_id=run)
    report = import_all(door, Wandb(tmp_path / "wandb"))
    assert report.ok
    assert (report.kept.runs, report.kept.points) == (3, 3)


@pytest.mark.parametrize("error", [ValueError, OverflowError, RecursionError])
def test_no_damage_that_a_source_meets_ends_the_import(
    door: Door, tmp_path: Path, error: type[Exception]
) -> None:
    class Damaged(TensorBoard):
        """A logdir of which one run cannot be read."""

        def items(self, run: FoundRun) -> Iterator[Item]:
            if run.id == "a":
                raise error("deep")
            return super().items(run)

    report = import_all(door, Damaged(logdir(tmp_path / "logs", {"a": 1, "b": 2})))
    assert report.differences == ["run a could not be taken: deep"]
    assert report.kept.runs == 1


def test_a_run_of_ours_is_never_written_over(door: Door, tmp_path: Path) -> None:
    from millwright.core.ids import RunId, from_hex

    source = RunSource(command=[], python="", platform="")
    ours = RunId(from_hex(PARENT, "run"))
    door.runs.start(name="ours", source=source, id=ours)
    report = mlflow(door, mlflow_store(tmp_path / "store"))
    assert (
        ImportProblem(
            where=f"run {PARENT}",
            why=f"run {ours} is here already, and was not imported from there: "
            f"it should be mlflow run {PARENT}",
        )
        in report.problems
    )
    assert door.runs.show(ref=ours).params == {}


def test_a_store_goes_into_two_projects_of_one_home(home: Home, door: Door, tmp_path: Path) -> None:
    path = mlflow_store(tmp_path / "store")
    mlflow(door, path)
    door.access.create_project(name="second")
    other = cast("Door", home.door(home.local_principal(), "second"))
    assert mlflow(other, path).ok
    assert set(all_runs(other)) == {"parent", "child"}
    assert {run.id for run in all_runs(other).values()}.isdisjoint(
        {run.id for run in all_runs(door).values()}
    )
    assert mlflow(other, path).unchanged == 2


def test_a_store_that_is_none_ends_the_import(door: Door, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no logdir"):
        import_all(door, TensorBoard(tmp_path))


def test_who_may_not_write_imports_nothing(home: Home, door: Door, tmp_path: Path) -> None:
    door.access.create_actor(name="reader", role="viewer")
    reader = cast("Door", home.door(home.principal("reader"), "default"))
    with pytest.raises(Denied):
        mlflow(reader, mlflow_store(tmp_path / "store"))
    assert all_runs(door) == {}


def test_progress_is_told_with_what_was_found_so_far(door: Door, tmp_path: Path) -> None:
    root = logdir(tmp_path / "logs", {"a": 3, "b": 2})
    told: list[tuple[int, str]] = []
    import_all(
        door, TensorBoard(root), progress=lambda counts, where: told.append((counts.points, where))
    )
    assert told == [(0, "a"), (3, "b")]


def test_long_histories_are_sent_in_pieces(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millwright.sdk.imported_run.POINTS_AT_ONCE", 10)
    root = logdir(tmp_path / "logs", {"a": 95})
    told: list[int] = []
    report = import_all(
        door, TensorBoard(root), progress=lambda counts, _: told.append(counts.points)
    )
    assert report.ok
    assert len(points(door, all_runs(door)["a"])) == 95
    assert told == [0, *range(10, 100, 10)]


def test_a_run_that_the_home_cannot_take_makes_the_import_fail_and_stops_no_other(
    door: Door, tmp_path: Path
) -> None:
    class Damaged(TensorBoard):
        """A logdir of which one run cannot be read."""

        def items(self, run: FoundRun) -> Iterator[Item]:
            if run.id == "a":
                raise Corrupt("the disk has a hole", why="it is old")
            return super().items(run)

    root = logdir(tmp_path / "logs", {"a": 1, "b": 2})
    report = import_all(door, Damaged(root))
    assert not report.ok
    assert report.differences == ["run a could not be taken: the disk has a hole: it is old"]
    assert (report.kept.runs, report.kept.points) == (1, 2)
    # The next import goes on with it.
    assert import_all(door, TensorBoard(root)).ok
    assert len(points(door, all_runs(door)["a"])) == 1
