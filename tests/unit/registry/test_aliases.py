from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.registries import Home
from millwright.core.errors import Conflict, Invalid, NeedsApproval, NotFound
from millwright.core.ids import ActorId, EventId
from millwright.metadata.database import Writer
from millwright.records.events import Act
from millwright.records.models import AliasChange, ModelVersion
from millwright.registry.aliases import Aliases, way_back


@pytest.fixture
def churn(home: Home) -> Home:
    """A registry whose model `churn` has three versions."""
    home.models.create(home.act, name="churn")
    for seed in range(3):
        home.models.register(home.act, name="churn", package_digest=home.package(seed))
    return home


def set_to(home: Home, version: int, reason: str = "better") -> AliasChange:
    home.clock.advance(10)
    return home.aliases.set_alias(
        home.because(reason), name="churn", alias="champion", version=version
    )


def points_at(home: Home) -> int | None:
    return home.models.model(home.act.project_key, "churn").aliases.get("champion")


class TestMoving:
    def test_a_move_is_history_and_an_event_with_its_reason(self, churn: Home) -> None:
        first, second = set_to(churn, 1, "the first"), set_to(churn, 2, "it is better")
        assert (second.version, second.previous, second.reason) == (2, 1, "it is better")
        assert churn.aliases.history(churn.act.project_key, "churn") == [first, second]
        assert points_at(churn) == 2
        event = churn.journal.get(second.event)
        assert event.kind == "AliasMoved"
        assert event.detail == {
            "name": "churn",
            "alias": "champion",
            "version": 2,
            "previous": 1,
            "reason": "it is better",
        }
        assert [s.kind for s in event.subjects] == ["model", "model_version", "model_version"]

    def test_moving_to_where_it_points_records_nothing(self, churn: Home) -> None:
        first = set_to(churn, 1)
        assert set_to(churn, 1, "again") == first
        assert churn.kinds().count("AliasMoved") == 1

    def test_it_moves_only_from_where_it_was_expected(self, churn: Home) -> None:
        act = churn.act
        churn.aliases.set_alias(
            act, name="churn", alias="champion", version=1, expected_previous=None
        )
        with pytest.raises(Conflict) as caught:
            churn.aliases.set_alias(
                act, name="churn", alias="champion", version=3, expected_previous=2
            )
        assert caught.value.what == "churn@champion points at v1"
        assert caught.value.why == "it was expected to point at v2"
        assert points_at(churn) == 1

    def test_a_version_that_is_not_there_and_a_name_that_cannot_be_are_refused(
        self, churn: Home
    ) -> None:
        with pytest.raises(NotFound, match="churn@v9"):
            set_to(churn, 9)
        for alias in ("latest", "v3", "a b"):
            with pytest.raises(Invalid):
                churn.aliases.set_alias(churn.act, name="churn", alias=alias, version=1)

    def test_a_removed_alias_points_at_nothing(self, churn: Home) -> None:
        set_to(churn, 1)
        removed = churn.aliases.remove_alias(churn.act, name="churn", alias="champion")
        assert (removed.version, removed.previous) == (None, 1)
        assert points_at(churn) is None
        with pytest.raises(NotFound):
            churn.aliases.remove_alias(churn.act, name="churn", alias="champion")

    def test_a_guard_that_says_no_leaves_everything_as_it_was(self, churn: Home) -> None:
        def guard(tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
            del tx, act
            raise NeedsApproval(f"{version.name} v{version.version} as {alias} needs a yes")

        guarded = Aliases(churn.database, churn.journal, churn.clock, guard=guard)
        with pytest.raises(NeedsApproval, match="churn v1 as champion"):
            guarded.set_alias(churn.act, name="churn", alias="champion", version=1)
        assert points_at(churn) is None
        assert "AliasMoved" not in churn.kinds()


class TestRollback:
    def back(self, home: Home) -> AliasChange:
        home.clock.advance(10)
        return home.aliases.rollback(home.because("it broke"), name="churn", alias="champion")

    def test_it_goes_back_step_by_step_and_then_says_that_there_is_no_more(
        self, churn: Home
    ) -> None:
        for version in (1, 2, 3):
            set_to(churn, version)
        assert [self.back(churn).version, self.back(churn).version] == [2, 1]
        with pytest.raises(Conflict) as caught:
            self.back(churn)
        assert caught.value.why == "v1 is the first version it pointed at"
        assert points_at(churn) == 1

    def test_it_restores_what_was_removed(self, churn: Home) -> None:
        set_to(churn, 2)
        churn.aliases.remove_alias(churn.act, name="churn", alias="champion")
        assert self.back(churn).version == 2

    def test_without_a_reason_or_a_past_it_is_refused(self, churn: Home) -> None:
        with pytest.raises(NotFound, match="has no alias champion"):
            self.back(churn)
        set_to(churn, 1)
        with pytest.raises(Invalid, match="needs a reason"):
            churn.aliases.rollback(churn.because(" "), name="churn", alias="champion")

    def test_other_aliases_do_not_count(self, churn: Home) -> None:
        set_to(churn, 1)
        churn.aliases.set_alias(churn.act, name="churn", alias="challenger", version=2)
        with pytest.raises(Conflict, match="cannot be rolled back"):
            self.back(churn)


def test_it_is_known_who_was_champion_when(churn: Home) -> None:
    before_us = churn.clock.now_us()
    moves = [set_to(churn, 1), set_to(churn, 2)]
    removed = churn.aliases.remove_alias(churn.act, name="churn", alias="champion")

    def at(time_us: int) -> int | None:
        move = churn.aliases.move_before(churn.act.project_key, "churn", "champion", time_us)
        return None if move is None else move.version

    assert at(before_us) is None
    assert at(moves[0].time_us) == 1
    assert at(moves[1].time_us - 1) == 1
    assert at(removed.time_us) is None


def change(version: int | None) -> AliasChange:
    return AliasChange(
        alias="champion",
        version=version,
        previous=None,
        time_us=0,
        actor=ActorId("act_x"),
        reason="",
        event=EventId("evt_x"),
    )


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_going_back_never_comes_round(versions: list[int]) -> None:
    moves = [change(version) for version in versions]
    seen = [versions[-1]]
    while len(path := way_back(moves)) > 1:
        target = path[-2]
        assert target is not None
        assert target not in seen
        seen.append(target)
        moves.append(change(target))
    assert len(seen) <= len(set(versions))
