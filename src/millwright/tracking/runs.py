"""Runs: started, logged to, finished; the event that closes one carries a digest of it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import RunId, new_id, parse_id
from millwright.core.refs import check_title, did_you_mean
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import experiments as experiment_tables
from millwright.metadata.tables import pipelines as pipeline_tables
from millwright.metadata.tables import runs as tables
from millwright.metadata.tables import telemetry as telemetry_tables
from millwright.metadata.tables.telemetry import Keys
from millwright.records.events import (
    Act,
    RunDeleted,
    RunFinished,
    RunRenamed,
    RunResumed,
    RunScheduled,
    RunStarted,
    Subject,
)
from millwright.records.runs import (
    MetricPoint,
    Problem,
    Run,
    RunKind,
    RunLink,
    RunSource,
    RunStatus,
)
from millwright.tracking.environment import is_gone
from millwright.tracking.experiments import DEFAULT_EXPERIMENT, Experiments
from millwright.tracking.files import digests_below, folder_of_run
from millwright.tracking.handles import (
    closed,
    find_handle,
    find_run,
    lock_active,
    lock_handle,
    lock_running,
)
from millwright.tracking.limits import Limits
from millwright.tracking.logs import Logs
from millwright.tracking.metrics import Metrics
from millwright.tracking.quotas import check_runs
from millwright.tracking.reading import complete
from millwright.tracking.telemetry import (
    check_texts,
    digest_of_run,
)

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, and what to pass as `before` to read on."""

    runs: list[Run]
    next_before: RunId | None


