from __future__ import annotations

import os

import msgspec
import pytest

from fixtures.tracked import SOURCE, Tracked, tracked_in
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import RunId, new_id
from millwright.metadata.database import Database
from millwright.records.runs import MetricPoint, Problem, RunKind, RunLink
from millwright.tracking.environment import process_identity
from millwright.tracking.runs import MAX_PAGE
from millwright.tracking.telemetry import MAX_KEY_CHARS, MAX_VALUE_CHARS


@pytest.fixture
def tracked(database: Database) -> Tracked:
    return tracked_in(database)


@pytest.fixture
def sqlite_tracked(sqlite_address: str) -> Tracked:
    return tracked_in(Database.at(sqlite_address))


def points(*values: float | None, key: str = "loss") -> list[MetricPoint]:
    return [MetricPoint(key=key, value=value, step=at) for at, value in enumerate(values)]


DIGEST = digest_bytes(b"rows")
LINK = RunLink(way="input", name="data", what="dataset_version", id="dsv_1", digest=DIGEST)


class TestLife:
    def test_started_logged_to_and_finished(self, tracked: Tracked) -> None:
        runs, act = tracked.runs, tracked.act
        run = tracked.start(experiment="churn")
        runs.log_params(act, run, {"depth": "3", "kind": "forest"})
        runs.log_metrics(act, run, points(0.5, 0.25))
        tracked.clock.advance(1)
        runs.log_metrics(act, run, [MetricPoint(key="auc", value=0.9)])
        runs.set_tags(act, run, {"who": "me"})
        runs.set_tags(act, run, {"who": "you"})
        runs.log_links(act, run, [LINK])
        runs.finish(act, run, log_digest=digest_bytes(b"log"))

        found = runs.get(tracked.key, run)
        assert (found.name, found.experiment, found.kind) == ("fit", "churn", "script")
        assert (found.status, found.error, found.source) == ("finished", None, SOURCE)
        assert found.params == {"depth": "3", "kind": "forest"}
        assert found.metrics == {"loss": 0.25, "auc": 0.9}
        assert found.tags == {"who": "you"}
        assert found.links == [LINK]
        assert found.log_digest == digest_bytes(b"log")
        assert found.end_us == found.start_us + 1_000_000
        history = runs.metrics.history(tracked.key, run, "loss")
        assert [(one.value, one.step, one.time_us) for one in history] == [
            (0.5, 0, found.start_us),
            (0.25, 1, found.start_us),
        ]

    def test_start_and_end_are_journaled_with_the_digest_of_what_was_logged(
        self, tracked: Tracked
    ) -> None:
        run = tracked.start()
        tracked.runs.log_params(tracked.act, run, {"secret": "figure"})
        digest = tracked.telemetry(run)
        made, started, finished = tracked.journal.events()
        assert (made.kind, made.detail) == (
            "ExperimentCreated",
            {"reason": "a test", "name": "Default"},
        )
        assert (started.kind, started.detail) == (
            "RunStarted",
            {"reason": "a test", "name": "fit", "kind": "script", "experiment": "Default"},
        )
        assert (finished.kind, finished.subjects[0].id) == ("RunFinished", run)
        assert finished.subjects[0].digest == digest

    def test_a_failed_run_keeps_its_problem(self, tracked: Tracked) -> None:
        run = tracked.start()
        problem = Problem(code="failed", what="it broke", why="a bug", fix="mend it")
        tracked.runs.finish(tracked.act, run, status="failed", error=problem)
        found = tracked.runs.get(tracked.key, run)
        assert (found.status, found.error) == ("failed", problem)
        assert (tracked.journal.events()[-1].detail or {})["error"] == "it broke"

    def test_nothing_is_logged_to_a_closed_run(self, tracked: Tracked) -> None:
        runs, act = tracked.runs, tracked.act
        run = tracked.start()
        digest = tracked.telemetry(run)
        for late in (
            lambda: runs.log_params(act, run, {"depth": "3"}),
            lambda: runs.log_metrics(act, run, points(1.0)),
            lambda: runs.set_tags(act, run, {"a": "b"}),
            lambda: runs.log_links(act, run, [LINK]),
            lambda: runs.finish(act, run, status="failed"),
        ):
            with pytest.raises(Conflict, match=f"run {run} is finished"):
                late()
        found = runs.get(tracked.key, run)
        assert (found.status, found.telemetry_digest) == ("finished", digest)
        assert (found.params, found.metrics, found.tags, found.links) == ({}, {}, {}, [])

    def test_a_run_is_not_finished_by_going_on(self, sqlite_tracked: Tracked) -> None:
        run = sqlite_tracked.start()
        with pytest.raises(Invalid, match="not finished by the status 'running'"):
            sqlite_tracked.runs.finish(sqlite_tracked.act, run, status="running")


