from __future__ import annotations

import pytest

from fixtures.homes import Place
from millwright.automation.rules import check_spec, fill_in, is_cooling, matches
from millwright.core.errors import Denied, Invalid
from millwright.core.ids import ActorId, EventId, ProjectId
from millwright.records.access import ActorKind
from millwright.records.automation import RuleSpec
from millwright.records.events import Event, JsonValue

RETRAIN = RuleSpec(
    event="AlertRaised",
    where={"deployment": "web", "kind": "drift"},
    job="pipeline.run",
    args={"pipeline": "train.py", "params": {"why": "${monitor} said: ${message}"}},
)


def event(kind: str = "AlertRaised", detail: dict[str, JsonValue] | None = None) -> Event:
    raised: dict[str, JsonValue] = {
        "reason": "",
        "monitor": "watch",
        "deployment": "web",
        "version": 3,
        "kind": "drift",
        "columns": ["age", "income"],
        "message": "2 columns moved",
    }
    return Event(
        id=EventId("evt_1"),
        place=0,
        kind=kind,
        kind_version=1,
        project=ProjectId("prj_1"),
        actor=ActorId("act_1"),
        time_us=0,
        subjects=[],
        cause=None,
        request=None,
        detail=raised if detail is None else detail,
    )


class TestMatches:
    def test_kind_and_every_field_of_where_must_be_as_asked(self) -> None:
        assert matches(RETRAIN, event())
        assert matches(RuleSpec(event="AlertRaised", job="pipeline.run"), event())
        assert not matches(RETRAIN, event(kind="AlertClosed"))
        assert not matches(RETRAIN, event(detail={"deployment": "web", "kind": "performance"}))
        assert not matches(RETRAIN, event(detail={"kind": "drift"}))

    def test_values_are_compared_as_they_are_also_lists_and_nothing(self) -> None:
        def asked(where: dict[str, JsonValue]) -> bool:
            return matches(RuleSpec(event="AlertRaised", where=where, job="pipeline.run"), event())

        assert asked({"version": 3})
        assert not asked({"version": "3"})
        assert asked({"columns": ["age", "income"]})
        assert not asked({"columns": ["age"]})
        # A field without a value is one that is None, or not there.
        gate = event(kind="GateEvaluated", detail={"baseline": None})
        first = RuleSpec(event="GateEvaluated", where={"baseline": None}, job="gate.check")
        assert matches(first, gate)

    def test_an_event_whose_detail_was_erased_is_answered_by_no_rule(self) -> None:
        erased = Event(
            id=EventId("evt_1"),
            place=0,
            kind="AlertRaised",
            kind_version=1,
            project=ProjectId("prj_1"),
            actor=ActorId("act_1"),
            time_us=0,
            subjects=[],
            cause=None,
            request=None,
            detail=None,
        )
        assert not matches(RuleSpec(event="AlertRaised", job="pipeline.run"), erased)


class TestFillIn:
    def test_a_text_that_is_one_field_takes_the_value_itself(self) -> None:
        assert fill_in("${version}", event()) == 3
        assert fill_in("${columns}", event()) == ["age", "income"]

    def test_within_other_text_it_is_written_out(self) -> None:
        assert fill_in("web@v${version}", event()) == "web@v3"
        assert fill_in("${deployment}/${monitor}", event()) == "web/watch"

    def test_lists_and_objects_are_filled_in_and_other_values_left_alone(self) -> None:
        template: JsonValue = {"a": ["${version}", {"b": "v${version}"}], "c": 1.5, "d": None}
        assert fill_in(template, event()) == {"a": [3, {"b": "v3"}], "c": 1.5, "d": None}

    def test_what_only_looks_like_a_field_stays(self) -> None:
        for text in ("$version", "{version}", "${Version}", "${}", "$${", "100 $"):
            assert fill_in(text, event()) == text

    def test_a_value_with_a_field_in_it_is_not_filled_in_again(self) -> None:
        tricky = event(detail={"message": "${monitor}", "monitor": "secret"})
        assert fill_in("${message}!", tricky) == "${monitor}!"


