from __future__ import annotations

import numpy as np
import pytest

from millwright.core.errors import Invalid
from millwright.gates.check import Evidence
from millwright.gates.compare import Answers, Truth
from millwright.gates.gate import GateSpec, default_spec, evaluate, parse_spec
from millwright.records.models import CheckResult
from millwright.records.schema import Column, Signature

SIGNATURE = Signature(
    inputs=[Column(name="x", kind="float")],
    outputs=[Column(name="prediction", kind="integer"), Column(name="probability", kind="float")],
)


def answers(rng: np.random.Generator, positive: np.ndarray, skill: float) -> Answers:
    """A model whose score rises by `skill` deviations where the label is positive."""
    score = 1.0 / (1.0 + np.exp(-(rng.normal(size=len(positive)) + skill * (positive - 0.5))))
    return Answers(prediction=(score >= 0.5).astype(np.int64), score=score)


def evidence(
    *,
    rows: int = 400,
    candidate: float = 3.0,
    baseline: float | None = 3.0,
    seen: int | None = 0,
    signature: Signature = SIGNATURE,
    same: bool = False,
) -> Evidence:
    rng = np.random.default_rng(7)
    positive = (rng.random(rows) < 0.4).astype(np.float64)
    judged = answers(rng, positive, candidate)
    return Evidence(
        columns={"x": rng.normal(size=rows), "region": np.where(np.arange(rows) % 4, "NO", "SE")},
        truth=Truth(positive.astype(np.int64), positive),
        candidate=judged,
        candidate_signature=signature,
        candidate_seen_rows=seen,
        baseline=None if baseline is None else judged if same else answers(rng, positive, baseline),
        baseline_signature=None if baseline is None else SIGNATURE,
        baseline_seen_rows=0,
        seed=1,
    )


def one(check: dict[str, object], given: Evidence) -> CheckResult:
    results = evaluate(GateSpec(checks=[check]), given).checks
    assert len(results) == 1
    return results[0]


class TestVerdict:
    def test_a_sound_candidate_passes_the_default_gate_with_its_evidence(self) -> None:
        outcome = evaluate(default_spec(metric="auc", floor=0.7, margin=0.05), evidence(same=True))
        assert outcome.verdict == "pass"
        assert [check.kind for check in outcome.checks] == [
            "signature",
            "unseen_rows",
            "floor",
            "champion",
        ]
        assert set(outcome.metrics) == {"auc", "accuracy"}
        assert outcome.metrics == outcome.baseline_metrics

    def test_one_failed_check_fails_the_gate_and_the_rest_are_still_reported(self) -> None:
        outcome = evaluate(default_spec(metric="auc", floor=0.999, margin=0.05), evidence())
        assert outcome.verdict == "fail"
        assert [check.verdict for check in outcome.checks].count("fail") == 1
        assert len(outcome.checks) == 4

    def test_undetermined_is_no_pass(self) -> None:
        outcome = evaluate(default_spec(metric="auc", floor=0.7, margin=0.05), evidence(seen=None))
        assert outcome.verdict == "undetermined"

    def test_the_same_evidence_gives_the_same_digest_and_other_evidence_another(self) -> None:
        spec = default_spec(metric="auc", floor=0.7, margin=0.05)
        first, again, other = (evaluate(spec, evidence(rows=n)).digest for n in (400, 400, 401))
        assert first == again != other

    def test_no_rows_and_no_checks_are_refused(self) -> None:
        with pytest.raises(Invalid, match="no labelled rows"):
            evaluate(default_spec(metric="auc", floor=0.7, margin=0.05), evidence(rows=0))
        with pytest.raises(Invalid, match="has no checks"):
            evaluate(GateSpec(checks=[]), evidence())

    def test_a_check_that_cannot_be_evaluated_is_undetermined_with_its_words(self) -> None:
        result = one({"check": "slices", "column": "regoin"}, evidence())
        assert result.verdict == "undetermined"
        assert "no column 'regoin'" in result.message