class Runs:
    """The runs of all projects of a home."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        *,
        keys: Keys | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._keys = keys or Keys()
        self.limits = limits or Limits()
        """How much an experiment and a run may hold."""
        self.experiments = Experiments(database, journal, clock)
        """The sets that runs belong to."""
        self.logs = Logs(database, journal, clock, self._keys, limits=self.limits)
        """What is logged; the most used of it has a name here too."""
        self.metrics = Metrics(database, self._keys)
        """The histories of metrics."""

    def start(
        self,
        act: Act,
        *,
        name: str,
        source: RunSource,
        kind: RunKind = "script",
        experiment: str = DEFAULT_EXPERIMENT,
        parent: RunId | None = None,
        pipeline: str | None = None,
        id: RunId | None = None,  # noqa: A002 (the door's word)
        start_us: int | None = None,
        user: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> RunId:
        """Begin a run and return its id; the experiment and pipeline are made when new.

        With an `id` of the caller's the same call may be made again: the run is then the one
        that is there. Raises NotFound for an unknown parent, Invalid for a name or time that
        cannot be one, and Conflict for a deleted experiment or an id that is another's.
        """
        check_title(name, "run")
        check_title(experiment, "experiment")
        check_texts("tag", tags or {})
        with self._database.write() as tx:
            run = self.start_in(
                tx,
                act,
                name=name,
                source=source,
                kind=kind,
                experiment=experiment,
                parent=parent,
                pipeline=pipeline,
                id=id,
                start_us=start_us,
                user=user,
            )
            if tags:
                handle = find_handle(tx, act.project_key, run)
                telemetry_tables.upsert_tags(tx, self._keys, run_pk=handle.pk, tags=tags)
        return run

    def start_in(
        self,
        tx: Writer,
        act: Act,
        *,
        name: str,
        source: RunSource,
        kind: RunKind,
        experiment: str,
        parent: RunId | None,
        pipeline: str | None,
        id: RunId | None = None,  # noqa: A002 (the door's word)
        start_us: int | None = None,
        user: str = "",
    ) -> RunId:
        """Begin a run in the caller's transaction."""
        now_us = self._clock.now_us()
        run = RunId(new_id("run")) if id is None else RunId(parse_id(id, "run"))
        if id is not None:
            with suppress(NotFound):
                find_handle(tx, act.project_key, run)
                return run
        experiment_pk = self.experiments.ensure_in(tx, act, experiment)
        pipeline_pk = None
        if pipeline is not None:
            pipeline_pk = tables.ensure_pipeline(
                tx, project=act.project_key, name=pipeline, new_id=new_id("pip"), now_us=now_us
            )
        tables.insert_run(
            tx,
            run_id=run,
            project=act.project_key,
            experiment_pk=experiment_pk,
            parent_pk=None if parent is None else find_run(tx, act.project_key, parent).pk,
            pipeline_pk=pipeline_pk,
            kind=kind,
            name=name,
            actor=act.actor,
            start_us=now_us if start_us is None else start_us,
            source=source,
            user=user,
        )
        check_runs(tx, self.limits, experiment_pk=experiment_pk, experiment=experiment)
        detail = RunStarted(reason=act.reason, name=name, kind=kind, experiment=experiment)
        self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])
        return run

    def log_params(self, act: Act, run: RunId, params: Mapping[str, str]) -> None:
        """Record parameters of a running run; raises ParamChanged when one has another value."""
        self.logs.log_batch(act, run, params=params)

    def set_tags(self, act: Act, run: RunId, tags: Mapping[str, str]) -> None:
        """Set tags of a running run, replacing earlier values."""
        self.logs.log_batch(act, run, tags=tags)

    def log_metrics(self, act: Act, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Add points to a running run; a time of 0 is the present, NaN is kept as None."""
        self.logs.log_batch(act, run, points=points)

    def log_links(self, act: Act, run: RunId, links: Sequence[RunLink]) -> None:
        """Record what a running run read and made."""
        self.logs.log_links(act, run, links)

    def finish(
        self,
        act: Act,
        run: RunId,
        *,
        status: RunStatus = "finished",
        error: Problem | None = None,
        log_digest: Digest | None = None,
        end_us: int | None = None,
    ) -> None:
        """Close a run: nothing can be logged to it any more.

        The journal's event carries the digest over parameters, tags, metrics, links, artifacts,
        and the data and models it read and made.
        Raises Conflict when it is closed already.
        """
        with self._database.write() as tx:
            self.finish_in(
                tx, act, run, status=status, error=error, log_digest=log_digest, end_us=end_us
            )

    def finish_in(
        self,
        tx: Writer,
        act: Act,
        run: RunId,
        *,
        status: RunStatus,
        error: Problem | None,
        log_digest: Digest | None,
        end_us: int | None = None,
    ) -> None:
        """Close a run in the caller's transaction."""
        if status == "running":
            raise Invalid("a run is not finished by the status 'running'")
        handle = lock_running(tx, act.project_key, run)
        found = find_run(tx, act.project_key, run)
        folder = folder_of_run(found.experiment_number, run)
        files = digests_below(tx, act.project_key, folder)
        telemetry = digest_of_run(tx, handle.pk, files=files)
        ended = tables.end_run(
            tx,
            pk=handle.pk,
            status=status,
            end_us=self._clock.now_us() if end_us is None else end_us,
            error=error,
            log_digest=log_digest,
            telemetry_digest=telemetry,
        )
        if not ended:
            raise closed(run, "closed")
        detail = RunFinished(
            reason=act.reason,
            name=found.name,
            status=status,
            error=None if error is None else error.what,
        )
        self._journal.append(tx, act, detail, [Subject(kind="run", id=run, digest=telemetry)])

    def resume(self, act: Act, run: RunId) -> None:
        """Have a run that ended take logs again; one that runs stays as it is."""
        with self._database.write() as tx:
            handle = lock_active(tx, act.project_key, run)
            if tables.reopen_run(tx, pk=handle.pk):
                detail = RunResumed(reason=act.reason, name=find_run(tx, act.project_key, run).name)
                self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])

    def rename(self, act: Act, run: RunId, name: str) -> None:
        """Give a run another name."""
        check_title(name, "run")
        with self._database.write() as tx:
            handle = lock_active(tx, act.project_key, run)
            previous = find_run(tx, act.project_key, run).name
            if previous == name:
                return
            tables.rename_run(tx, pk=handle.pk, name=name)
            detail = RunRenamed(reason=act.reason, name=name, previous=previous)
            self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])

    def schedule(self, act: Act, run: RunId) -> None:
        """Say that a run waits to be started elsewhere."""
        with self._database.write() as tx:
            handle = lock_running(tx, act.project_key, run)
            tables.set_scheduled(tx, pk=handle.pk, is_scheduled=True)
            detail = RunScheduled(reason=act.reason, name=find_run(tx, act.project_key, run).name)
            self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])

    def delete(self, act: Act, run: RunId) -> None:
        """Put a run away; it can be restored until it is purged. One that is away stays so."""
        self._put_away(act, run, deleted_us=self._clock.now_us())

    def restore(self, act: Act, run: RunId) -> None:
        """Take a deleted run back; one that is not deleted stays as it is."""
        self._put_away(act, run, deleted_us=None)

    def close_abandoned(self, act: Act) -> list[RunId]:
        """Close the running runs whose process on this machine has been killed; return them.

        A process that is killed cannot say so itself; what it finished stays finished.
        """
        with self._database.write() as tx:
            lost = [
                row
                for row in tables.list_running(tx, project=act.project_key)
                if (process := row.source().process) is not None and is_gone(process)
            ]
            problem = Problem(code="failed", what="its process was killed", fix="run it again")
            closed: list[RunId] = []
            # Steps before the pipeline they belong to.
            for row in sorted(lost, key=lambda one: -one.pk):
                run = RunId(row.id)
                if lock_handle(tx, act.project_key, run).status != "running":
                    continue  # Somebody else has closed it since the list was read.
                self.finish_in(tx, act, run, status="failed", error=problem, log_digest=None)
                pipeline_tables.end_step_run(tx, run=run, outcome="failed")
                closed.append(run)
            return closed

    def get(self, project_key: int, ref: str, *, with_points: bool = False) -> Run:
        """Return a run by id or unique id prefix; `latest` is the newest of all.

        `with_points` adds step and time of each metric's newest point. Raises NotFound when there
        is none and Invalid when a prefix fits several.
        """
        with self._database.read() as tx:
            return complete(tx, [find_run(tx, project_key, ref)], with_points=with_points)[0]

    def list_page(
        self,
        project_key: int,
        *,
        experiment: str | None = None,
        pipeline: str | None = None,
        kind: RunKind | None = None,
        parent: RunId | None = None,
        before: RunId | None = None,
        limit: int = 100,
    ) -> RunPage:
        """Return runs, newest first; raises NotFound for an unknown experiment."""
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_PAGE} runs, not {limit}")
        with self._database.read() as tx:
            experiment_pk = None
            if experiment is not None:
                row = experiment_tables.find_by_name(tx, project=project_key, name=experiment)
                if row is None:
                    rows = experiment_tables.list_rows(tx, project=project_key)
                    raise NotFound(
                        f"no experiment called {experiment!r}",
                        fix=did_you_mean(experiment, [one.name for one in rows]),
                    )
                experiment_pk = row.pk
            rows = tables.list_runs(
                tx,
                project=project_key,
                experiment_pk=experiment_pk,
                pipeline=pipeline,
                kind=kind,
                parent=parent,
                before_pk=None if before is None else find_run(tx, project_key, before).pk,
                limit=limit + 1,
            )
            runs = complete(tx, rows[:limit])
        return RunPage(runs, runs[-1].id if len(rows) > limit else None)

    def _put_away(self, act: Act, run: RunId, *, deleted_us: int | None) -> None:
        with self._database.write() as tx:
            handle = lock_handle(tx, act.project_key, run)
            if (handle.deleted_us is None) == (deleted_us is None):
                return
            tables.set_deleted(tx, pk=handle.pk, deleted_us=deleted_us)
            row = find_run(tx, act.project_key, run)
            detail = RunDeleted(reason=act.reason, name=row.name, restored=deleted_us is None)
            self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])