class TestCheckSpec:
    def test_a_rule_that_can_fire_is_returned(self) -> None:
        assert check_spec(RETRAIN) is RETRAIN

    @pytest.mark.parametrize(
        ("spec", "said", "fix"),
        [
            (
                RuleSpec(event="AlertRised", job="pipeline.run"),
                "no event is called 'AlertRised'",
                "did you mean 'AlertRaised'?",
            ),
            (
                RuleSpec(event="Detail", job="pipeline.run"),
                "no event is called 'Detail'",
                "did you mean 'DetailErased'?",
            ),
            (
                RuleSpec(event="AlertRaised", where={"deploiment": "web"}, job="pipeline.run"),
                "AlertRaised has no field 'deploiment'",
                "did you mean 'deployment'?",
            ),
            (
                RuleSpec(
                    event="AlertRaised", job="pipeline.run", args={"params": {"x": ["${modl}"]}}
                ),
                "AlertRaised has no field 'modl'",
                "",
            ),
            (
                RuleSpec(event="AlertRaised", job="pipelin.run"),
                "no job is called 'pipelin.run'",
                "did you mean 'pipeline.run'?",
            ),
            (
                RuleSpec(event="RuleFired", job="pipeline.run"),
                "a rule cannot answer RuleFired",
                "answer what the other rule's job brings about",
            ),
            (
                RuleSpec(event="AlertRaised", job="pipeline.run", cool_down_s=-1.0),
                r"cool_down_s is -1\.0",
                "",
            ),
        ],
    )
    def test_one_that_never_could_is_refused_naming_what_it_may_have_meant(
        self, spec: RuleSpec, said: str, fix: str
    ) -> None:
        with pytest.raises(Invalid, match=said) as caught:
            check_spec(spec)
        assert caught.value.fix == fix


def test_a_rule_cools_down_for_its_time_and_not_before_it_ever_fired() -> None:
    spec = RuleSpec(event="AlertRaised", job="pipeline.run", cool_down_s=10.0)
    assert not is_cooling(spec, last_fired_us=None, now_us=0)
    assert is_cooling(spec, last_fired_us=0, now_us=9_999_999)
    assert not is_cooling(spec, last_fired_us=0, now_us=10_000_000)
    always = RuleSpec(event="AlertRaised", job="pipeline.run")
    assert not is_cooling(always, last_fired_us=0, now_us=0)


class TestPut:
    def test_a_rule_acts_under_a_name_of_its_own_as_an_editor_and_no_approver(
        self, place: Place
    ) -> None:
        made = place.me.rules.put(name="retrain", spec=RETRAIN, reason="data ages")
        assert (made.name, made.spec, made.enabled) == ("retrain", RETRAIN, True)
        assert place.me.rules.list_all() == [made]
        actor = place.home.directory.get(made.actor)
        assert (actor.kind, actor.name) == (ActorKind.RULE, "rule-default-retrain")
        principal = place.home.principal(made.actor)
        held = {role for roles in principal.grants.values() for role in roles}
        assert held == {"editor"}
        assert [one.detail for one in place.events("RuleCreated")] == [
            {
                "reason": "data ages",
                "name": "retrain",
                "event": "AlertRaised",
                "job": "pipeline.run",
            }
        ]

    def test_the_same_again_changes_nothing_and_another_replaces_it(self, place: Place) -> None:
        made = place.me.rules.put(name="retrain", spec=RETRAIN)
        assert place.me.rules.put(name="retrain", spec=RETRAIN) == made
        assert len(place.events("RuleCreated")) == 1
        other = RuleSpec(event="LabelsAdded", job="pipeline.run", args={"pipeline": "train.py"})
        changed = place.me.rules.put(name="retrain", spec=other)
        assert (changed.id, changed.actor, changed.spec) == (made.id, made.actor, other)
        assert place.me.rules.list_all() == [changed]
        assert len(place.events("RuleCreated")) == 2

    def test_rules_of_two_projects_are_two(self, sqlite_place: Place) -> None:
        sqlite_place.me.access.create_project(name="other")
        other = sqlite_place.home.door(sqlite_place.me.session.principal, "other")
        mine = sqlite_place.me.rules.put(name="retrain", spec=RETRAIN)
        assert other.rules.list_all() == []
        assert other.rules.put(name="retrain", spec=RETRAIN).actor != mine.actor

    def test_a_bad_rule_leaves_nothing_behind(self, sqlite_place: Place) -> None:
        before = len(sqlite_place.events())
        for name, spec in {
            "": RETRAIN,
            "retrain": RuleSpec(event="Nothing", job="pipeline.run"),
        }.items():
            with pytest.raises(Invalid):
                sqlite_place.me.rules.put(name=name, spec=spec)
        assert sqlite_place.me.rules.list_all() == []
        assert len(sqlite_place.events()) == before

    def test_a_viewer_may_look_and_not_make_any(self, sqlite_place: Place) -> None:
        viewer = sqlite_place.person("vic", "viewer")
        assert viewer.rules.list_all() == []
        with pytest.raises(Denied, match=r"rule\.write"):
            viewer.rules.put(name="retrain", spec=RETRAIN)