class TestLogging:
    def test_a_parameter_keeps_its_first_value(self, tracked: Tracked) -> None:
        runs, act = tracked.runs, tracked.act
        run = tracked.start()
        runs.log_params(act, run, {"depth": "3"})
        runs.log_params(act, run, {"depth": "3"})
        with pytest.raises(Conflict, match="parameter 'depth' already has another value"):
            runs.log_params(act, run, {"seed": "1", "depth": "4"})
        # All of a call is kept, or nothing.
        assert runs.get(tracked.key, run).params == {"depth": "3"}

    def test_not_a_number_is_kept_as_no_value(self, tracked: Tracked) -> None:
        run = tracked.start()
        tracked.runs.log_metrics(tracked.act, run, points(1.0, float("nan"), None))
        history = tracked.runs.metrics.history(tracked.key, run, "loss")
        assert [one.value for one in history] == [1.0, None, None]
        assert tracked.runs.get(tracked.key, run).metrics == {"loss": None}

    def test_a_time_that_is_given_is_kept(self, sqlite_tracked: Tracked) -> None:
        run = sqlite_tracked.start()
        point = MetricPoint(key="loss", value=1.0, step=4, time_us=17)
        sqlite_tracked.runs.log_metrics(sqlite_tracked.act, run, [point])
        assert sqlite_tracked.runs.metrics.history(sqlite_tracked.key, run, "loss") == [point]

    def test_names_and_values_have_their_limits(self, sqlite_tracked: Tracked) -> None:
        runs, act = sqlite_tracked.runs, sqlite_tracked.act
        run = sqlite_tracked.start()
        runs.log_params(act, run, {"k" * MAX_KEY_CHARS: "v" * MAX_VALUE_CHARS})
        for key in ("", "k" * (MAX_KEY_CHARS + 1), "line\nbreak"):
            with pytest.raises(Invalid, match="cannot be the name of a parameter"):
                runs.log_params(act, run, {key: "v"})
            with pytest.raises(Invalid, match="cannot be the name of a metric"):
                runs.log_metrics(act, run, points(1.0, key=key))
        with pytest.raises(Invalid, match="8001 characters; 8000 are allowed"):
            runs.set_tags(act, run, {"k": "v" * (MAX_VALUE_CHARS + 1)})

    def test_names_of_runs_and_experiments_are_checked(self, sqlite_tracked: Tracked) -> None:
        for name, experiment in (("", "Default"), ("fit", " "), ("fit", "a\x00b")):
            with pytest.raises(Invalid):
                sqlite_tracked.start(name, experiment=experiment)
        assert sqlite_tracked.journal.events() == []


