from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fixtures.homes import DEPLOYMENT, TRAINED_ROWS, Place, ServingLife, table
from millwright.artifacts.store import key_of
from millwright.automation.actions import CollectLabels
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.records.access import ActorKind, Role
from millwright.records.automation import RuleSpec
from millwright.records.deployments import RolloutPlan
from millwright.records.events import JsonValue
from millwright.records.jobs import Job, JobState
from millwright.records.serving import Cell, Decision, Label
from millwright.workspace.config import load_config
from millwright.workspace.loop import WORKER, LabelledRows, look_at_rollouts, make_worker

ARGS = CollectLabels(
    base="people", dataset="fresh", deployment=DEPLOYMENT, target="y", key="id", min_labels=3
)
QUICK = RolloutPlan(steps=(5000,), error_margin=0.2, slow_margin=0.2, min_keys=5, max_step_s=60.0)


def captured(place: Place, count: int = 5, *, cases: list[str] | None = None) -> list[Decision]:
    """Keep the trained rows as `people`, and capture decisions on rows that came later."""
    place.home.datasets.add(place.act, "people", table().head(TRAINED_ROWS))
    place.deployed()
    life = ServingLife(place)
    rows = table().drop("y", "id").slice(TRAINED_ROWS, count).to_dicts()
    taken = life.decide([f"key {at}" for at in range(count)], inputs=rows, cases=cases)
    life.send(taken)
    return taken


def tell(place: Place, decisions: list[Decision], values: list[Cell]) -> None:
    """Send the truth of decisions in."""
    labels = [
        Label(decision=decision.id, value=value, time_us=place.clock.now_us())
        for decision, value in zip(decisions, values, strict=True)
    ]
    place.me.labels.add(deployment=DEPLOYMENT, labels=labels)


