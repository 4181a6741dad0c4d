"""A monitor finds what moved, names it once, else keeps still, and never looks twice at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from fixtures.monitoring import Cancer, Floats, Row, World, profile_of, split_cancer
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import DecisionId, DeploymentId
from millwright.monitoring.alerts import Alerts
from millwright.monitoring.drift import judge
from millwright.monitoring.labels import Labels
from millwright.monitoring.monitor import check_spec
from millwright.monitoring.windows import fill
from millwright.records.monitoring import DriftReport, MonitorSpec
from millwright.records.serving import Decision, Label

SEED = 11
NO_DIGEST = Digest("b3:" + "0" * 64)
Change = Callable[[Floats, np.random.Generator], Floats]
CHANGES: dict[str, Change] = {
    "scaled by 1.5": lambda values, _: values * 1.5,
    "two deviations up": lambda values, _: values + 2 * values.std(),
    "30 % missing": lambda values, rng: np.where(rng.random(len(values)) < 0.3, np.nan, values),
    "stuck": lambda values, _: np.full(len(values), values[0]),
}


def alerts_of(world: World) -> Alerts:
    return Alerts(world.database, world.journal, world.clock)


def stream(
    world: World, cancer: Cancer, column: int, change: Change, *, calm: int = 1, looks: int = 4
) -> list[DriftReport]:
    """Feed a monitor segments of 150 drawn rows, changed after the calm ones; stop at an alert."""
    rng = np.random.default_rng(SEED)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo", MonitorSpec(window_rows=300))
    found: list[DriftReport] = []
    for look in range(calm + looks):
        drawn = cancer.draw(rng, 150)
        if look >= calm:
            drawn[:, column] = change(drawn[:, column], rng)
        world.decide(cancer.rows(drawn))
        report = monitors.check(world.act, "watch")
        assert report is not None
        found.append(report)
        if report.drifted:
            break
    return found


@pytest.mark.parametrize("how", list(CHANGES))
@pytest.mark.parametrize("name", ["mean radius", "worst texture", "symmetry error"])
def test_an_instrument_that_changed_is_named_with_at_most_one_other(
    sqlite_world: World, cancer: Cancer, how: str, name: str
) -> None:
    world = sqlite_world
    world.add_version(cancer.rows(cancer.reference))
    reports = stream(world, cancer, cancer.names.index(name), CHANGES[how])
    assert not reports[0].drifted
    assert name in reports[-1].drifted
    assert len(reports[-1].drifted) <= 2
    (alert,) = alerts_of(world).list_all(world.act.project_key)
    assert (alert.columns, alert.version, alert.state) == (reports[-1].drifted, 1, "open")
    assert alert.evidence == reports[-1].digest
    assert alert.message.startswith("1 of 30 columns moved in ")
    assert name in alert.message


def test_an_unchanged_stream_of_30_looks_raises_nothing(
    sqlite_world: World, cancer: Cancer
) -> None:
    world = sqlite_world
    world.add_version(cancer.rows(cancer.reference))
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo", MonitorSpec(window_rows=600))
    rng = np.random.default_rng(SEED)
    for _ in range(30):
        world.decide(cancer.rows(cancer.draw(rng, 60)))
        monitors.check(world.act, "watch")
    assert alerts_of(world).list_all(world.act.project_key) == []
    reports = monitors.reports(world.act.project_key, "watch")
    # The first 60 rows of each window are too few to be judged.
    assert [report.window for report in reports] == [3] * 9 + [2] * 9 + [1] * 9
    assert [report.n for report in reports] == list(range(27, 0, -1))
    assert all(report.independent_rows < 120 for report in reports)


@pytest.mark.storm
@pytest.mark.parametrize("window_looks", [30, 8])
def test_200_unchanged_streams_of_30_looks_stay_silent(window_looks: int) -> None:
    # Every third column, for time's sake; the threshold goes with their number.
    alarmed = 0
    for seed in range(200):
        cancer = split_cancer(seed)
        names = cancer.names[::3]
        reference = profile_of(cancer.rows(cancer.reference))
        drawn = cancer.rows(cancer.draw(np.random.default_rng(seed), 30 * 40))
        decisions = [unrecorded(row) for row in drawn]
        for look in range(2, 30):
            first = look // window_looks * window_looks
            window = fill(reference, names, decisions[first * 40 : (look + 1) * 40])
            columns = judge(
                reference,
                window.profile,
                spec=MonitorSpec(),
                window=look // window_looks + 1,
                independent=window.independent,
            )
            if any(column.drifted for column in columns):
                alarmed += 1
                break
    assert alarmed <= 10


def unrecorded(row: Row) -> Decision:
    return Decision(
        id=DecisionId("dec_1"),
        n=0,
        time_us=0,
        deployment=DeploymentId("dep_1"),
        revision=1,
        role="champion",
        version=1,
        digest=NO_DIGEST,
        inputs=dict(row),
        key="",
    )


def test_missing_and_unseen_values_are_found(world: World) -> None:
    rng = np.random.default_rng(SEED)
    world.add_version([{"age": float(rng.normal()), "city": "ab"[at % 2]} for at in range(400)])
    monitors = world.monitors()
    created = monitors.create(world.act, "watch", "demo")
    assert (created.looks, created.last) == (0, None)
    world.decide(
        [
            {"age": None if at % 5 == 0 else float(rng.normal()), "city": "abc"[at % 3]}
            for at in range(300)
        ]
    )
    assert [due.name for due in monitors.due()] == ["watch"]
    report = monitors.check(world.act, "watch")
    assert report is not None
    assert report.drifted == ["age", "city"]
    by_name = {column.column: column for column in report.columns}
    assert by_name["age"].reason == "missing 0 % → 20 %"
    assert "values never seen in training: 33.3 %" in by_name["city"].reason
    assert monitors.get(world.act.project_key, "watch").last == report
    assert monitors.due() == []
    (event,) = world.journal.events(kinds=["AlertRaised"])
    kinds = {subject.kind for subject in event.subjects}
    assert kinds == {"alert", "deployment", "model_version", "monitor"}
    assert report.digest in {subject.digest for subject in event.subjects}


def test_an_open_alert_is_not_raised_again_and_a_closed_one_is(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": float(at), "y": float(at)} for at in range(300)])
    monitors, alerts = world.monitors(), alerts_of(world)
    monitors.create(world.act, "watch", "demo")
    for _ in range(3):
        world.decide([{"x": float(at) + 200, "y": float(at)} for at in range(0, 300, 2)])
        monitors.check(world.act, "watch")
    (first,) = alerts.open_for(world.act.project_key, "watch")
    assert first.columns == ["x"]
    closed = alerts.close(world.act, first.id, reason="recalibrated")
    assert (closed.state, closed.closed_us) == ("closed", world.clock.now_us())
    world.decide([{"x": float(at) + 200, "y": float(at)} for at in range(0, 300, 2)])
    monitors.check(world.act, "watch")
    (second,) = alerts.open_for(world.act.project_key, "watch")
    assert second.id != first.id
    # A column that no open alert names is news.
    for _ in range(6):
        world.decide([{"x": float(at) + 200, "y": -1.0} for at in range(0, 300, 2)])
        monitors.check(world.act, "watch")
    assert [alert.columns for alert in alerts.open_for(world.act.project_key, "watch")] == [
        ["x"],
        ["x", "y"],
    ]


def test_too_little_is_not_judged_and_candidates_do_not_count(sqlite_world: World) -> None:
    world = sqlite_world
    rows = [{"x": float(at)} for at in range(300)]
    world.add_version(rows)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo")
    world.decide(rows[:60])
    assert monitors.check(world.act, "watch") is None
    world.decide(rows[:200], is_candidate=True)
    assert monitors.check(world.act, "watch") is None
    assert monitors.due() == []
    world.decide(rows[60:120])
    report = monitors.check(world.act, "watch")
    assert report is not None
    assert (report.n, report.rows, report.reference_rows) == (1, 120, 300)
    assert monitors.check(world.act, "watch") is None


def test_another_champion_begins_another_window(sqlite_world: World) -> None:
    world = sqlite_world
    low, high = [{"x": float(at)} for at in range(200)], [{"x": 900.0 + at} for at in range(200)]
    world.add_version(low)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo")
    world.decide(high)
    first = monitors.check(world.act, "watch")
    assert first is not None
    assert (first.version, first.drifted) == (1, ["x"])
    world.add_version(high)
    # Late decisions of the old champion are not held against the new one's profile.
    world.decide(low[:150], version=1)
    world.decide(high)
    second = monitors.check(world.act, "watch")
    assert second is not None
    assert (second.version, second.rows, second.drifted, second.window) == (2, 200, [], 1)
    world.serve(1)
    world.decide(low)
    third = monitors.check(world.act, "watch")
    assert third is not None
    assert (third.version, third.rows, third.drifted, third.window) == (1, 200, [], 2)


def test_one_check_goes_to_the_end_of_the_window(sqlite_world: World) -> None:
    world = sqlite_world
    rows = [{"x": float(at)} for at in range(150)]
    world.add_version(rows)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo", MonitorSpec(window_rows=250))
    for _ in range(5):
        world.decide(rows)
    seen: list[tuple[int, int]] = []
    while monitors.due():
        report = monitors.check(world.act, "watch")
        assert report is not None
        seen.append((report.window, report.rows))
    assert seen == [(1, 300), (2, 300), (3, 150)]


def test_two_workers_at_once_take_one_look_each(world: World) -> None:
    rows = [{"x": float(at)} for at in range(300)]
    world.add_version(rows)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo")
    found: list[DriftReport | None] = []
    barrier = threading.Barrier(2)

    def check() -> None:
        barrier.wait()
        found.append(monitors.check(world.act, "watch"))

    for _ in range(4):
        world.decide(rows)
        workers = [threading.Thread(target=check) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    taken = [report.n for report in found if report is not None]
    assert sorted(taken) == [1, 2, 3, 4]
    reports = monitors.reports(world.act.project_key, "watch")
    assert [report.n for report in reports] == [4, 3, 2, 1]


def test_the_same_decisions_give_the_same_digest(sqlite_world: World, cancer: Cancer) -> None:
    world = sqlite_world
    world.add_version(cancer.rows(cancer.reference))
    drawn = cancer.rows(cancer.live)
    digests: list[str] = []
    for name, count in (("one", 1), ("two", 3)):
        monitors = world.monitors()
        if count == 1:
            world.decide(drawn)
        monitors.create(world.act, name, "demo")
        report = monitors.check(world.act, name)
        assert report is not None
        digests.append(report.digest)
    assert digests[0] == digests[1]


def test_creating_a_monitor_again(world: World) -> None:
    world.add_version([{"x": 1.0}])
    monitors = world.monitors()
    first = monitors.create(world.act, "watch", "demo", MonitorSpec(alpha=0.01))
    assert monitors.create(world.act, "watch", "demo", MonitorSpec(alpha=0.01)) == first
    assert monitors.list_all(world.act.project_key) == [first]
    assert len(world.journal.events(kinds=["MonitorCreated"])) == 1
    with pytest.raises(Conflict, match="with other settings"):
        monitors.create(world.act, "watch", "demo")
    with pytest.raises(NotFound, match="no deployment 'dmo'") as missing:
        monitors.create(world.act, "other", "dmo")
    assert missing.value.fix == "did you mean 'demo'?"
    with pytest.raises(NotFound, match="no monitor 'wach'"):
        monitors.get(world.act.project_key, "wach")


def test_a_version_without_a_profile_is_said_so(sqlite_world: World) -> None:
    world = sqlite_world
    world.add_version([{"x": 1.0}], with_profile=False)
    world.decide([{"x": 1.0}])
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo")
    with pytest.raises(Conflict, match="demo@v1 has no training profile"):
        monitors.check(world.act, "watch")


def test_settings_that_cannot_be_kept_are_named() -> None:
    with pytest.raises(Invalid) as found:
        check_spec(
            MonitorSpec(alpha=0, min_effect=-1, min_rows=10, window_rows=5, accuracy_floor=2)
        )
    assert found.value.why == (
        "alpha is 0; it lies between 0 and 1; min_effect is -1; it lies from 0 to below 1; "
        "window_rows is 5; it lies at least min_rows, 10; accuracy_floor is 2; "
        "it lies between 0 and 1"
    )


def test_accuracy_certainly_below_its_floor_raises_an_alert(sqlite_world: World) -> None:
    world = sqlite_world
    rows = [{"x": float(at)} for at in range(120)]
    world.add_version(rows)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo", MonitorSpec(accuracy_floor=0.9))
    decisions = world.decide(rows, predictions=[1] * 120)
    labels = Labels(world.database, world.artifacts, world.journal, world.clock)

    def label(at: slice, value: int) -> None:
        labels.add(
            world.act, "demo", [Label(decision=one.id, value=value) for one in decisions[at]]
        )

    monitors.check(world.act, "watch")
    label(slice(0, 40), 1)
    assert [due.name for due in monitors.due()] == ["watch"]
    assert monitors.check(world.act, "watch") is None
    assert alerts_of(world).list_all(world.act.project_key) == []
    assert monitors.due() == []
    label(slice(40, 80), 0)
    assert monitors.check(world.act, "watch") is None
    (alert,) = alerts_of(world).list_all(world.act.project_key, state="open")
    assert (alert.kind, alert.columns) == ("performance", [])
    assert alert.message == (
        "accuracy 0.500 on 80 labelled decisions of 80 cases, certainly below 0.9"
    )
    label(slice(80, 120), 0)
    monitors.check(world.act, "watch")
    assert len(alerts_of(world).list_all(world.act.project_key)) == 1


def test_one_thing_judged_wrongly_often_is_no_evidence_about_all_things(
    sqlite_world: World,
) -> None:
    # By row the accuracy would be 0.5 on 120; by case it is 0.98 on 61.
    world = sqlite_world
    rows = [{"x": float(at)} for at in range(120)]
    world.add_version(rows)
    monitors = world.monitors()
    monitors.create(world.act, "watch", "demo", MonitorSpec(accuracy_floor=0.9))
    cases = [f"case {at}" for at in range(60)] + ["stuck"] * 60
    decisions = world.decide(rows, predictions=[1] * 120, cases=cases)
    Labels(world.database, world.artifacts, world.journal, world.clock).add(
        world.act,
        "demo",
        [Label(decision=one.id, value=int(at < 60)) for at, one in enumerate(decisions)],
    )
    monitors.check(world.act, "watch")
    assert alerts_of(world).list_all(world.act.project_key) == []
