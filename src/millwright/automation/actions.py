"""What jobs do: each kind is one handler, which calls one operation of a room below.

Arguments are parsed into a struct before anything happens. A handler may be run again after a
crash: every operation it calls is idempotent or memoised as a step of its job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from millwright.core.errors import Invalid, NeedsApproval
from millwright.core.ids import DecisionId, RunId
from millwright.gates.judge import Judge
from millwright.governance.promotions import Promotions
from millwright.jobs.leases import Lease
from millwright.jobs.worker import Handler
from millwright.metadata.database import Writer
from millwright.records.access import Permission
from millwright.records.deployments import RolloutPlan
from millwright.records.events import Act, JsonValue
from millwright.records.models import GateReport

A = TypeVar("A", bound=Struct)


class RunPipeline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pipeline.run`: execute a pipeline of the project's folder."""

    pipeline: str
    """`FILE.py:NAME`, the file below the project's folder."""
    params: dict[str, JsonValue] = {}


class CheckGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gate.check`: judge a model version."""

    model: str
    dataset: str
    target: str
    baseline: str | None = None
    spec: str | None = None


class RollOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`deployment.roll_out`: begin to let a model version in."""

    deployment: str
    model: str
    plan: RolloutPlan | None = None


class CollectLabels(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`labels.collect`: make a dataset version of earlier rows and labelled decisions."""

    deployment: str
    dataset: str
    base: str
    """The dataset version whose rows come first, and whose columns count."""
    target: str
    key: str
    """Column that keeps the rows of one case together; decisions fill it with their case."""
    min_labels: int = 50


class PipelineRunner(Protocol):
    """Executes a pipeline; filled by the workspace, which knows how to make a host."""

    def __call__(
        self,
        act: Act,
        pipeline: str,
        params: dict[str, JsonValue],
        *,
        is_wanted: Callable[[], bool],
    ) -> RunId:
        """Return the run's id; raises Failed when a step failed, or nobody wants it any more."""
        ...


class Collector(Protocol):
    """Makes a dataset version of labelled decisions; filled by the workspace."""

    def choose(self, act: Act, args: CollectLabels) -> list[DecisionId]:
        """Return the labelled decisions there are; Conflict when too few labels have arrived."""
        ...

    def build(self, act: Act, args: CollectLabels, decisions: list[DecisionId]) -> str:
        """Return the reference of the version made of these; the same are the same version."""
        ...


DEFAULT_ATTEMPTS = 5
ATTEMPTS = {"labels.collect": 300}
"""Truth comes late: labels are waited for about a day, with pauses of at most five minutes."""

NEEDS: dict[str, Permission] = {
    "pipeline.run": Permission.PIPELINE_RUN,
    "gate.check": Permission.GATE_RUN,
    "deployment.roll_out": Permission.DEPLOYMENT_WRITE,
    "labels.collect": Permission.DATA_WRITE,
}
"""What an actor must be allowed to do for a job of each kind to be done in its name."""


def handlers(
    *,
    permit: Callable[[Act, Permission], None],
    judge: Judge,
    promotions: Promotions,
    run_pipeline: PipelineRunner,
    collect: Collector,
) -> dict[str, Handler]:
    """Return kind -> handler for every job a rule or a person may ask for.

    `permit` raises Denied unless the actor may do what the kind needs: a job opens no way
    around the permissions of whoever asked for it.
    """

    def do_pipeline(lease: Lease, args: RunPipeline) -> object:
        run = run_pipeline(
            lease.act, args.pipeline, args.params, is_wanted=lambda: not lease.is_gone
        )
        return {"run": run}

    def do_gate(lease: Lease, args: CheckGate) -> object:
        report = lease.step(
            "evaluated",
            lambda: judge.evaluate(
                lease.act,
                args.model,
                dataset=args.dataset,
                target=args.target,
                baseline=args.baseline,
                spec=args.spec,
            ),
            GateReport,
        )

        def record(tx: Writer) -> str:
            judge.record(tx, lease.act, report)
            return report.id

        return {"gate": lease.transact("recorded", record, str), "verdict": report.verdict}

    def do_rollout(lease: Lease, args: RollOut) -> object:
        begun = promotions.begun_since(
            lease.act, args.deployment, args.model, since_us=lease.job.created_us
        )
        if begun is not None:
            # This job began it, and was cut short before it could say so.
            return {"rollout": begun.id}
        try:
            rollout = promotions.roll_out(lease.act, args.deployment, args.model, args.plan)
        except NeedsApproval as waiting:
            # Not a failure: the request is recorded, and the approval's own event goes on.
            return {"waits": waiting.what}
        return {"rollout": rollout.id}

    def do_collect(lease: Lease, args: CollectLabels) -> object:
        # Chosen once: labels that come later belong to the next version, also after a crash.
        chosen = lease.step("chosen", lambda: collect.choose(lease.act, args), list[DecisionId])
        return {"dataset": collect.build(lease.act, args, chosen)}

    return {
        "pipeline.run": _parsed(RunPipeline, do_pipeline, permit),
        "gate.check": _parsed(CheckGate, do_gate, permit),
        "deployment.roll_out": _parsed(RollOut, do_rollout, permit),
        "labels.collect": _parsed(CollectLabels, do_collect, permit),
    }


def _parsed(
    shape: type[A], do: Callable[[Lease, A], object], permit: Callable[[Act, Permission], None]
) -> Handler:
    def handle(lease: Lease) -> object:
        permit(lease.act, NEEDS[lease.job.kind])
        try:
            args = msgspec.convert(lease.job.args, shape)
        except msgspec.ValidationError as error:
            raise Invalid(
                f"the job {lease.job.kind} cannot be done with what it was given",
                why=str(error),
                fix=f"it takes: {', '.join(shape.__struct_fields__)}",
            ) from error
        return do(lease, args)

    return handle
