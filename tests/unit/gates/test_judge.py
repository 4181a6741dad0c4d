from __future__ import annotations

import polars as pl
import pytest

from fixtures.homes import SOURCE, TRAINED_ROWS, Place, table
from millwright.core.errors import Denied, Invalid, NotFound
from millwright.core.ids import GateId
from millwright.records.models import CheckResult, GateReport
from millwright.records.runs import RunLink

UNSEEN = table().slice(TRAINED_ROWS)
FLOOR = "checks: [{check: floor, metric: accuracy, at_least: %s}]"


def add(place: Place, rows: pl.DataFrame = UNSEEN, name: str = "held out") -> str:
    version = place.home.datasets.add(place.act, name, rows)
    return f"{version.name}@v{version.version}"


def check(place: Place, ref: str, dataset: str = "held out", **options: str) -> GateReport:
    return place.me.gates.check(ref=ref, dataset=dataset, target="y", **options)


def by_kind(report: GateReport) -> dict[str, CheckResult]:
    return {one.kind: one for one in report.checks}


class TestVerdict:
    def test_a_sound_model_passes_the_gate_nobody_wrote_with_evidence(self, place: Place) -> None:
        data = place.home.datasets.get(place.key, add(place))
        ref = place.trained()
        report = check(place, ref)
        assert (report.model, report.version, report.baseline) == ("churn", 1, None)
        assert report.verdict == "pass"
        assert list(by_kind(report)) == ["signature", "unseen_rows", "floor", "champion"]
        assert {one.n for one in report.checks} == {UNSEEN.height}
        assert set(report.metrics) == {"auc", "accuracy"}
        assert report.baseline_metrics == {}
        assert report.evidence == {"dataset": data.digest, "candidate": place.row(ref).digest}

        assert place.me.gates.show(id=report.id) == report
        assert place.me.gates.show(id=report.id[:-1]) == report
        assert place.me.gates.verdicts(ref=ref) == [report]
        event = place.events("GateEvaluated")[0]
        assert event.detail == {
            "reason": "",
            "name": "churn",
            "version": 1,
            "baseline": None,
            "verdict": "pass",
            "failed": [],
        }
        assert event.subjects[0].digest == report.digest
        assert place.me.models.promote(ref=ref).version == 1

    def test_a_no_is_recorded_and_no_error(self, sqlite_place: Place) -> None:
        add(sqlite_place)
        ref = sqlite_place.trained()
        report = check(sqlite_place, ref, spec=FLOOR % 0.9999)
        assert report.verdict == "fail"
        assert (sqlite_place.events("GateEvaluated")[0].detail or {})["failed"] == [
            "accuracy-floor"
        ]

    def test_the_same_evidence_gives_the_same_digest(self, sqlite_place: Place) -> None:
        add(sqlite_place)
        ref = sqlite_place.trained()
        first = check(sqlite_place, ref)
        sqlite_place.clock.advance(3600)
        again = check(sqlite_place, ref)
        other = check(sqlite_place, ref, dataset=add(sqlite_place, UNSEEN.head(100), "fewer"))
        assert first.digest == again.digest != other.digest
        assert first.id != again.id
        assert len(sqlite_place.me.gates.verdicts(ref=ref)) == 3

    def test_rows_without_a_label_are_not_judged_on(self, sqlite_place: Place) -> None:
        some = UNSEEN.with_columns(
            pl.when(pl.int_range(pl.len()) < 40).then(None).otherwise(pl.col("y")).alias("y")
        )
        add(sqlite_place, some)
        report = check(sqlite_place, sqlite_place.trained())
        assert {one.n for one in report.checks} == {UNSEEN.height - 40}


class TestUnseenRows:
    def test_rows_a_model_was_trained_on_are_found_by_their_key(self, sqlite_place: Place) -> None:
        place = sqlite_place
        # Two of the judged cases were trained on, with other values since.
        leaked = table().slice(TRAINED_ROWS - 2).with_columns(pl.col("x0") + 1.0)
        add(place, leaked)
        report = check(place, place.trained())
        found = by_kind(report)["unseen_rows"]
        assert (report.verdict, found.verdict) == ("fail", "fail")
        assert f"trained on 2 of the {leaked.height} judged rows" in found.message

    def test_without_a_run_nobody_knows(self, sqlite_place: Place) -> None:
        add(sqlite_place)
        report = check(sqlite_place, sqlite_place.version())
        assert (report.verdict, by_kind(report)["unseen_rows"].verdict) == (
            "undetermined",
            "undetermined",
        )

    def test_nor_where_the_judged_rows_lack_the_key(self, sqlite_place: Place) -> None:
        add(sqlite_place, UNSEEN.drop("id"))
        report = check(sqlite_place, sqlite_place.trained())
        assert by_kind(report)["unseen_rows"].verdict == "undetermined"

    def test_the_champion_must_not_have_seen_them_either(self, sqlite_place: Place) -> None:
        place = sqlite_place
        add(place)
        first = place.version(0)  # Nobody knows what this one was trained on.
        place.judged(first)
        place.me.models.promote(ref=first)
        found = by_kind(check(place, place.trained(1)))["unseen_rows"]
        assert found.verdict == "undetermined"
        assert "the champion was trained on" in found.message


