from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fixtures.homes import Place
from millwright.automation.worker import FOLLOWER, Worker
from millwright.core.errors import Conflict, Unreachable
from millwright.jobs.leases import Lease
from millwright.journal.followers import Follower
from millwright.records.automation import RuleSpec
from millwright.records.events import Event
from millwright.records.jobs import Job, JobState
from millwright.records.operation_events import AlertRaised, LabelsAdded

RETRAIN = RuleSpec(
    event="LabelsAdded",
    where={"deployment": "web"},
    job="pipeline.run",
    args={"pipeline": "train.py", "params": {"count": "${count}"}},
)


def worker(
    place: Place,
    *,
    ticks: dict[str, Callable[[], None]] | None = None,
    done: list[str] | None = None,
) -> Worker:
    """Return a worker of a process of its own, whose jobs only note that they were done."""
    home = place.reopened().home
    noted = [] if done is None else done

    def note(lease: Lease) -> object:
        noted.append(lease.job.id)
        return {}

    return Worker(
        home.database,
        home.journal,
        home.jobs,
        home.clock,
        owner=f"worker {len(place.opened)}",
        handlers={"pipeline.run": note},
        ticks=ticks or {},
    )


def add_labels(place: Place, count: int = 1, deployment: str = "web") -> None:
    """Journal that labels have arrived."""
    with place.home.database.write() as tx:
        place.home.journal.append(tx, place.act, LabelsAdded(deployment=deployment, count=count))


def caught_up(place: Place) -> bool:
    return Follower(place.home.journal, FOLLOWER).take(1) == []


def jobs(place: Place) -> list[Job]:
    """Return the jobs, oldest first."""
    return place.me.jobs.list_all()[::-1]


def fired(place: Place) -> list[Event]:
    return place.events("RuleFired")


class TestAnswering:
    def test_an_event_starts_the_rules_job_in_the_rules_name(self, place: Place) -> None:
        rule = place.me.rules.put(name="retrain", spec=RETRAIN)
        add_labels(place, 7)
        assert worker(place).follow_once() == 1
        labels = place.events("LabelsAdded")[0]
        event = fired(place)[0]
        assert (event.cause, event.actor) == (labels.id, rule.actor)
        assert event.detail == {
            "reason": "rule retrain on LabelsAdded",
            "name": "retrain",
            "job": "pipeline.run",
        }
        assert [(one.kind, one.id) for one in event.subjects] == [
            ("rule", rule.id),
            ("event", labels.id),
        ]
        found = jobs(place)
        assert [(one.kind, one.args, one.actor, one.cause) for one in found] == [
            ("pipeline.run", {"pipeline": "train.py", "params": {"count": 7}}, rule.actor, event.id)
        ]

    def test_what_does_not_match_is_passed_over_for_good(self, sqlite_place: Place) -> None:
        sqlite_place.me.rules.put(name="retrain", spec=RETRAIN)
        add_labels(sqlite_place, deployment="shop")
        assert worker(sqlite_place).follow_once() == 0
        assert jobs(sqlite_place) == []
        assert caught_up(sqlite_place)

    def test_what_happened_before_there_was_the_rule_is_no_business_of_its(
        self, place: Place
    ) -> None:
        add_labels(place, 1)
        place.clock.advance(1)
        place.me.rules.put(name="retrain", spec=RETRAIN)
        place.clock.advance(1)
        add_labels(place, 2)
        assert worker(place).follow_once() == 1
        assert [one.args["params"] for one in jobs(place)] == [{"count": 2}]

    def test_two_rules_answer_one_event_each_once(self, sqlite_place: Place) -> None:
        for name in ("retrain", "retrain elsewhere"):
            sqlite_place.me.rules.put(name=name, spec=RETRAIN)
        add_labels(sqlite_place)
        assert worker(sqlite_place).follow_once() == 2
        assert worker(sqlite_place).follow_once() == 0
        assert len(jobs(sqlite_place)) == 2

    def test_a_rule_answers_events_of_its_own_project_only(self, sqlite_place: Place) -> None:
        sqlite_place.me.access.create_project(name="other")
        other = sqlite_place.home.door(sqlite_place.me.session.principal, "other")
        other.rules.put(name="retrain", spec=RETRAIN)
        add_labels(sqlite_place)
        assert worker(sqlite_place).follow_once() == 0


