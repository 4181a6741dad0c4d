"""Deleted models and versions removed for good, unless something that accounts for them stays.

Who was champion when, what a gate said of it and who agreed are kept for as long as the home is:
a version that any of these name is left, and said to be. Bytes in the artifact store stay too;
`tracking.purge` says why.
"""

from __future__ import annotations

from millwright.core.clock import Clock, deadline_us
from millwright.metadata.database import Database
from millwright.metadata.tables import model_purging as tables
from millwright.metadata.tables.model_purging import DeletedModel, DeletedVersion
from millwright.records.events import Act, Subject
from millwright.records.purges import Kept, Purged
from millwright.records.study_events import ModelsPurged
from millwright.registry.models import Recorder

AT_ONCE = 100


class Purges:
    """Removes what was deleted in the registries of a home's projects."""

    def __init__(
        self, database: Database, recorder: Recorder, clock: Clock, *, retention_days: float
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        self._retention_days = retention_days

    def purge(
        self, act: Act, *, older_than_days: float | None = None, dry_run: bool = False
    ) -> Purged:
        """Remove what was deleted so many days ago and nothing names; or (`dry_run`) count it.

        Without a number of days, what is kept for restoring no longer. Raises Invalid for a time
        that cannot be.
        """
        days = self._retention_days if older_than_days is None else older_than_days
        before_us = deadline_us(self._clock.now_us(), days)
        kept: list[Kept] = []
        with self._database.read() as tx:
            found = tables.list_versions(tx, project=act.project_key, before_us=before_us)
            named = {one.pk: tables.name_version(tx, pk=one.pk) for one in found}
            models = tables.list_models(tx, project=act.project_key, before_us=before_us)
            names = {one.pk: tables.name_model(tx, pk=one.pk) for one in models}
        going = [one for one in found if not named[one.pk]]
        kept += [Kept(what=spelled(one), why=named[one.pk]) for one in found if named[one.pk]]
        versions = 0
        for batch in _batches(going):
            versions += len(batch) if dry_run else self._purge_versions(act, batch, before_us)
        left = {one.pk: one.versions for one in models}
        for one in going:
            if one.model_pk in left:
                left[one.model_pk] -= 1
        count = 0
        for one in models:
            why = names[one.pk] or ("it has versions that stay" if left[one.pk] else "")
            if why:
                kept.append(Kept(what=f"model {one.name}", why=why))
            elif dry_run or self._purge_model(act, one, before_us):
                count += 1
        return Purged(
            before_us=before_us, dry_run=dry_run, models=count, versions=versions, kept=kept
        )

    def _purge_versions(self, act: Act, batch: list[DeletedVersion], before_us: int) -> int:
        with self._database.write() as tx:
            for model_pk in sorted({one.model_pk for one in batch}):
                tables.lock_deleted(tx, model_pk=model_pk)
            # Asked again under the lock: it may have been restored, or named, meanwhile.
            gone = [
                one
                for one in batch
                if tables.is_still_deleted(tx, version_pk=one.pk, before_us=before_us)
                and not tables.name_version(tx, pk=one.pk)
            ]
            if not gone:
                return 0
            tables.delete_versions(tx, pks=[one.pk for one in gone])
            subjects = [Subject(kind="model_version", id=one.id) for one in gone]
            detail = ModelsPurged(reason=act.reason, models=0, versions=len(gone))
            self._recorder.append(tx, act, detail, subjects)
        return len(gone)

    def _purge_model(self, act: Act, one: DeletedModel, before_us: int) -> bool:
        with self._database.write() as tx:
            if not tables.delete_model(tx, pk=one.pk, before_us=before_us):
                return False
            detail = ModelsPurged(reason=act.reason, models=1, versions=0)
            self._recorder.append(tx, act, detail, [Subject(kind="model", id=one.id)])
        return True


def spelled(version: DeletedVersion) -> str:
    """Return a version as people write it."""
    return f"{version.model}@v{version.version}"


def _batches(found: list[DeletedVersion]) -> list[list[DeletedVersion]]:
    return [found[at : at + AT_ONCE] for at in range(0, len(found), AT_ONCE)]
