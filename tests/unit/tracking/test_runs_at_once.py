"""Writers to one run at once: nothing is lost, one closes it, nothing is logged behind the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from fixtures.journals import ORIGIN
from millwright.core.errors import Conflict
from millwright.core.ids import ActorId, ProjectId, RunId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.tables.access import insert_project
from millwright.records.events import Act
from millwright.records.runs import MetricPoint, RunSource
from millwright.testing.clock import FakeClock
from millwright.tracking.runs import Runs

SOURCE = RunSource(command=["fit.py"], python="3.11", platform="test")
WRITERS = 4
ROUNDS = 10


@pytest.fixture
def act(database: Database) -> Act:
    project = ProjectId(new_id("prj"))
    with database.write() as tx:
        key = insert_project(tx, project_id=project, name="default", now_us=0)
    assert key is not None
    return Act(actor=ActorId(new_id("act")), project=project, project_key=key, reason="a test")


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, None, FakeClock(), origin=ORIGIN)


@pytest.fixture
def runs(database: Database, journal: Journal) -> Runs:
    return Runs(database, journal, FakeClock())


@pytest.fixture
def run(runs: Runs, act: Act) -> RunId:
    return runs.start(act, name="fit", source=SOURCE)


def at_once(work: Callable[[int], None], count: int = WRITERS) -> list[Exception]:
    """Let `count` threads begin `work` together; return what they raised."""
    raised: list[Exception] = []
    together = threading.Barrier(count)

    def begin(number: int) -> None:
        together.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001
            raised.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_points_of_four_writers_are_all_kept(runs: Runs, act: Act, run: RunId) -> None:
    def log(writer: int) -> None:
        for at in range(ROUNDS):
            value = float(writer * ROUNDS + at)
            runs.log_metrics(act, run, [MetricPoint(key="loss", value=value, step=at)])

    assert at_once(log) == []
    kept = [point.value for point in runs.metrics.history(act.project_key, run, "loss")]
    assert sorted(value for value in kept if value is not None) == list(range(WRITERS * ROUNDS))


def test_of_four_that_finish_a_run_one_does(
    runs: Runs, act: Act, run: RunId, journal: Journal
) -> None:
    raised = at_once(lambda _: runs.finish(act, run))
    assert [type(error) for error in raised] == [Conflict] * (WRITERS - 1)
    assert len(journal.events(kinds=["RunFinished"])) == 1


def test_nothing_is_logged_behind_the_digest_that_closed_the_run(
    runs: Runs, act: Act, run: RunId, database: Database
) -> None:
    at_the_end = threading.Event()
    logged: list[Exception | None] = []

    def log() -> None:
        at_the_end.wait()
        try:
            runs.set_tags(act, run, {"late": "yes"})
            logged.append(None)
        except Conflict as error:
            logged.append(error)

    late = threading.Thread(target=log)
    late.start()
    with database.write() as tx:
        runs.finish_in(tx, act, run, status="finished", error=None, log_digest=None)
        at_the_end.set()
        # Long enough for the other to look at the run while this transaction is open.
        late.join(timeout=0.2)
    late.join()
    assert [type(error) for error in logged] == [Conflict]
    assert runs.get(act.project_key, run).tags == {}