class TestOnce:
    def test_each_event_starts_its_job_once_with_two_workers_at_work(self, place: Place) -> None:
        place.me.rules.put(name="retrain", spec=RETRAIN)
        for count in range(1, 9):
            add_labels(place, count)
        ready = threading.Barrier(2)
        workers = [worker(place), worker(place)]

        def follow(one: Worker) -> int:
            started = 0
            ready.wait(10)
            while not caught_up(place):
                try:
                    started += one.follow_once()
                except Conflict:
                    continue  # The other one was faster, which is as good.
            return started

        with ThreadPoolExecutor(2) as pool:
            started = sum(pool.map(follow, workers))
        counts = [one.args["params"] for one in jobs(place)]
        assert counts == [{"count": count} for count in range(1, 9)]
        assert len(fired(place)) == 8
        # What a worker counted before it found the other one faster is undone with the rest.
        assert started <= 8

    def test_the_slower_of_two_leaves_nothing_of_its_own(self, place: Place) -> None:
        place.me.rules.put(name="retrain", spec=RETRAIN)
        add_labels(place)
        slow = Follower(place.home.journal, FOLLOWER)
        events = slow.take(100)
        assert worker(place).follow_once() == 1
        with pytest.raises(Conflict, match="was faster"), place.home.database.write() as tx:
            slow.advance(tx, events[-1].place)

    def test_a_job_is_done_once_by_two_workers(self, sqlite_place: Place) -> None:
        place = sqlite_place
        place.me.rules.put(name="retrain", spec=RETRAIN)
        add_labels(place)
        stop = threading.Event()
        done: list[str] = []

        def stop_when_done() -> None:
            if done:
                stop.set()

        workers = [worker(place, ticks={"watch": stop_when_done}, done=done) for _ in range(2)]
        threads = [threading.Thread(target=one.run, args=(stop,)) for one in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert [(one.id, one.state) for one in jobs(place)] == [(done[0], JobState.FINISHED)]
        assert len(done) == 1


class TestCoolDown:
    def test_further_events_are_passed_over_until_it_is_over(self, place: Place) -> None:
        cooling = RuleSpec(event="LabelsAdded", job="pipeline.run", cool_down_s=60.0)
        place.me.rules.put(name="retrain", spec=cooling)
        following = worker(place)
        for _ in range(3):
            add_labels(place)
        assert following.follow_once() == 1
        place.clock.advance(59)
        add_labels(place)
        assert following.follow_once() == 0
        place.clock.advance(1)
        add_labels(place)
        assert following.follow_once() == 1
        # What was passed over does not come back.
        place.clock.advance(600)
        assert following.follow_once() == 0

    def test_each_rule_cools_for_itself(self, sqlite_place: Place) -> None:
        for name in ("one", "two"):
            cooling = RuleSpec(event="LabelsAdded", job="pipeline.run", cool_down_s=60.0)
            sqlite_place.me.rules.put(name=name, spec=cooling)
        add_labels(sqlite_place)
        assert worker(sqlite_place).follow_once() == 2


def test_an_erased_event_is_passed_over(sqlite_place: Place) -> None:
    place = sqlite_place
    place.me.rules.put(name="watch", spec=RuleSpec(event="AlertRaised", job="pipeline.run"))
    alert = AlertRaised(
        monitor="m", deployment="web", version=1, kind="drift", columns=[], message="moved"
    )
    with place.home.database.write() as tx:
        event = place.home.journal.append(tx, place.act, alert)
    with place.home.database.write() as tx:
        place.home.journal.erase_detail(tx, place.act, event)
    assert worker(place).follow_once() == 0
    assert caught_up(place)


def test_a_tick_that_fails_stops_neither_the_others_nor_the_rules(
    sqlite_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place = sqlite_place
    stop = threading.Event()
    ticked: list[str] = []

    def faster() -> None:
        ticked.append("faster")
        raise Conflict("another worker was faster")

    def away() -> None:
        ticked.append("away")
        raise Unreachable("the store does not answer")

    def broken() -> None:
        ticked.append("broken")
        raise ZeroDivisionError

    def last() -> None:
        ticked.append("last")
        if ticked.count("last") == 2:
            stop.set()

    ticks = {"faster": faster, "away": away, "broken": broken, "last": last}
    worker(place, ticks=ticks).run(stop)
    assert ticked == ["faster", "away", "broken", "last"] * 2
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == ["away: the store does not answer", "broken broke; it is tried again"]