class TestLabelledRows:
    def test_labelled_decisions_follow_the_rows_of_the_base_in_its_kinds(
        self, place: Place
    ) -> None:
        taken = captured(place)
        tell(place, taken[:4], [1, "0", 1.0, True])
        rows = LabelledRows(place.home)
        chosen = rows.choose(place.act, ARGS)
        assert chosen == [one.id for one in taken[:4]]
        assert rows.build(place.act, ARGS, chosen) == "fresh@v1"
        made = place.home.datasets.load(place.key, "fresh@v1")
        base = table().head(TRAINED_ROWS)
        assert made.schema == base.schema
        assert_frame_equal(made.head(TRAINED_ROWS), base)
        fresh = made.slice(TRAINED_ROWS)
        later = table().slice(TRAINED_ROWS, 4)
        assert_frame_equal(fresh.drop("y", "id"), later.drop("y", "id"))
        assert fresh["id"].to_list() == ["live-0", "live-1", "live-2", "live-3"]
        assert fresh["y"].to_list() == [1, 0, 1, 1]

    def test_decisions_on_one_case_share_its_key(self, sqlite_place: Place) -> None:
        taken = captured(sqlite_place, cases=["anna", "ben", "anna", "carl", "ben"])
        tell(sqlite_place, taken, [1, 0, 1, 0, 0])
        rows = LabelledRows(sqlite_place.home)
        rows.build(sqlite_place.act, ARGS, rows.choose(sqlite_place.act, ARGS))
        made = sqlite_place.home.datasets.load(sqlite_place.key, "fresh")
        assert made.slice(TRAINED_ROWS)["id"].to_list() == [
            "live-0",
            "live-1",
            "live-0",
            "live-2",
            "live-1",
        ]

    def test_the_same_decisions_make_the_same_version_whatever_came_since(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        taken = captured(place)
        tell(place, taken[:3], [1, 0, 1])
        rows = LabelledRows(place.home)
        chosen = rows.choose(place.act, ARGS)
        assert rows.build(place.act, ARGS, chosen) == "fresh@v1"
        tell(place, taken[3:], [0, 1])
        assert rows.build(place.act, ARGS, chosen) == "fresh@v1"
        assert rows.build(place.act, ARGS, rows.choose(place.act, ARGS)) == "fresh@v2"

    def test_too_few_labels_are_waited_for(self, sqlite_place: Place) -> None:
        taken = captured(sqlite_place)
        tell(sqlite_place, taken[:2], [1, 0])
        with pytest.raises(Conflict, match="2 labels have arrived for web; 3 are needed"):
            LabelledRows(sqlite_place.home).choose(sqlite_place.act, ARGS)

    def test_what_the_base_lacks_is_named(self, sqlite_place: Place) -> None:
        taken = captured(sqlite_place)
        tell(sqlite_place, taken, [1, 0, 1, 0, 0])
        rows = LabelledRows(sqlite_place.home)
        chosen = rows.choose(sqlite_place.act, ARGS)
        strange = CollectLabels(
            base="people", dataset="fresh", deployment=DEPLOYMENT, target="truth", key="id"
        )
        with pytest.raises(Invalid, match="people has no column 'truth'"):
            rows.build(sqlite_place.act, strange, chosen)
        with pytest.raises(NotFound):
            rows.choose(
                sqlite_place.act,
                CollectLabels(base="people", dataset="f", deployment="wb", target="y", key="id"),
            )

    def test_a_column_that_a_decision_did_not_have_is_missing(self, sqlite_place: Place) -> None:
        place = sqlite_place
        base = table().head(20).with_columns(pl.lit(7).alias("since"))
        place.home.datasets.add(place.act, "wide", base)
        taken = captured(place)
        tell(place, taken, [1, 0, 1, 0, 0])
        args = CollectLabels(
            base="wide", dataset="fresh", deployment=DEPLOYMENT, target="y", key="id", min_labels=1
        )
        rows = LabelledRows(place.home)
        rows.build(place.act, args, rows.choose(place.act, args))
        made = place.home.datasets.load(place.key, "fresh")
        assert made["since"].to_list() == [7] * 20 + [None] * 5


class TestLooks:
    def begun(self, place: Place) -> ServingLife:
        place.deployed()
        place.me.deployments.roll_out(name=DEPLOYMENT, model=place.passed(1), plan=QUICK)
        return ServingLife(place)

    def looks(self, place: Place) -> int:
        return len(place.me.deployments.rollouts(name=DEPLOYMENT)[0].looks)

    def test_a_look_is_taken_when_something_has_come_or_the_time_is_up(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        life = self.begun(place)
        look = look_at_rollouts(place.home, place.act)
        look()
        assert self.looks(place) == 0
        life.send(life.decide(["a"]))
        look()
        look()
        assert self.looks(place) == 1
        place.clock.advance(61)
        look()
        assert place.me.deployments.rollouts(name=DEPLOYMENT)[0].state == "inconclusive"
        look()
        assert self.looks(place) == 2

    def test_a_rollout_whose_segment_is_damaged_keeps_no_other_waiting(
        self, sqlite_place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        place = sqlite_place
        life = self.begun(place)
        segment = life.send(life.decide(["a"], role="candidate"))
        store = place.home.artifacts
        bad = Path(store.backend.place(key_of(segment.header.payload_digest)))
        other = place.passed(0, name="loans")
        place.me.models.promote(ref=other)
        place.me.deployments.create(name="shop", model=other)
        place.me.deployments.roll_out(name="shop", model=place.passed(1, name="loans"), plan=QUICK)
        shop = ServingLife(place, "shop", instance="there.1")
        shop.send(shop.decide(["a"]))
        bad.chmod(0o600)
        bad.write_bytes(b"damaged")
        with caplog.at_level(logging.WARNING):
            look_at_rollouts(place.home, place.act)()
        assert len(place.me.deployments.rollouts(name="shop")[0].looks) == 1
        assert self.looks(place) == 0
        assert any("is damaged" in record.getMessage() for record in caplog.records)


def done(place: Place) -> list[Job]:
    return place.me.jobs.list_all(state=JobState.FINISHED)


def test_the_loop_closes_through_a_real_worker(sqlite_place: Place) -> None:
    place = sqlite_place
    taken = captured(place)
    collect: dict[str, JsonValue] = {
        "base": "people",
        "dataset": "fresh",
        "deployment": "${deployment}",
        "target": "y",
        "key": "id",
        "min_labels": 3,
    }
    place.me.rules.put(
        name="collect", spec=RuleSpec(event="LabelsAdded", job="labels.collect", args=collect)
    )
    place.me.rules.put(
        name="judge",
        spec=RuleSpec(
            event="DatasetVersionCreated",
            where={"name": "fresh"},
            job="gate.check",
            args={"model": "churn", "dataset": "fresh@v${version}", "target": "y"},
        ),
    )
    config = load_config(environment={}, folder=place.home.path, home=place.home.path)
    worker = make_worker(place.home, config)
    account = place.home.principal(WORKER)
    assert (account.kind, account.grants) == (
        ActorKind.SERVICE,
        {place.key: frozenset({Role.SERVICE})},
    )
    tell(place, taken, [1, 0, 1, 0, 0])
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 20
    while len(done(place)) < 2 and time.monotonic() < deadline:
        stop.wait(0.02)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert [(one.kind, one.state) for one in place.me.jobs.list_all()] == [
        ("gate.check", JobState.FINISHED),
        ("labels.collect", JobState.FINISHED),
    ]
    verdict = place.me.gates.verdicts(ref="churn@v1")[0]
    version = place.me.data.show(ref="fresh@v1")
    assert verdict.evidence["dataset"] == version.digest
    # What a rule did is told by its own name, back to the labels that brought it about.
    judged = place.events("GateEvaluated")[-1]
    rules = {one.name: one for one in place.me.rules.list_all()}
    assert (judged.actor, version.actor) == (rules["judge"].actor, rules["collect"].actor)
    chain = [judged]
    while chain[-1].cause is not None:
        chain.append(place.home.journal.get(chain[-1].cause))
    assert [one.kind for one in chain] == [
        "GateEvaluated",
        "RuleFired",
        "DatasetVersionCreated",
        "RuleFired",
        "LabelsAdded",
    ]
