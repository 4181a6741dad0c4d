"""What is logged to runs while they run and, where the client cannot help it, after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millwright.core.clock import Clock
from millwright.core.digest import Digest
from millwright.core.errors import NotFound
from millwright.core.ids import RunId
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import inputs as input_tables
from millwright.metadata.tables import runs as tables
from millwright.metadata.tables import telemetry as telemetry_tables
from millwright.metadata.tables.telemetry import Keys
from millwright.records.events import Act, RunAmended, Subject
from millwright.records.runs import LoggedDataset, MetricPoint, RunLink
from millwright.tracking.handles import find_run, lock_active, lock_running
from millwright.tracking.limits import Limits
from millwright.tracking.quotas import check_points
from millwright.tracking.telemetry import check_texts, digest_of, store, stored_points


class Logs:
    """Takes what is logged to the runs of all projects of a home."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        keys: Keys,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._keys = keys
        self._limits = limits or Limits()

    def log_batch(
        self,
        act: Act,
        run: RunId,
        *,
        points: Sequence[MetricPoint] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log to a running run, all of it or nothing; the same again changes nothing.

        Raises Conflict when it has ended and ParamChanged when a parameter has another value.
        """
        self._log(act, run, points=points, params=params or {}, tags=tags or {}, amends=False)

    def amend(
        self,
        act: Act,
        run: RunId,
        *,
        points: Sequence[MetricPoint] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log as `log_batch` does, also to a run that has ended.

        The digest at its end does not cover what comes later; an event with a digest of its own
        does. For clients that log after the end, as those of MLflow do.
        """
        self._log(act, run, points=points, params=params or {}, tags=tags or {}, amends=True)

    def delete_tag(self, act: Act, run: RunId, name: str) -> None:
        """Remove a tag, of an ended run too; raises NotFound when there is none."""
        with self._database.write() as tx:
            handle = lock_active(tx, act.project_key, run)
            if not telemetry_tables.delete_tag(tx, run_pk=handle.pk, name=name):
                raise NotFound(f"run {run} has no tag {name!r}")
            if handle.status != "running":
                self._note_amended(tx, act, run, digest_of(points=(), params={}, tags={name: ""}))

    def log_links(self, act: Act, run: RunId, links: Sequence[RunLink]) -> None:
        """Record what a running run read and made."""
        with self._database.write() as tx:
            handle = lock_running(tx, act.project_key, run)
            tables.upsert_links(tx, run_pk=handle.pk, links=links)

    def log_datasets(self, act: Act, run: RunId, datasets: Sequence[LoggedDataset]) -> None:
        """Record data that a run read, of an ended run too, as its client describes it.

        Data that it has read already keep the context and tags that they were read with first.
        """
        with self._database.write() as tx:
            handle = lock_active(tx, act.project_key, run)
            input_tables.insert_datasets(
                tx, run_pk=handle.pk, experiment_pk=handle.experiment_pk, datasets=datasets
            )
            if handle.status != "running":
                digest = digest_of(points=(), params={}, tags={}, datasets=datasets)
                self._note_amended(tx, act, run, digest)

    def _log(
        self,
        act: Act,
        run: RunId,
        *,
        points: Sequence[MetricPoint],
        params: Mapping[str, str],
        tags: Mapping[str, str],
        amends: bool,
    ) -> None:
        check_texts("parameter", params)
        check_texts("tag", tags)
        points = stored_points(points, now_us=self._clock.now_us())

        def write() -> None:
            with self._database.write(relaxed=True) as tx:
                locked = lock_active if amends else lock_running
                handle = locked(tx, act.project_key, run)
                store(tx, self._keys, run, handle, points=points, params=params, tags=tags)
                if points:
                    check_points(tx, self._limits, run_pk=handle.pk, run=run)
                if handle.status != "running":
                    digest = digest_of(points=points, params=params, tags=tags)
                    self._note_amended(tx, act, run, digest)

        # Journaling what comes after a run's end makes it durable; all else waits for no disk.
        self._database.once(write, relaxed=True)

    def _note_amended(self, tx: Writer, act: Act, run: RunId, digest: Digest) -> None:
        detail = RunAmended(reason=act.reason, name=find_run(tx, act.project_key, run).name)
        self._journal.append(tx, act, detail, [Subject(kind="run", id=run, digest=digest)])
