"""Makes the automation worker of a home: which jobs it can do, and what it looks at."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import polars as pl

from millwright.automation.actions import CollectLabels, handlers
from millwright.automation.worker import Worker
from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import RunId
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import RolloutRow
from millwright.records.events import Act, JsonValue
from millwright.workspace.config import Config
from millwright.workspace.open import Home
from millwright.workspace.pipelines import run_apart

WORKER = "worker"


def make_worker(home: Home, config: Config) -> Worker:
    """Return a worker for every project of the home; it acts as the service account `worker`."""
    first = home.session(home.principal(config.actor), config.project)
    service = home.ensure_service(WORKER, first)
    act = home.session(service, config.project).act("regular look")

    def run_pipeline(act: Act, pipeline: str, params: dict[str, JsonValue]) -> RunId:
        return run_apart(config, act, pipeline, params)

    def collect(act: Act, args: CollectLabels) -> str:
        return collect_labels(home, act, args)

    return Worker(
        home.database,
        home.journal,
        home.jobs,
        home.clock,
        owner=f"worker-{uuid.uuid4().hex[:8]}",
        handlers=handlers(
            permit=home.permit,
            judge=home.judge,
            promotions=home.promotions,
            run_pipeline=run_pipeline,
            collect=collect,
        ),
        ticks={"rollouts": look_at_rollouts(home, act), "monitors": check_monitors(home, act)},
    )


def look_at_rollouts(home: Home, act: Act) -> Callable[[], None]:
    """Return what takes a look at each running rollout that something has happened to."""

    def look() -> None:
        for row in home.deployments.running():
            if _is_worth_a_look(home, row):
                home.deployments.look(_in_project(home, act, row.project_id), row.pk)

    return look


def check_monitors(home: Home, act: Act) -> Callable[[], None]:
    """Return what has each monitor look at decisions it has not seen."""

    def check() -> None:
        for due in home.monitors.due():
            home.monitors.check(_in_project(home, act, due.project_key), due.name)

    return check


def collect_labels(home: Home, act: Act, args: CollectLabels) -> str:
    """Make a dataset version of a base version's rows and the labelled decisions since.

    Columns and their kinds are the base's; a number for a decision's case fills the key, so that
    all rows of one case stay on one side of a split. Raises Conflict, to be tried again,
    when fewer labels than `min_labels` have arrived.
    """
    base = home.datasets.load(act.project_key, args.base)
    for name in (args.target, args.key):
        if name not in base.columns:
            raise Invalid(f"{args.base} has no column {name!r}")
    found = home.outcomes.labelled_rows(act.project_key, args.deployment)
    if len(found.labels) < args.min_labels:
        raise Conflict(
            f"{len(found.labels)} labels have arrived for {args.deployment}; "
            f"{args.min_labels} are needed",
            fix="send labels with `mill labels add`; it is tried again",
        )
    # A case is known by the order in which it came first: the same decisions make the same rows
    # wherever they were taken, which a hash under a deployment's own key would not.
    numbers = {case: f"live-{at}" for at, case in enumerate(dict.fromkeys(found.cases))}
    features = [name for name in base.columns if name not in {args.target, args.key}]
    known = {name: found.columns.get(name, [None] * len(found.labels)) for name in features}
    known[args.target] = list(found.labels)
    known[args.key] = [numbers[case] for case in found.cases]
    schema = base.schema | {args.key: pl.String}
    labelled = pl.DataFrame(known, schema={name: schema[name] for name in known}, strict=False)
    rows = pl.concat(
        [base.with_columns(pl.col(args.key).cast(pl.String)), labelled.select(base.columns)]
    )
    version = home.datasets.add(act, args.dataset, rows)
    return f"{version.name}@v{version.version}"


def _is_worth_a_look(home: Home, row: RolloutRow) -> bool:
    overdue = home.clock.now_us() - row.step_started_us > row.plan.max_step_s * 1_000_000
    with home.database.read() as tx:
        arrived = segment_tables.segments_from(
            tx, deployment_pk=row.deployment_pk, from_pk=row.next_segment, limit=1
        )
    return overdue or bool(arrived)


def _in_project(home: Home, act: Act, project_key: int) -> Act:
    found = next(project for project in home.projects.list() if project.key == project_key)
    return Act(actor=act.actor, project=found.id, project_key=found.key, reason=act.reason)