class TestTelemetryDigest:
    def logged(
        self,
        tracked: Tracked,
        *,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        metrics: list[MetricPoint] | None = None,
        link: RunLink = LINK,
    ) -> Digest:
        runs, act = tracked.runs, tracked.act
        run = tracked.start()
        runs.log_params(act, run, {"depth": "3"} if params is None else params)
        runs.set_tags(act, run, {"who": "me"} if tags is None else tags)
        runs.log_metrics(act, run, points(0.5, 0.25) if metrics is None else metrics)
        runs.log_links(act, run, [link])
        return tracked.telemetry(run)

    def test_the_same_telemetry_gives_the_same_digest(self, tracked: Tracked) -> None:
        assert self.logged(tracked) == self.logged(tracked)

    def test_any_other_value_gives_another(self, sqlite_tracked: Tracked) -> None:
        tracked = sqlite_tracked
        digests = [
            self.logged(tracked),
            self.logged(tracked, params={"depth": "4"}),
            self.logged(tracked, params={"death": "3"}),
            self.logged(tracked, params={}),
            self.logged(tracked, tags={"who": "you"}),
            self.logged(tracked, tags={}),
            self.logged(tracked, metrics=points(0.5, 0.2500000000000001)),
            self.logged(tracked, metrics=points(0.25, 0.5)),
            self.logged(tracked, metrics=points(0.5, None)),
            self.logged(tracked, metrics=points(0.5, 0.25, key="loss2")),
            self.logged(tracked, metrics=points(0.5)),
            self.logged(
                tracked, metrics=[*points(0.5), MetricPoint(key="loss", value=0.25, step=7)]
            ),
            self.logged(
                tracked,
                metrics=[*points(0.5), MetricPoint(key="loss", value=0.25, step=1, time_us=3)],
            ),
            self.logged(tracked, link=msgspec.structs.replace(LINK, way="output")),
            self.logged(tracked, link=msgspec.structs.replace(LINK, digest=digest_bytes(b"x"))),
        ]
        assert len(set(digests)) == len(digests)

    def test_an_infinite_value_is_not_a_missing_one(self, sqlite_tracked: Tracked) -> None:
        missing = self.logged(sqlite_tracked, metrics=points(0.5, None))
        assert self.logged(sqlite_tracked, metrics=points(0.5, float("inf"))) != missing
        assert self.logged(sqlite_tracked, metrics=points(0.5, float("-inf"))) != missing


class TestFinding:
    def test_a_run_is_found_by_any_beginning_of_its_id_that_is_its_own(
        self, tracked: Tracked
    ) -> None:
        first, second = tracked.start("one"), tracked.start("two")
        alike = next(at for at in range(len(first)) if first[at] != second[at])
        own = first[:alike]
        for length in range(alike + 1, len(first) + 1):
            assert tracked.runs.get(tracked.key, first[:length]).id == first
        assert tracked.runs.get(tracked.key, second.upper()).id == second
        with pytest.raises(Invalid, match="begins more than one run's id"):
            tracked.runs.get(tracked.key, own)
        assert tracked.runs.get(tracked.key, "latest").id == second

    def test_what_is_not_there_is_not_found(self, tracked: Tracked) -> None:
        with pytest.raises(NotFound, match="there are no runs yet"):
            tracked.runs.get(tracked.key, "latest")
        with pytest.raises(NotFound, match="no run 'run_7zzz'"):
            tracked.runs.get(tracked.key, "run_7zzz")
        with pytest.raises(Invalid, match="is not the beginning of the id of a run"):
            tracked.runs.get(tracked.key, "fit")
        with pytest.raises(NotFound):
            tracked.runs.start(tracked.act, name="x", source=SOURCE, parent=RunId(new_id("run")))

    def test_another_project_does_not_see_it(self, database: Database) -> None:
        here, there = tracked_in(database, "here"), tracked_in(database, "there")
        run = here.start()
        with pytest.raises(NotFound):
            there.runs.get(there.key, run)
        with pytest.raises(NotFound):
            there.runs.finish(there.act, run)
        assert there.runs.list_page(there.key).runs == []


