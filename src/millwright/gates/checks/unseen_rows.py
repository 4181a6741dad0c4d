"""A model is not judged on rows it was trained on."""

from __future__ import annotations

from millwright.gates.check import Evidence, Options
from millwright.records.models import CheckResult, Verdict


class UnseenRowsOptions(Options, frozen=True, kw_only=True):
    """There is nothing to set."""


class UnseenRows:
    """Fail when a judged row is among those either model was trained on."""

    options = UnseenRowsOptions

    def evaluate(self, evidence: Evidence, options: UnseenRowsOptions) -> list[CheckResult]:
        """Return the one result; undetermined when nobody knows what a model was trained on."""
        seen = {"candidate": evidence.candidate_seen_rows}
        if evidence.baseline is not None:
            seen["champion"] = evidence.baseline_seen_rows
        parts: list[str] = []
        verdict: Verdict = "pass"
        for who, count in seen.items():
            if count is None:
                verdict = "undetermined" if verdict == "pass" else verdict
                parts.append(
                    f"nobody knows which rows the {who} was trained on: its run logged none "
                    "(mw.log_dataset), or without the columns that it takes"
                )
            elif count:
                verdict = "fail"
                parts.append(f"the {who} was trained on {count} of the {evidence.rows} judged rows")
        return [
            CheckResult(
                name=options.name or "unseen-rows",
                kind="unseen_rows",
                verdict=verdict,
                message="; ".join(parts)
                or f"none of the {evidence.rows} judged rows was trained on",
                n=evidence.rows,
            )
        ]
