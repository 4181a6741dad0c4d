"""Requests that the champion answers must be answered by the candidate, too."""

from __future__ import annotations

from millwright.gates.check import Evidence, Options
from millwright.records.models import CheckResult


class SignatureOptions(Options, frozen=True, kw_only=True):
    """There is nothing to set."""


class SignatureCompatible:
    """Compare the columns both models take and give.

    The candidate may take fewer columns than the champion, but no new one, and none of another
    kind; it must give every output that the champion gives.
    """

    options = SignatureOptions

    def evaluate(self, evidence: Evidence, options: SignatureOptions) -> list[CheckResult]:
        """Return the one result."""
        problems: list[str] = []
        if evidence.baseline_signature is not None:
            taken = {column.name: column.kind for column in evidence.baseline_signature.inputs}
            for column in evidence.candidate_signature.inputs:
                if column.name not in taken:
                    problems.append(f"takes the new column {column.name!r}")
                elif taken[column.name] != column.kind:
                    problems.append(
                        f"takes {column.name!r} as {column.kind}, champion {taken[column.name]}"
                    )
            given = {column.name for column in evidence.candidate_signature.outputs}
            problems.extend(
                f"does not give {column.name!r}"
                for column in evidence.baseline_signature.outputs
                if column.name not in given
            )
        missing = [
            column.name
            for column in evidence.candidate_signature.inputs
            if column.name not in evidence.columns
        ]
        problems.extend(f"needs {name!r}, which the judged rows lack" for name in missing)
        good = "takes what the champion takes" if evidence.baseline_signature else "fits the rows"
        return [
            CheckResult(
                name=options.name or "signature",
                kind="signature",
                verdict="fail" if problems else "pass",
                message="; ".join(problems) or good,
                n=evidence.rows,
            )
        ]
