"""The embedded door's services: each turns an operation into one call of its room.

Nothing is decided here; what a door promises is kept by the rooms below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millwright.core.digest import Digest
from millwright.core.ids import EventId, JobId, noun_of
from millwright.doors.audit import Place, Proof, Verification
from millwright.doors.jobs import Status
from millwright.metadata.tables import gates as gate_tables
from millwright.metadata.tables import status as status_tables
from millwright.records.data import Dataset, DatasetVersion, Expectation, ValidationReport
from millwright.records.events import Event, JsonValue
from millwright.records.jobs import Job, JobState
from millwright.records.models import (
    GateReport,
)
from millwright.workspace.arguments import check_page, parse_choice

if TYPE_CHECKING:
    from millwright.workspace.open import Home
    from millwright.workspace.session import Session


def subject_of(identity: str) -> tuple[str, str]:
    """Return the kind and id under which the journal knows what has this id."""
    return noun_of(identity).replace(" ", "_"), identity


class Service:
    """What all services share: the home and who is working."""

    def __init__(self, home: Home, session: Session) -> None:
        self.home = home
        self.session = session


class Data(Service):
    """Fills `doors.data.Data`."""

    def list_all(self) -> list[Dataset]:
        return self.home.datasets.list_datasets(self.session.key)

    def add(
        self, *, name: str, digest: Digest, format: str, source: str, reason: str = ""
    ) -> DatasetVersion:
        act = self.session.act(reason)
        return self.home.datasets.add_stored(
            act, name, digest=digest, kept_as=format, source=source
        )

    def versions(self, *, name: str) -> list[DatasetVersion]:
        return self.home.datasets.list_versions(self.session.key, name)

    def show(self, *, ref: str) -> DatasetVersion:
        return self.home.datasets.get(self.session.key, ref)

    def profile(self, *, ref: str) -> dict[str, JsonValue]:
        return dict(self.home.datasets.profile(self.session.key, ref).summary())  # pyright: ignore[reportReturnType]

    def validate(
        self, *, ref: str, expectations: list[Expectation], reason: str = ""
    ) -> ValidationReport:
        return self.home.datasets.validate(self.session.act(reason), ref, expectations)


class Gates(Service):
    """Fills `doors.models.Gates`."""

    def check(
        self,
        *,
        ref: str,
        dataset: str,
        target: str,
        baseline: str | None = None,
        spec: str | None = None,
        reason: str = "",
    ) -> GateReport:
        return self.home.judge.check(
            self.session.act(reason),
            ref,
            dataset=dataset,
            target=target,
            baseline=baseline,
            spec=spec,
        )

    def show(self, *, id: str) -> GateReport:
        return self.home.judge.get(self.session.key, id)

    def verdicts(self, *, ref: str) -> list[GateReport]:
        version = self.home.version_row(self.session.key, ref)
        with self.home.database.read() as tx:
            return gate_tables.list_verdicts(tx, version_pk=version.pk)


class Jobs(Service):
    """Fills `doors.jobs.Jobs`."""

    def status(self) -> Status:
        with self.home.database.read() as tx:
            counted = status_tables.count_all(tx, project=self.session.key)
        return Status(
            home=self.home.id,
            project=self.session.project_name,
            version=self.home.version,
            datasets=counted.datasets,
            runs=counted.runs,
            models=counted.models,
            deployments=counted.deployments,
            open_alerts=counted.open_alerts,
            waiting_approvals=counted.waiting_approvals,
            queued_jobs=counted.queued_jobs,
            running_jobs=counted.running_jobs,
            events=counted.events,
            last_event_us=counted.last_event_us,
        )

    def submit(
        self, *, kind: str, args: dict[str, JsonValue], key: str | None = None, reason: str = ""
    ) -> Job:
        self.home.permit_job(self.session, kind)
        return self.home.jobs.enqueue(kind, args, act=self.session.act(reason), key=key)

    def list_all(self, *, state: str | None = None, limit: int = 100) -> list[Job]:
        wanted = None if state is None else parse_choice(state, JobState, "state of a job")
        return self.home.jobs.list(
            project_key=self.session.key, state=wanted, limit=check_page(limit)
        )

    def show(self, *, id: JobId) -> Job:
        return self.home.jobs.get(id, project_key=self.session.key)

    def cancel(self, *, id: JobId, reason: str = "") -> Job:
        return self.home.jobs.cancel(id, act=self.session.act(reason))


class Audit(Service):
    """Fills `doors.audit.Audit`."""

    def events(
        self,
        *,
        after: int = -1,
        limit: int = 100,
        kind: str | None = None,
        subject: str | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        return self.home.journal.events(
            after=after,
            limit=check_page(limit),
            project=self.session.key,
            kinds=None if kind is None else [kind],
            subject=None if subject is None else subject_of(subject),
            newest_first=newest_first,
        )

    def prove(self, *, id: str) -> Proof:
        return self.home.prove(EventId(id), project=self.session.project)

    def checkpoint(self) -> str:
        return self.home.journal.checkpoint()

    def verify(self, *, against: str | None = None) -> Verification:
        found = self.home.verify(against)
        return Verification(
            ok=found.ok,
            size=found.size,
            root=found.root.hex(),
            problems=[Place(place=one.place, what=one.what) for one in found.problems],
            cannot_exclude=found.cannot_exclude,
        )