class TestChampion:
    def test_an_equal_model_is_not_inferior_but_not_superior(self) -> None:
        check: dict[str, object] = {"check": "champion", "metric": "accuracy", "margin": 0.05}
        given = evidence(same=True)
        assert one(check, given).verdict == "pass"
        assert one(check | {"superior": True}, given).verdict == "undetermined"

    def test_a_much_worse_model_fails_and_a_much_better_one_is_superior(self) -> None:
        worse = one({"check": "champion", "metric": "auc"}, evidence(candidate=0.5))
        assert worse.verdict == "fail"
        assert worse.high is not None
        assert worse.high < -0.01
        better = one({"check": "champion", "superior": True}, evidence(baseline=0.5))
        assert better.verdict == "pass"

    def test_too_few_rows_are_undetermined_with_the_number_that_would_do(self) -> None:
        result = one(
            {"check": "champion", "metric": "accuracy", "margin": 0.02},
            evidence(rows=40, candidate=2.0, baseline=2.0),
        )
        assert result.verdict == "undetermined"
        assert result.n_needed is not None
        assert result.n_needed > 40

    def test_the_first_model_has_nothing_to_be_compared_with(self) -> None:
        result = one({"check": "champion"}, evidence(baseline=None))
        assert (result.verdict, result.baseline) == ("pass", None)
        assert "no champion yet" in result.message


class TestOtherChecks:
    def test_a_floor_that_must_be_certain_is_undetermined_when_the_interval_holds_it(self) -> None:
        given = evidence(rows=100)
        estimate = one({"check": "floor", "metric": "accuracy", "at_least": 0.0}, given).value
        assert estimate is not None
        check: dict[str, object] = {
            "check": "floor",
            "metric": "accuracy",
            "at_least": estimate - 0.01,
        }
        assert one(check, given).verdict == "pass"
        certain = one(check | {"certain": True}, given)
        assert certain.verdict == "undetermined"
        assert certain.n_needed is not None

    def test_a_slice_that_is_much_worse_is_named(self) -> None:
        given = evidence(rows=800)
        wrong = np.asarray(given.columns["region"]) == "SE"
        said = given.candidate.prediction.astype(np.int64)
        prediction = np.where(wrong, 1 - said, said)
        spoiled = Evidence(
            columns=given.columns,
            truth=given.truth,
            candidate=Answers(prediction, given.candidate.score),
            candidate_signature=SIGNATURE,
            candidate_seen_rows=0,
        )
        spec = GateSpec(checks=[{"check": "slices", "column": "region"}])
        results = {check.name: check.verdict for check in evaluate(spec, spoiled).checks}
        assert results == {"accuracy-region=NO": "pass", "accuracy-region=SE": "fail"}

    def test_a_new_column_another_kind_and_a_lost_output_are_each_named(self) -> None:
        other = Signature(
            inputs=[Column(name="x", kind="text"), Column(name="y", kind="float")],
            outputs=[Column(name="prediction", kind="integer")],
        )
        result = one({"check": "signature"}, evidence(signature=other))
        assert result.verdict == "fail"
        for said in ("'x' as text, champion float", "new column 'y'", "not give 'probability'"):
            assert said in result.message

    def test_rows_that_were_trained_on_fail(self) -> None:
        result = one({"check": "unseen_rows"}, evidence(seen=3))
        assert result.verdict == "fail"
        assert "trained on 3 of the 400 judged rows" in result.message

    def test_a_metric_that_needs_scores_is_undetermined_without_them(self) -> None:
        given = evidence()
        bare = Evidence(
            columns=given.columns,
            truth=given.truth,
            candidate=Answers(given.candidate.prediction, None),
            candidate_signature=SIGNATURE,
            candidate_seen_rows=0,
        )
        result = one({"check": "floor", "metric": "auc", "at_least": 0.5}, bare)
        assert result.verdict == "undetermined"
        assert "auc needs probabilities" in result.message


class TestSpec:
    def test_yaml_is_read_and_a_wrong_key_check_or_value_is_named(self) -> None:
        text = "checks:\n  - {check: floor, metric: auc, at_least: 0.8}\n  - {check: signature}\n"
        assert [check["check"] for check in parse_spec(text).checks] == ["floor", "signature"]
        for bad, said in {
            "checks: [{check: flor}]": "the check 'flor', which is not installed",
            "checks: [{check: floor, at_leats: 1}]": r"checks\[0\] \(floor\) cannot be read",
            "checks: [{check: floor, at_least: high}]": "cannot be read",
            "cheks: []": "right shape",
            "a: [": "not readable YAML",
        }.items():
            with pytest.raises(Invalid, match=said):
                parse_spec(bad)

    def test_an_unknown_metric_is_undetermined_and_the_nearest_offered(self) -> None:
        result = one({"check": "floor", "metric": "acuracy", "at_least": 0.5}, evidence())
        assert result.verdict == "undetermined"
        assert "no metric called 'acuracy'" in result.message
