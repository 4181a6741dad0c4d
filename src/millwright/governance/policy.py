"""What a promotion needs before it may happen, decided from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millwright.core.digest import Digest
from millwright.core.errors import Refused
from millwright.records.models import Approval, GateReport, Risk


@dataclass(frozen=True, slots=True)
class Policy:
    """Which aliases are protected, and by what."""

    protected: frozenset[str] = frozenset({"champion"})
    """Aliases that decide what answers real requests."""
    needs_gate: bool = True
    """A protected alias goes only to a version whose newest gate verdict is a pass."""
    approval_days: float = 14.0
    """How long a request for approval stays open."""
    gate: str | None = None
    """The project's gate as YAML; None stands for the built-in one."""


def check_gate(
    policy: Policy,
    *,
    alias: str,
    ref: str,
    verdicts: Sequence[GateReport],
    champion: int | None,
) -> None:
    """Return when the newest of `verdicts` (newest first) lets `ref` have `alias`.

    Only verdicts of the project's gate count, or whoever wants a promotion could choose his own
    judge. `champion` is the version the alias points at now. Raises Refused naming the checks
    that said no, that there is no verdict, or that it compared with another champion.
    """
    if alias not in policy.protected or not policy.needs_gate:
        return
    verdicts = [verdict for verdict in verdicts if verdict.by_project_gate]
    if not verdicts:
        raise Refused(
            f"{ref} cannot become {alias}: the project's gate has not judged it",
            why=f"the alias {alias} is protected: it decides what answers requests",
            fix=f"mill gate check {ref} --data DATASET --target COLUMN",
        )
    newest = verdicts[0]
    if newest.verdict != "pass":
        failed = [check for check in newest.checks if check.verdict != "pass"]
        raise Refused(
            f"{ref} cannot become {alias}: its gate said {newest.verdict}",
            why="; ".join(f"{check.name}: {check.message}" for check in failed),
            fix=f"see the evidence: mill gate show {newest.id}",
        )
    if newest.baseline != champion:
        before = "no champion" if newest.baseline is None else f"v{newest.baseline}"
        raise Refused(
            f"{ref} cannot become {alias}: its gate compared it with {before}",
            why="there is none now" if champion is None else f"v{champion} is {alias} now",
            fix=f"judge it again: mill gate check {ref} --data DATASET --target COLUMN",
        )


def check_let_pass(policy: Policy, *, alias: str, ref: str, verdicts: Sequence[GateReport]) -> None:
    """Return when the project's gate has ever let `ref` pass; for who goes back to it.

    Raises Refused when it has not: a model may have been protected only after that version had
    the alias.
    """
    if alias not in policy.protected or not policy.needs_gate:
        return
    if not any(one.by_project_gate and one.verdict == "pass" for one in verdicts):
        raise Refused(
            f"{ref} cannot be {alias}: the project's gate has never let it pass",
            why=f"it had the alias {alias} before the model was protected",
            fix=f"mill gate check {ref} --data DATASET --target COLUMN",
        )


def needs_approval(policy: Policy, *, alias: str, risk: Risk) -> bool:
    """Tell whether somebody other than the requester must agree."""
    return alias in policy.protected and risk == "high"


def usable(approval: Approval | None, *, digest: Digest, now_us: int) -> bool:
    """Tell whether an approval allows the promotion of exactly this digest now."""
    return (
        approval is not None
        and approval.state == "approved"
        and approval.digest == digest
        and now_us < approval.expires_us
    )
