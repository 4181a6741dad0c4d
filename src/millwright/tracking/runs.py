"""Runs: started, logged to, finished; the event that closes one carries a digest of it all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from millwright.core.clock import Clock
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import RunId, bounds, new_id
from millwright.core.refs import LATEST, check_name, did_you_mean
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import pipelines as pipeline_tables
from millwright.metadata.tables import runs as tables
from millwright.records.events import Act, RunFinished, RunStarted, Subject
from millwright.records.runs import (
    Experiment,
    MetricPoint,
    Problem,
    Run,
    RunKind,
    RunLink,
    RunSource,
    RunStatus,
)
from millwright.tracking.environment import is_gone

DEFAULT_EXPERIMENT = "Default"
MAX_KEY_CHARS = 250
MAX_VALUE_CHARS = 8000
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first, and what to pass as `before` to read on."""

    runs: list[Run]
    next_before: RunId | None


class Runs:
    """The runs of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

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
    ) -> RunId:
        """Begin a run and return its id; the experiment and pipeline are made when new.

        Raises NotFound for an unknown parent and Invalid for a name that cannot be one.
        """
        check_name(name, "run")
        check_name(experiment, "experiment")
        with self._database.write() as tx:
            return self.start_in(
                tx,
                act,
                name=name,
                source=source,
                kind=kind,
                experiment=experiment,
                parent=parent,
                pipeline=pipeline,
            )

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
    ) -> RunId:
        """Begin a run in the caller's transaction."""
        now_us = self._clock.now_us()
        run = RunId(new_id("run"))
        experiment_pk, _ = tables.ensure_experiment(
            tx, project=act.project_key, name=experiment, new_id=new_id("exp"), now_us=now_us
        )
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
            parent_pk=None if parent is None else self._row(tx, act.project_key, parent).pk,
            pipeline_pk=pipeline_pk,
            kind=kind,
            name=name,
            actor=act.actor,
            start_us=now_us,
            source=source,
        )
        detail = RunStarted(reason=act.reason, name=name, kind=kind, experiment=experiment)
        self._journal.append(tx, act, detail, [Subject(kind="run", id=run)])
        return run

    def log_params(self, act: Act, run: RunId, params: Mapping[str, str]) -> None:
        """Record parameters of a running run; raises Conflict when one has another value."""
        _check_texts("parameter", params)
        with self._database.write() as tx:
            row = self._running(tx, act.project_key, run)
            changed = tables.insert_params(tx, run_pk=row.pk, params=params)
            if changed:
                raise Conflict(
                    f"run {run}: parameter {changed[0]!r} already has another value",
                    why="a parameter of a run is written once, so that the run can be repeated",
                    fix="start another run, or log what changes as a metric or a tag",
                )

    def set_tags(self, act: Act, run: RunId, tags: Mapping[str, str]) -> None:
        """Set tags of a running run, replacing earlier values."""
        _check_texts("tag", tags)
        with self._database.write() as tx:
            tables.upsert_tags(tx, run_pk=self._running(tx, act.project_key, run).pk, tags=tags)

    def log_metrics(self, act: Act, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Append points to a running run; a time of 0 stands for now, NaN is kept as None."""
        now_us = self._clock.now_us()
        for point in points:
            _check_key("metric", point.key)
        stored = [
            msgspec.structs.replace(
                point,
                time_us=point.time_us or now_us,
                value=None if point.value is None or math.isnan(point.value) else point.value,
            )
            for point in points
        ]
        with self._database.write() as tx:
            row = self._running(tx, act.project_key, run)
            tables.append_metrics(tx, run_pk=row.pk, experiment_pk=row.experiment_pk, points=stored)

    def log_links(self, act: Act, run: RunId, links: Sequence[RunLink]) -> None:
        """Record what a running run read and made."""
        with self._database.write() as tx:
            tables.upsert_links(tx, run_pk=self._running(tx, act.project_key, run).pk, links=links)

    def finish(
        self,
        act: Act,
        run: RunId,
        *,
        status: RunStatus = "finished",
        error: Problem | None = None,
        log_digest: Digest | None = None,
    ) -> None:
        """Close a run: nothing can be logged to it any more.

        The journal's event carries the digest over parameters, tags, metrics and links.
        Raises Conflict when it is closed already.
        """
        with self._database.write() as tx:
            self.finish_in(tx, act, run, status=status, error=error, log_digest=log_digest)

    def finish_in(
        self,
        tx: Writer,
        act: Act,
        run: RunId,
        *,
        status: RunStatus,
        error: Problem | None,
        log_digest: Digest | None,
    ) -> None:
        """Close a run in the caller's transaction."""
        if status == "running":
            raise Invalid("a run is not finished by the status 'running'")
        row = self._running(tx, act.project_key, run)
        telemetry = _telemetry_digest(tx, row.pk)
        ended = tables.end_run(
            tx,
            pk=row.pk,
            status=status,
            end_us=self._clock.now_us(),
            error=error,
            log_digest=log_digest,
            telemetry_digest=telemetry,
        )
        if not ended:
            raise _closed(run, "closed")
        detail = RunFinished(
            reason=act.reason,
            name=row.name,
            status=status,
            error=None if error is None else error.what,
        )
        self._journal.append(tx, act, detail, [Subject(kind="run", id=run, digest=telemetry)])

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
                if self._locked(tx, act.project_key, run).status != "running":
                    continue  # Somebody else has closed it since the list was read.
                self.finish_in(tx, act, run, status="failed", error=problem, log_digest=None)
                pipeline_tables.end_step_run(tx, run=run, outcome="failed")
                closed.append(run)
            return closed

    def get(self, project_key: int, ref: str) -> Run:
        """Return a run by id or unique id prefix; `latest` is the newest of all.

        Raises NotFound when there is none and Invalid when a prefix fits several.
        """
        with self._database.read() as tx:
            return _complete(tx, [self._row(tx, project_key, ref)])[0]

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
                experiment_pk = tables.find_experiment(tx, project=project_key, name=experiment)
                if experiment_pk is None:
                    known = [one.name for one in tables.list_experiments(tx, project=project_key)]
                    raise NotFound(
                        f"no experiment called {experiment!r}", fix=did_you_mean(experiment, known)
                    )
            rows = tables.list_runs(
                tx,
                project=project_key,
                experiment_pk=experiment_pk,
                pipeline=pipeline,
                kind=kind,
                parent=parent,
                before_pk=None if before is None else self._row(tx, project_key, before).pk,
                limit=limit + 1,
            )
            runs = _complete(tx, rows[:limit])
        return RunPage(runs, runs[-1].id if len(rows) > limit else None)

    def history(self, project_key: int, run: str, key: str) -> list[MetricPoint]:
        """Return every point of one metric in the order it was logged."""
        with self._database.read() as tx:
            row = self._row(tx, project_key, run)
            points = tables.read_history(tx, run_pk=row.pk, key=key)
        return [
            MetricPoint(key=point.key, value=point.value, step=point.step, time_us=point.time_us)
            for point in points
        ]

    def experiments(self, project_key: int) -> list[Experiment]:
        """Return the project's experiments in the order they were made."""
        with self._database.read() as tx:
            return tables.list_experiments(tx, project=project_key)

    def _row(self, tx: Reader, project_key: int, ref: str) -> tables.RunRow:
        if ref == LATEST:
            return _newest(tx, project_key)
        low, high = bounds(ref, "run")
        found = tables.find_runs_by_id(tx, project=project_key, low=low, high=high)
        if len(found) == 1:
            return found[0]
        if found:
            raise Invalid(f"{ref!r} begins more than one run's id", fix="give more characters")
        raise NotFound(f"no run {ref!r} in this project", fix="`mill runs list` shows them")

    def _running(self, tx: Writer, project_key: int, run: RunId) -> tables.RunRow:
        row = self._locked(tx, project_key, run)
        if row.status != "running":
            raise _closed(run, row.status)
        return row

    def _locked(self, tx: Writer, project_key: int, run: RunId) -> tables.RunRow:
        """Return the row as it is once this transaction alone may write to the run.

        On PostgreSQL another writer may have numbered points, or closed the run, while this one
        waited; so it is read again.
        """
        tables.lock_run(tx, self._row(tx, project_key, run).pk)
        return self._row(tx, project_key, run)


def _closed(run: RunId, status: str) -> Conflict:
    return Conflict(
        f"run {run} is {status}: nothing can be logged to it any more", fix="start another run"
    )


def _newest(tx: Reader, project_key: int) -> tables.RunRow:
    found = tables.list_runs(
        tx,
        project=project_key,
        experiment_pk=None,
        pipeline=None,
        kind=None,
        parent=None,
        before_pk=None,
        limit=1,
    )
    if not found:
        raise NotFound("there are no runs yet", fix="start one with `mill run`")
    return found[0]


def _complete(tx: Reader, rows: list[tables.RunRow]) -> list[Run]:
    keys = [row.pk for row in rows]
    params = tables.read_params(tx, run_pks=keys)
    tags = tables.read_tags(tx, run_pks=keys)
    metrics = tables.read_metrics(tx, run_pks=keys)
    links = tables.read_links(tx, run_pks=keys)
    return [
        tables.to_run(
            row,
            params=params.get(row.pk, {}),
            tags=tags.get(row.pk, {}),
            metrics=metrics.get(row.pk, {}),
            links=links.get(row.pk, []),
        )
        for row in rows
    ]


def _telemetry_digest(tx: Reader, run_pk: int) -> Digest:
    logged = {
        "params": tables.read_params(tx, run_pks=[run_pk]).get(run_pk, {}),
        "tags": tables.read_tags(tx, run_pks=[run_pk]).get(run_pk, {}),
        "metrics": [_spelled(point) for point in tables.read_history(tx, run_pk=run_pk)],
        "links": tables.read_links(tx, run_pks=[run_pk]).get(run_pk, []),
    }
    return digest_bytes(msgspec.json.encode(logged, order="sorted"))


def _spelled(point: tables.StoredPoint) -> object:
    """Return a point as the digest covers it: JSON would write an infinite value as none."""
    if point.value is None or math.isfinite(point.value):
        return point
    return msgspec.structs.asdict(point) | {"value": repr(point.value)}


def _check_texts(noun: str, texts: Mapping[str, str]) -> None:
    for key, value in texts.items():
        _check_key(noun, key)
        if len(value) > MAX_VALUE_CHARS:
            raise Invalid(
                f"{noun} {key!r} has {len(value)} characters; {MAX_VALUE_CHARS} are allowed",
                fix="log long text as an artifact",
            )


def _check_key(noun: str, key: str) -> None:
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise Invalid(
            f"{key[:80]!r} cannot be the name of a {noun}",
            why=f"it has 1 to {MAX_KEY_CHARS} printable characters",
        )
