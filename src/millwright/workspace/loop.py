"""Makes the automation worker of a home: which jobs it can do, and what it looks at."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager

import polars as pl

from millwright.automation.actions import CollectLabels, handlers
from millwright.automation.worker import Worker
from millwright.core.errors import Conflict, Invalid, MillwrightError
from millwright.core.ids import DecisionId, RunId
from millwright.metadata.tables import segments as segment_tables
from millwright.metadata.tables.deployments import RolloutRow
from millwright.records.events import Act, JsonValue
from millwright.records.serving import Cell
from millwright.workspace.config import Config
from millwright.workspace.open import Home
from millwright.workspace.pipelines import run_apart

WORKER = "worker"

_log = logging.getLogger(__name__)


def make_worker(home: Home, config: Config) -> Worker:
    """Return a worker for every project of the home; it acts as the service account `worker`."""
    first = home.session(home.principal(config.actor), config.project)
    service = home.ensure_service(WORKER, first)
    act = home.session(service, config.project).act("regular look")

    def run_pipeline(
        act: Act,
        pipeline: str,
        params: dict[str, JsonValue],
        *,
        is_wanted: Callable[[], bool],
    ) -> RunId:
        return run_apart(config, act, pipeline, params, is_wanted=is_wanted)

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
            collect=LabelledRows(home),
        ),
        ticks={"rollouts": look_at_rollouts(home, act), "monitors": check_monitors(home, act)},
    )


def look_at_rollouts(home: Home, act: Act) -> Callable[[], None]:
    """Return what takes a look at each running rollout that something has happened to."""

    def look() -> None:
        for row in home.deployments.running():
            # One that cannot be looked at must not keep the others waiting.
            with _told(f"rollout {row.id}"):
                if _is_worth_a_look(home, row):
                    home.deployments.look(_in_project(home, act, row.project_id), row.pk)

    return look


def check_monitors(home: Home, act: Act) -> Callable[[], None]:
    """Return what has each monitor look at decisions it has not seen."""

    def check() -> None:
        for due in home.monitors.due():
            with _told(f"monitor {due.name}"):
                home.monitors.check(_in_project(home, act, due.project_key), due.name)

    return check


class LabelledRows:
    """Makes dataset versions of a base version's rows and labelled decisions."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def choose(self, act: Act, args: CollectLabels) -> list[DecisionId]:
        """Return the labelled decisions there are, oldest first.

        Raises Conflict, to be tried again, when they are fewer than `min_labels`.
        """
        found = self._home.outcomes.labelled_rows(act.project_key, args.deployment)
        if len(found.labels) < args.min_labels:
            raise Conflict(
                f"{len(found.labels)} labels have arrived for {args.deployment}; "
                f"{args.min_labels} are needed",
                fix="send labels with `mill labels add`; it is tried again",
            )
        return found.decisions

    def build(self, act: Act, args: CollectLabels, decisions: list[DecisionId]) -> str:
        """Make a version of the base's rows and these decisions, and return its reference.

        Columns and their kinds are the base's; a number for a decision's case fills the key, so
        that all rows of one case stay on one side of a split. The same decisions make the same
        version. Raises Invalid when the base lacks the target or the key.
        """
        base = self._home.datasets.load(act.project_key, args.base)
        for name in (args.target, args.key):
            if name not in base.columns:
                raise Invalid(f"{args.base} has no column {name!r}")
        found = self._home.outcomes.labelled_rows(act.project_key, args.deployment)
        wanted = set(decisions)
        places = [at for at, one in enumerate(found.decisions) if one in wanted]
        # A case is known by the order in which it came first: the same decisions make the same
        # rows wherever they were taken, which a hash under a deployment's own key would not.
        cases = [found.cases[at] for at in places]
        numbers = {case: f"live-{at}" for at, case in enumerate(dict.fromkeys(cases))}
        known: dict[str, list[Cell]] = {args.key: [numbers[case] for case in cases]}
        known[args.target] = [found.labels[at] for at in places]
        for name in base.columns:
            if name not in known:
                values = found.columns.get(name)
                known[name] = [None if values is None else values[at] for at in places]
        schema = base.schema | {args.key: pl.String}
        labelled = pl.DataFrame(known, schema={name: schema[name] for name in known}, strict=False)
        rows = pl.concat(
            [base.with_columns(pl.col(args.key).cast(pl.String)), labelled.select(base.columns)]
        )
        version = self._home.datasets.add(act, args.dataset, rows)
        return f"{version.name}@v{version.version}"


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except MillwrightError as error:
        _log.warning("%s: %s", what, error)


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
