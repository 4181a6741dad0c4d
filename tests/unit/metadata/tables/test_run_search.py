"""Searches held against a plain model: every run looked at, sorted in Python."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

import pytest

from fixtures.journals import ORIGIN
from millwright.core.ids import ActorId, ProjectId, RunId, new_id
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.filters import Clause, FilterError, Order, parse_filter, parse_order
from millwright.metadata.tables.access import insert_project
from millwright.metadata.tables.telemetry import Keys
from millwright.records.events import Act
from millwright.records.runs import MetricPoint, RunSource
from millwright.testing.clock import FakeClock
from millwright.tracking.runs import Runs
from millwright.tracking.search import Searches, Wanted
from millwright.tracking.vocabulary import RUNS

SOURCE = RunSource(command=[], python="", platform="")
COUNT = 60


@dataclass
class Made:
    """One run as the model knows it."""

    id: RunId
    name: str
    start_us: int
    status: str
    deleted: bool
    metrics: dict[str, float | None]
    params: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class World:
    """Runs in a store, and in the model."""

    searches: Searches
    project: int
    made: list[Made]


def make(database: Database, seed: int) -> World:
    chance = random.Random(seed)
    project = ProjectId(new_id("prj"))
    with database.write() as tx:
        key = insert_project(tx, project_id=project, name="default", now_us=0)
    assert key is not None
    act = Act(actor=ActorId(new_id("act")), project=project, project_key=key)
    clock, keys = FakeClock(), Keys()
    runs = Runs(database, Journal(database, None, clock, origin=ORIGIN), clock, keys=keys)
    made: list[Made] = []
    for number in range(COUNT):
        start_us = chance.randrange(20) * 1_000_000
        run = runs.start(
            act, name=f"run {number % 7}", source=SOURCE, experiment="big", start_us=start_us
        )
        metrics: dict[str, float | None] = {}
        for name in ("a", "b"):
            if chance.random() < 0.8:
                metrics[name] = None if chance.random() < 0.2 else chance.randrange(5) / 2
        params = {"p": chance.choice("xyz")} if chance.random() < 0.7 else {}
        tags = {"t": chance.choice(["One", "two", "x" * 150])} if chance.random() < 0.7 else {}
        points = [MetricPoint(key=k, value=v, step=1, time_us=5) for k, v in metrics.items()]
        runs.logs.log_batch(act, run, points=points, params=params, tags=tags)
        status = chance.choice(["running", "finished", "failed"])
        if status == "finished":
            runs.finish(act, run)
        elif status == "failed":
            runs.finish(act, run, status="failed")
        deleted = chance.random() < 0.1
        if deleted:
            runs.delete(act, run)
        made.append(
            Made(run, f"run {number % 7}", start_us, status, deleted, metrics, params, tags)
        )
    return World(Searches(database, keys), key, made)


def fits(run: Made, clause: Clause) -> bool:
    """Tell whether the model's run fits one comparison."""
    entity, key, op, value = clause.field.entity, clause.field.key, clause.op, clause.value
    if entity == "metric":
        if key not in run.metrics:
            return False
        stored = run.metrics[key]
        left: object = math.nan if stored is None else stored
    elif entity == "attribute":
        left = {"name": run.name, "status": run.status, "start_time": run.start_us // 1000}[key]
    else:
        left = (run.params if entity == "param" else run.tags).get(key)
        if op in {"IS NULL", "IS NOT NULL"}:
            return (left is None) == (op == "IS NULL")
        if left is None:
            return False
    match op:
        case "=":
            return left == value
        case "!=":
            return left != value
        case "<" | ">=":
            assert isinstance(left, int | float)
            assert isinstance(value, int | float)
            return left < value if op == "<" else left >= value
        case "IN" | "NOT IN":
            assert isinstance(value, tuple)
            return (left in value) == (op == "IN")
        case "LIKE":
            return str(value).strip("%") in str(left)
        case "ILIKE":
            return str(value).strip("%").lower() in str(left).lower()
        case _:
            raise AssertionError(op)


def sort(runs: list[Made], order: list[Order]) -> list[Made]:
    """Return the model's runs in order: the last term is sorted by first."""
    runs = sorted(runs, key=lambda run: run.id)
    runs.sort(key=lambda run: -run.start_us)
    for term in reversed(order):
        key = term.field.key
        if term.field.entity == "metric":
            runs.sort(key=lambda run: run.metrics.get(key) or 0.0, reverse=term.descending)
            runs.sort(key=lambda run: 2 if key not in run.metrics else run.metrics[key] is None)
        elif term.field.entity == "attribute":
            runs.sort(
                key=lambda run: run.name if key == "name" else run.start_us,  # pyright: ignore[reportArgumentType, reportCallIssue]
                reverse=term.descending,
            )
        else:
            texts = "params" if term.field.entity == "param" else "tags"
            runs.sort(key=lambda run: getattr(run, texts).get(key, ""), reverse=term.descending)
            runs.sort(key=lambda run: key not in getattr(run, texts))
    return runs


COMPARISONS = [
    "metrics.a >= 1",
    "metrics.a < 1.5",
    "metrics.b != 1",
    "metrics.b = 0.5",
    "metrics.nowhere > 0",
    "params.p = 'x'",
    "params.p != 'y'",
    "params.p IN ('x', 'z')",
    "params.p IS NULL",
    "params.nowhere IS NULL",
    "tags.t LIKE '%w%'",
    "tags.t ILIKE '%ONE%'",
    f"tags.t = '{'x' * 150}'",
    "tags.t IS NOT NULL",
    "status = 'finished'",
    "status NOT IN ('failed')",
    "name = 'run 3'",
    "start_time >= 9000",
]
ORDERS = [
    "metrics.a DESC",
    "metrics.a",
    "metrics.b ASC",
    "metrics.nowhere",
    "params.p DESC",
    "tags.t",
    "name DESC",
    "start_time DESC",
    "start_time",
]


def test_every_search_finds_what_the_model_finds_page_by_page(database: Database) -> None:
    for seed in range(1):
        world = make(database, seed)
        chance = random.Random(seed)
        for _ in range(150):
            said = chance.sample(COMPARISONS, chance.randrange(3))
            order = chance.sample(ORDERS, chance.randrange(3))
            lifecycle = chance.choice(["active", "active", "deleted", "all"])
            limit = chance.choice([1, 3, 7, 100])
            clauses = parse_filter(" AND ".join(said), RUNS)
            expected = [
                run
                for run in world.made
                if all(fits(run, clause) for clause in clauses)
                and (lifecycle == "all" or run.deleted == (lifecycle == "deleted"))
            ]
            try:
                terms = parse_order(order, RUNS)
            except FilterError:
                continue
            wanted = Wanted(
                experiments=["big"],
                filter=" AND ".join(said),
                order=order,
                lifecycle=lifecycle,  # pyright: ignore[reportArgumentType]
            )
            found: list[str] = []
            token: str | None = None
            while True:
                page = world.searches.find(world.project, wanted, limit=limit, token=token)
                found += [run.id for run in page.runs]
                assert len(page.runs) <= limit
                token = page.next_token
                if token is None:
                    break
            where = f"seed {seed}: {said} {order} {lifecycle} {limit}"
            assert found == [run.id for run in sort(expected, terms)], where
            assert world.searches.count(world.project, wanted) == len(expected), where


def test_only_the_fields_asked_for_are_read(database: Database) -> None:
    world = make(database, 5)
    wanted = Wanted(experiments=["big"], fields=["metrics.a", "tags"], order=["metrics.a DESC"])
    found = world.searches.find(world.project, wanted, limit=100).runs
    assert any(run.metrics for run in found)
    assert {key for run in found for key in run.metrics} <= {"a"}
    assert any(run.tags for run in found)
    assert all(not run.params for run in found)


@pytest.mark.parametrize("token", ["!", "AAAA", "kwE"])
def test_a_foreign_token_is_refused(database: Database, token: str) -> None:
    world = make(database, 6)
    with pytest.raises(FilterError, match="token"):
        world.searches.find(world.project, Wanted(experiments=["big"]), limit=1, token=token)


def test_a_token_is_good_for_its_own_search_alone(database: Database) -> None:
    world = make(database, 6)
    asked = Wanted(experiments=["big"], order=["name"])
    token = world.searches.find(world.project, asked, limit=1).next_token
    assert token is not None
    others: list[dict[str, object]] = [
        {"order": ["start_time"]},  # A number where the token has a text.
        {"order": ["name DESC"]},
        {"filter": "status = 'FINISHED'"},
        {"experiments": ["big", "Default"]},
        {"lifecycle": "all"},
        {"kinds": ["script"]},
    ]
    for other in others:
        with pytest.raises(FilterError, match="belongs to another search"):
            world.searches.find(
                world.project,
                replace(asked, **other),  # pyright: ignore[reportArgumentType]
                limit=1,
                token=token,
            )
    again = replace(asked, fields=["tags"], with_points=True)
    assert world.searches.find(world.project, again, limit=5, token=token).runs


def test_the_runs_of_an_experiment_that_is_not_there_are_none(database: Database) -> None:
    world = make(database, 7)
    assert world.searches.find(world.project, Wanted(experiments=["?"]), limit=5).runs == []


def test_an_experiment_that_is_named_twice_is_looked_into_once(database: Database) -> None:
    world = make(database, 8)
    once = world.searches.find(world.project, Wanted(experiments=["big"]), limit=100)
    twice = world.searches.find(world.project, Wanted(experiments=["big", "#0", "big"]), limit=100)
    assert [run.id for run in twice.runs] == [run.id for run in once.runs]


def test_the_longest_order_is_read_on_page_by_page(database: Database) -> None:
    world = make(database, 9)
    wanted = Wanted(experiments=["big"], order=["name", *(f"params.p{n}" for n in range(99))])
    whole = world.searches.find(world.project, wanted, limit=100)
    first = world.searches.find(world.project, wanted, limit=10)
    rest = world.searches.find(world.project, wanted, limit=100, token=first.next_token)
    assert [run.id for run in (*first.runs, *rest.runs)] == [run.id for run in whole.runs]