class TestPages:
    def test_pages_are_newest_first_and_meet_without_overlap(self, tracked: Tracked) -> None:
        made = [tracked.start(f"run {at}") for at in range(7)]
        seen: list[RunId] = []
        before, pages = None, 0
        while True:
            page = tracked.runs.list_page(tracked.key, limit=3, before=before)
            seen += [one.id for one in page.runs]
            before, pages = page.next_before, pages + 1
            if before is None:
                break
        assert (seen, pages) == (made[::-1], 3)

    def test_a_full_last_page_has_nothing_behind_it(self, sqlite_tracked: Tracked) -> None:
        for _ in range(3):
            sqlite_tracked.start()
        assert sqlite_tracked.runs.list_page(sqlite_tracked.key, limit=3).next_before is None

    def test_a_new_run_does_not_shift_the_pages(self, sqlite_tracked: Tracked) -> None:
        tracked = sqlite_tracked
        made = [tracked.start() for _ in range(4)]
        first = tracked.runs.list_page(tracked.key, limit=2)
        tracked.start()
        second = tracked.runs.list_page(tracked.key, limit=2, before=first.next_before)
        assert [one.id for one in second.runs] == made[1::-1]

    def test_they_can_be_narrowed(self, tracked: Tracked) -> None:
        runs, act = tracked.runs, tracked.act
        parent = runs.start(act, name="p", source=SOURCE, kind="pipeline", pipeline="train")
        child = runs.start(act, name="s", source=SOURCE, kind="step", parent=parent)
        other = tracked.start(experiment="churn")

        def found(
            *,
            kind: RunKind | None = None,
            parent: RunId | None = None,
            pipeline: str | None = None,
            experiment: str | None = None,
        ) -> list[RunId]:
            page = runs.list_page(
                tracked.key, kind=kind, parent=parent, pipeline=pipeline, experiment=experiment
            )
            return [one.id for one in page.runs]

        assert found(kind="step") == [child]
        assert found(parent=parent) == [child]
        assert found(pipeline="train") == [parent]
        assert found(experiment="churn") == [other]
        assert found() == [other, child, parent]
        assert [one.name for one in runs.experiments.list_all(tracked.key)] == ["Default", "churn"]
        with pytest.raises(NotFound, match="no experiment called 'chrun'") as caught:
            found(experiment="chrun")
        assert caught.value.fix == "did you mean 'churn'?"

    def test_a_page_holds_a_sensible_number(self, sqlite_tracked: Tracked) -> None:
        for limit in (0, -1, MAX_PAGE + 1):
            with pytest.raises(Invalid, match="a page holds 1 to 1000 runs"):
                sqlite_tracked.runs.list_page(sqlite_tracked.key, limit=limit)


class TestAbandoned:
    def started_by(self, tracked: Tracked, process: str | None) -> RunId:
        source = msgspec.structs.replace(SOURCE, process=process)
        return tracked.runs.start(tracked.act, name="fit", source=source)

    def test_runs_of_a_process_that_was_killed_are_closed_and_no_others(
        self, tracked: Tracked
    ) -> None:
        mine = process_identity(os.getpid())
        if mine is None:
            pytest.skip("this system does not tell processes apart")
        machine, boot, pid, started = mine.split("/")
        gone = f"{machine}/{boot}/{pid}/{int(started) + 1}"
        lost = [
            self.started_by(tracked, gone),
            self.started_by(tracked, f"{machine}/before the last boot/{pid}/{started}"),
        ]
        alive = self.started_by(tracked, mine)
        elsewhere = self.started_by(tracked, f"another machine/{boot}/{pid}/1")
        nobody = self.started_by(tracked, None)
        assert sorted(tracked.runs.close_abandoned(tracked.act)) == sorted(lost)
        found = tracked.runs.get(tracked.key, lost[0])
        assert (found.status, found.error) == (
            "failed",
            Problem(code="failed", what="its process was killed", fix="run it again"),
        )
        for run in (alive, elsewhere, nobody):
            assert tracked.runs.get(tracked.key, run).status == "running"
        assert tracked.runs.close_abandoned(tracked.act) == []

    def test_what_a_client_says_of_its_process_may_be_anything(
        self, sqlite_tracked: Tracked
    ) -> None:
        mine = process_identity(os.getpid()) or "a/b/c/d"
        machine, boot, _, _ = mine.split("/")
        for said in ("", "nonsense", "a/b", "a/b/c/d/e", f"{machine}/{boot}/pid/1"):
            self.started_by(sqlite_tracked, said)
        assert sqlite_tracked.runs.close_abandoned(sqlite_tracked.act) == []
