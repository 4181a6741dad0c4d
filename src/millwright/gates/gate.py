"""A gate: a list of checks, one verdict, and the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from millwright.core import plugins
from millwright.core.canonical import encode
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Invalid, MillwrightError
from millwright.core.refs import did_you_mean
from millwright.gates.check import GROUP, Evidence, Options, load_check
from millwright.gates.compare import metric_interval
from millwright.records.models import CheckResult, Verdict

REPORTED_METRICS = ("auc", "accuracy")


class GateSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gate as a user writes it: a list of checks with their options."""

    checks: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a gate found; the digest covers this and nothing else."""

    verdict: Verdict
    checks: list[CheckResult]
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    digest: Digest


def default_spec(*, metric: str, floor: float, margin: float) -> GateSpec:
    """Return the gate that is used where nobody wrote one."""
    return GateSpec(
        checks=[
            {"check": "signature"},
            {"check": "unseen_rows"},
            {"check": "floor", "metric": metric, "at_least": floor},
            {"check": "champion", "metric": metric, "margin": margin},
        ]
    )


def parse_spec(text: str | bytes) -> GateSpec:
    """Return the gate that YAML or JSON text describes.

    Raises Invalid naming the place of an unknown key, an unknown check, or a wrong value.
    """
    import yaml

    try:
        spec = msgspec.convert(yaml.safe_load(text), GateSpec)
    except yaml.YAMLError as error:
        raise Invalid("the gate is not readable YAML", why=str(error)) from error
    except msgspec.ValidationError as error:
        raise Invalid("the gate does not have the right shape", why=str(error)) from error
    for index in range(len(spec.checks)):
        _options(spec, index)
    return spec


def evaluate(spec: GateSpec, evidence: Evidence) -> Outcome:
    """Run every check and return one verdict.

    It fails when a check fails, is undetermined when none fails but one cannot tell, and
    passes only when all pass. A check that raises counts as undetermined, with its words.
    """
    if not spec.checks:
        raise Invalid("the gate has no checks", why="an empty gate would pass everything")
    if evidence.rows == 0:
        raise Invalid("there are no labelled rows to judge on")
    results: list[CheckResult] = []
    for index in range(len(spec.checks)):
        options = _options(spec, index)
        try:
            results.extend(load_check(options.check).evaluate(evidence, options))
        except MillwrightError as error:
            results.append(
                CheckResult(
                    name=options.name or options.check,
                    kind=options.check,
                    verdict="undetermined",
                    message=f"could not be evaluated: {error.what}",
                    n=evidence.rows,
                )
            )
    verdict = overall(results)
    metrics = _metrics(evidence, baseline=False)
    baseline_metrics = _metrics(evidence, baseline=True)
    digest = verdict_digest(verdict, results, metrics, baseline_metrics)
    return Outcome(verdict, results, metrics, baseline_metrics, digest)


def overall(results: Sequence[CheckResult]) -> Verdict:
    """Return the verdict on all results together: the worst of them."""
    verdicts = {result.verdict for result in results}
    if "fail" in verdicts:
        return "fail"
    return "undetermined" if "undetermined" in verdicts else "pass"


def verdict_digest(
    verdict: Verdict,
    results: Sequence[CheckResult],
    metrics: Mapping[str, float],
    baseline_metrics: Mapping[str, float],
) -> Digest:
    """Return the digest over a verdict and its figures, floats written as their shortest text."""
    return digest_bytes(
        encode(
            {
                "verdict": verdict,
                "checks": [
                    {
                        key: repr(value) if isinstance(value, float) else value
                        for key, value in msgspec.structs.asdict(result).items()
                    }
                    for result in results
                ],
                "metrics": {key: repr(value) for key, value in metrics.items()},
                "baseline": {key: repr(value) for key, value in baseline_metrics.items()},
            }
        )
    )


def _metrics(evidence: Evidence, *, baseline: bool) -> dict[str, float]:
    answers = evidence.baseline if baseline else evidence.candidate
    if answers is None:
        return {}
    found: dict[str, float] = {}
    for name in REPORTED_METRICS:
        try:
            found[name] = metric_interval(name, answers, evidence.truth, alpha=0.05).estimate
        except Invalid:
            continue  # Not every model has scores; what it has is reported.
    return found


def _options(spec: GateSpec, index: int) -> Options:
    raw = spec.checks[index]
    kind = raw.get("check")
    if not isinstance(kind, str) or kind not in plugins.names(GROUP):
        known = plugins.names(GROUP)
        raise Invalid(
            f"checks[{index}] asks for the check {kind!r}, which is not installed",
            why=f"there are: {', '.join(known)}",
            fix=did_you_mean(str(kind), known),
        )
    wanted = load_check(kind).options
    try:
        return msgspec.convert(raw, wanted)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"checks[{index}] ({kind}) cannot be read",
            why=str(error),
            fix=f"it takes: {', '.join(wanted.__struct_fields__)}",
        ) from error
