"""Deletion that deletes: what was put away long enough ago goes for good, and that is journaled.

Each transaction takes as many runs as it can remove in a moment, so that nobody who logs has to
wait for more. A run and all that was logged to it go in one: whoever restores it meanwhile has it
whole, or comes too late.

Bytes in the artifact store stay. They are known by their digest, and digests stand in packages,
trees, reports, segments and in the journal, and with clients that have stored bytes and not named
them yet: that nothing points at them cannot be proved from the tables.
"""

from __future__ import annotations

from millwright.core.clock import Clock, deadline_us
from millwright.core.ids import to_hex
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.tables import artifact_files as file_tables
from millwright.metadata.tables import purging as tables
from millwright.metadata.tables import studies as study_tables
from millwright.metadata.tables.purging import DeletedExperiment, DeletedRun
from millwright.records.events import Act, RunsPurged, Subject
from millwright.records.purges import Kept, Purged
from millwright.tracking.files import model_name

RUNS_AT_ONCE = 100
POINTS_AT_ONCE = 200_000


class Purges:
    """Removes what was deleted in the projects of a home."""

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, *, retention_days: float
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._retention_days = retention_days

    def purge(
        self, act: Act, *, older_than_days: float | None = None, dry_run: bool = False
    ) -> Purged:
        """Remove runs, experiments and logged models that were deleted so many days ago.

        Without a number of days, those that are kept for restoring no longer. May be ended at any
        time and begun again: what is gone is gone whole. With `dry_run` they are only counted.
        Raises Invalid for a time that cannot be.
        """
        days = self._retention_days if older_than_days is None else older_than_days
        before_us = deadline_us(self._clock.now_us(), days)
        if dry_run:
            return self._counted(act.project_key, before_us)
        runs, files = 0, 0
        while batch := self._batch(act.project_key, before_us):
            gone, taken = self._purge_runs(act, batch, before_us)
            runs, files = runs + gone, files + taken
        models = 0
        while True:
            gone, taken = self._purge_models(act, before_us)
            models, files = models + gone, files + taken
            if not gone:
                break
        experiments = 0
        kept: list[Kept] = []
        for one in self._experiments(act.project_key, before_us):
            why = reason_to_keep(one)
            if why:
                kept.append(Kept(what=f"experiment {one.name}", why=why))
                continue
            taken = self._purge_experiment(act, one, before_us)
            if taken is not None:
                experiments, files = experiments + 1, files + taken
        return Purged(
            before_us=before_us,
            dry_run=False,
            runs=runs,
            experiments=experiments,
            logged_models=models,
            files=files,
            kept=kept,
        )

    def _counted(self, project_key: int, before_us: int) -> Purged:
        with self._database.read() as tx:
            runs = tables.count_runs(tx, project=project_key, before_us=before_us)
            models = tables.count_models(tx, project=project_key, before_us=before_us)
            experiments = tables.list_experiments(tx, project=project_key, before_us=before_us)
        gone = [one for one in experiments if not one.newest]
        kept = [
            Kept(what=f"experiment {one.name}", why=reason_to_keep(one))
            for one in experiments
            if one.newest
        ]
        return Purged(
            before_us=before_us,
            dry_run=True,
            runs=runs,
            experiments=len(gone),
            logged_models=models,
            kept=kept,
        )

    def _batch(self, project_key: int, before_us: int) -> list[DeletedRun]:
        """Return the next runs, as many as one transaction takes, and one at the least."""
        batch: list[DeletedRun] = []
        points = 0
        with self._database.read() as tx:
            for run in tables.list_runs(
                tx, project=project_key, before_us=before_us, limit=RUNS_AT_ONCE
            ):
                points += tables.count_points(tx, run_pk=run.pk, limit=POINTS_AT_ONCE + 1)
                if batch and points > POINTS_AT_ONCE:
                    break
                batch.append(run)
        return batch

    def _purge_runs(self, act: Act, batch: list[DeletedRun], before_us: int) -> tuple[int, int]:
        with self._database.write() as tx:
            still = tables.lock_deleted(tx, pks=[run.pk for run in batch], before_us=before_us)
            gone = [run for run in batch if run.pk in still]
            if not gone:
                return 0, 0
            pks = [run.pk for run in gone]
            study_tables.delete_of_runs(tx, run_pks=pks)
            tables.delete_runs(tx, pks=pks)
            files = 0
            for run in gone:
                folder = f"{run.experiment}/{to_hex(run.id)}"
                files += file_tables.delete_below(tx, project=act.project_key, folder=folder)
            subjects = [Subject(kind="run", id=run.id) for run in gone]
            detail = RunsPurged(reason=act.reason, count=len(gone), files=files)
            self._journal.append(tx, act, detail, subjects)
        return len(gone), files

    def _purge_models(self, act: Act, before_us: int) -> tuple[int, int]:
        with self._database.write() as tx:
            found = tables.list_models(
                tx, project=act.project_key, before_us=before_us, limit=RUNS_AT_ONCE
            )
            if not found:
                return 0, 0
            tables.delete_models(tx, pks=[one.pk for one in found])
            files = 0
            for one in found:
                folder = f"{one.experiment}/models/{model_name(one.id)}"
                files += file_tables.delete_below(tx, project=act.project_key, folder=folder)
            subjects = [Subject(kind="logged_model", id=one.id) for one in found]
            detail = RunsPurged(reason=act.reason, count=0, logged_models=len(found), files=files)
            self._journal.append(tx, act, detail, subjects)
        return len(found), files

    def _experiments(self, project_key: int, before_us: int) -> list[DeletedExperiment]:
        with self._database.read() as tx:
            return tables.list_experiments(tx, project=project_key, before_us=before_us)

    def _purge_experiment(self, act: Act, one: DeletedExperiment, before_us: int) -> int | None:
        with self._database.write() as tx:
            if not tables.delete_experiment(tx, pk=one.pk, before_us=before_us):
                return None
            files = file_tables.delete_below(tx, project=act.project_key, folder=str(one.number))
            detail = RunsPurged(reason=act.reason, count=0, experiments=1, files=files)
            self._journal.append(tx, act, detail, [Subject(kind="experiment", id=one.id)])
        return files


def reason_to_keep(one: DeletedExperiment) -> str:
    """Return why a deleted experiment is kept; empty when it goes."""
    if one.has_runs:
        return "it has runs that were not deleted with it, or later"
    if one.newest:
        return "it has the project's highest number, which would be given again"
    return ""