class TestBaseline:
    def test_it_is_the_champion_unless_another_is_named(self, place: Place) -> None:
        add(place)
        first, second, third = (place.trained(seed) for seed in (0, 1, 2))
        place.judged(first)
        place.me.models.promote(ref=first)
        against = check(place, second)
        assert against.baseline == 1
        assert against.evidence["champion"] == place.row(first).digest
        assert set(against.baseline_metrics) == {"auc", "accuracy"}
        assert by_kind(against)["champion"].baseline == against.baseline_metrics["auc"]
        assert check(place, second, baseline=third).baseline == 3

    def test_a_champion_is_not_compared_with_itself(self, sqlite_place: Place) -> None:
        add(sqlite_place)
        ref = sqlite_place.trained()
        sqlite_place.judged(ref)
        sqlite_place.me.models.promote(ref=ref)
        assert check(sqlite_place, "churn@champion").baseline is None


class TestRefusals:
    def test_what_is_not_there_is_named_with_the_nearest(self, sqlite_place: Place) -> None:
        place = sqlite_place
        add(place)
        ref = place.trained()
        with pytest.raises(NotFound, match="the judged rows have no column 'vists'") as caught:
            place.me.gates.check(ref=ref, dataset="held out", target="vists")
        assert caught.value.fix == "did you mean 'visits'?"
        with pytest.raises(NotFound):
            check(place, "churn@v9")
        with pytest.raises(NotFound):
            check(place, ref, dataset="held in")
        with pytest.raises(NotFound):
            check(place, ref, baseline="churn@challenger")
        with pytest.raises(NotFound, match="no gate verdict"):
            place.me.gates.show(id=GateId("gat_" + "0" * 26))
        assert place.events("GateEvaluated") == []

    def test_a_gate_that_cannot_be_read_is_refused_before_it_judges(
        self, sqlite_place: Place
    ) -> None:
        add(sqlite_place)
        ref = sqlite_place.trained()
        for spec, said in {
            "checks: [{check: flor}]": "the check 'flor', which is not installed",
            "checks: []": "has no checks",
            "a: [": "not readable YAML",
        }.items():
            with pytest.raises(Invalid, match=said):
                check(sqlite_place, ref, spec=spec)
        assert sqlite_place.me.gates.verdicts(ref=ref) == []

    def test_rows_without_any_label_are_refused(self, sqlite_place: Place) -> None:
        bare = UNSEEN.with_columns(pl.lit(None, dtype=pl.Int64).alias("y"))
        add(sqlite_place, bare)
        with pytest.raises(Invalid, match="no labelled rows"):
            check(sqlite_place, sqlite_place.trained())

    def test_rows_that_the_model_cannot_take_name_the_column(self, sqlite_place: Place) -> None:
        add(sqlite_place, UNSEEN.drop("visits"))
        with pytest.raises(Invalid, match="visits"):
            check(sqlite_place, sqlite_place.trained())

    def test_who_may_not_judge_is_denied(self, sqlite_place: Place) -> None:
        add(sqlite_place)
        ref = sqlite_place.trained()
        with pytest.raises(Denied, match=r"gate\.run"):
            sqlite_place.person("vic", "viewer").gates.check(
                ref=ref, dataset="held out", target="y"
            )


class TestDataThatARunRead:
    """Of a model logged by `mw`, the data that its run read say what it was trained on."""

    def logged(self, place: Place, *read: pl.DataFrame) -> str:
        run = place.me.runs.start(name="fit", source=SOURCE).id
        links = [
            RunLink(
                way="input", name=made.name, what="dataset_version", id=made.id, digest=made.digest
            )
            for made in (
                place.home.datasets.add(place.act, f"read {at}", rows)
                for at, rows in enumerate(read)
            )
        ]
        place.me.runs.log_links(run=run, links=links)
        place.me.runs.finish(run=run)
        return place.version(run=run)

    def test_what_shares_no_row_with_them_is_unseen(self, place: Place) -> None:
        add(place)
        seen = table().head(TRAINED_ROWS)
        report = check(place, self.logged(place, seen.head(50), seen.tail(50).drop("id")))
        assert (by_kind(report)["unseen_rows"].verdict, report.verdict) == ("pass", "pass")

    def test_rows_that_it_read_are_found_by_all_columns_that_both_have(
        self, sqlite_place: Place
    ) -> None:
        add(sqlite_place)
        seen = pl.concat([table().head(TRAINED_ROWS), UNSEEN.head(7)]).drop("y")
        found = by_kind(check(sqlite_place, self.logged(sqlite_place, seen)))["unseen_rows"]
        assert found.verdict == "fail"
        assert "trained on 7 of the" in found.message

    @pytest.mark.parametrize("lacking", [True, False])
    def test_data_without_its_columns_and_no_data_say_nothing(
        self, sqlite_place: Place, lacking: bool
    ) -> None:
        add(sqlite_place)
        read = [table().head(20).select("id", "y")] if lacking else []
        found = by_kind(check(sqlite_place, self.logged(sqlite_place, *read)))["unseen_rows"]
        assert found.verdict == "undetermined"
        assert "mw.log_dataset" in found.message
