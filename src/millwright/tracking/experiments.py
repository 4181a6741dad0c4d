"""Experiments: named sets of runs, numbered from 0 in each project; 0 is `Default`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from millwright.core.clock import Clock
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import new_id
from millwright.core.refs import check_title, did_you_mean
from millwright.journal.leaves import short_texts
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.filters import Vocabulary, parse_filter, parse_order
from millwright.metadata.paging import read_token, scope_of, write_token
from millwright.metadata.tables import experiments as tables
from millwright.metadata.tables import finding
from millwright.metadata.tables.finding import Scope, Spelled
from millwright.records.events import (
    Act,
    Detail,
    ExperimentChanged,
    ExperimentCreated,
    ExperimentDeleted,
    ExperimentRenamed,
    Subject,
)
from millwright.records.runs import Experiment, Lifecycle

DEFAULT_EXPERIMENT = "Default"
MAX_TAG_KEY_CHARS = 250
MAX_TAG_CHARS = 20_000
MAX_PAGE = 50_000


VOCABULARY = Vocabulary(
    entities={
        "tag": "tag",
        "tags": "tag",
        "attribute": "attribute",
        "attributes": "attribute",
    },
    numbers=frozenset({"creation_time", "last_update_time"}),
    texts=frozenset({"name", "experiment_id"}),
    aliases={"created": "creation_time", "changed": "last_update_time", "number": "experiment_id"},
    orderable=frozenset({"attribute"}),
)
ATTRIBUTES: Mapping[str, Spelled] = MappingProxyType(
    {
        "name": Spelled("e.name"),
        "experiment_id": Spelled("CAST(e.number AS TEXT)", order="e.number"),
        "creation_time": Spelled("e.created_us / 1000", is_number=True),
        "last_update_time": Spelled("e.changed_us / 1000", is_number=True),
    }
)


@dataclass(frozen=True, slots=True)
class FoundExperiments:
    """One page of a search, and the token by which to read on."""

    experiments: list[Experiment]
    next_token: str | None


class ExperimentExists(Conflict):
    """The name is taken, perhaps by an experiment that is deleted."""

    def __init__(self, name: str, deleted: bool) -> None:
        super().__init__(
            f"there is an experiment {name!r} already",
            why="it is deleted, and keeps its name until it is purged" if deleted else "",
            fix=f"restore it: mill experiment restore {name!r}" if deleted else "",
        )
        self.name = name
        self.deleted = deleted

    def __reduce__(self) -> tuple[object, ...]:
        return ExperimentExists, (self.name, self.deleted)


class Experiments:
    """The experiments of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def create(
        self,
        act: Act,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        location: str | None = None,
    ) -> Experiment:
        """Make an experiment; raises ExperimentExists when the name is taken."""
        check_title(name, "experiment")
        _check_tags(tags or {})
        with self._database.write() as tx:
            found = tables.find_by_name(tx, project=act.project_key, name=name)
            if found is not None:
                raise ExperimentExists(name, found.deleted_us is not None)
            pk = self.ensure_in(tx, act, name, location=location)
            tables.upsert_tags(tx, experiment_pk=pk, tags=tags or {})
            return tables.to_experiment(tables.find_by_key(tx, pk=pk), tags or {})

    def ensure_in(self, tx: Writer, act: Act, name: str, *, location: str | None = None) -> int:
        """Return the key of the experiment of that name, made when new.

        Raises Conflict when it is deleted.
        """
        pk, is_new = tables.ensure_experiment(
            tx,
            project=act.project_key,
            name=name,
            new_id=new_id("exp"),
            now_us=self._clock.now_us(),
            default=DEFAULT_EXPERIMENT,
            location=location,
        )
        if is_new:
            row = tables.find_by_key(tx, pk=pk)
            subject = Subject(kind="experiment", id=row.id)
            detail = ExperimentCreated(reason=act.reason, name=name)
            self._journal.append(tx, act, detail, [subject])
        elif (row := tables.find_by_name(tx, project=act.project_key, name=name)) is not None:
            _require_active(row)
        return pk

    def ensure_default(self, act: Act) -> None:
        """Make `Default`, number 0, where it is not there: MLflow's clients rely on it."""
        with self._database.read() as tx:
            if tables.find_by_number(tx, project=act.project_key, number=0) is not None:
                return
        with self._database.write() as tx:
            if tables.find_by_number(tx, project=act.project_key, number=0) is None:
                self.ensure_in(tx, act, DEFAULT_EXPERIMENT)

    def get(self, project_key: int, ref: str) -> Experiment:
        """Return an experiment by name or by number, written `#3`; raises NotFound."""
        with self._database.read() as tx:
            return _read(tx, [find_experiment(tx, project_key, ref)])[0]

    def list_all(self, project_key: int) -> list[Experiment]:
        """Return the project's experiments, also deleted ones, in the order they were made."""
        with self._database.read() as tx:
            return _read(tx, tables.list_rows(tx, project=project_key))

    def search(
        self,
        project_key: int,
        *,
        filter_: str = "",
        order: Sequence[str] = (),
        lifecycle: Lifecycle = "active",
        limit: int = 1000,
        token: str | None = None,
    ) -> FoundExperiments:
        """Return experiments that fit a filter, newest first where nothing else orders them.

        Raises FilterError and Invalid.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_PAGE} experiments, not {limit}")
        clauses = parse_filter(filter_, VOCABULARY)
        orders = parse_order(order, VOCABULARY)
        pages = scope_of("experiments", project_key, filter_, list(order), lifecycle)
        after = None if token is None else read_token(token, pages)
        scope = _scope(project_key, lifecycle, ordered=bool(orders))
        with self._database.read() as tx:
            pks, cursor = finding.find(tx, scope, clauses, orders, limit=limit, after=after)
            found = _read(tx, tables.list_by_key(tx, pks=pks))
        return FoundExperiments(found, None if cursor is None else write_token(cursor, pages))

    def rename(self, act: Act, ref: str, name: str) -> None:
        """Give an experiment another name; raises ExperimentExists when it is taken."""
        check_title(name, "experiment")
        with self._database.write() as tx:
            row = _require_active(find_experiment(tx, act.project_key, ref))
            taken = tables.find_by_name(tx, project=act.project_key, name=name)
            if taken is not None and taken.pk != row.pk:
                raise ExperimentExists(name, taken.deleted_us is not None)
            tables.rename(tx, pk=row.pk, name=name, now_us=self._clock.now_us())
            self._note(
                tx, act, row, ExperimentRenamed(reason=act.reason, name=name, previous=row.name)
            )

    def delete(self, act: Act, ref: str) -> None:
        """Put an experiment away, and its runs with it; raises Conflict when it is away."""
        with self._database.write() as tx:
            row = _require_active(find_experiment(tx, act.project_key, ref))
            tables.set_deleted(tx, pk=row.pk, now_us=self._clock.now_us(), deleted=True)
            self._note(tx, act, row, ExperimentDeleted(reason=act.reason, name=row.name))

    def restore(self, act: Act, ref: str) -> None:
        """Take an experiment and its runs back; raises Conflict when it is not deleted."""
        with self._database.write() as tx:
            row = find_experiment(tx, act.project_key, ref)
            if row.deleted_us is None:
                raise Conflict(f"the experiment {row.name!r} is not deleted")
            tables.set_deleted(tx, pk=row.pk, now_us=self._clock.now_us(), deleted=False)
            self._note(
                tx, act, row, ExperimentDeleted(reason=act.reason, name=row.name, restored=True)
            )

    def set_tags(self, act: Act, ref: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing earlier values."""
        _check_tags(tags)
        with self._database.write() as tx:
            row = _require_active(find_experiment(tx, act.project_key, ref))
            tables.upsert_tags(tx, experiment_pk=row.pk, tags=tags)
            tables.touch(tx, pk=row.pk, now_us=self._clock.now_us())
            detail = ExperimentChanged(reason=act.reason, name=row.name, tags=short_texts(tags))
            self._note(tx, act, row, detail)

    def delete_tag(self, act: Act, ref: str, key: str) -> None:
        """Remove a tag; raises NotFound when there is none."""
        with self._database.write() as tx:
            row = _require_active(find_experiment(tx, act.project_key, ref))
            if not tables.delete_tag(tx, experiment_pk=row.pk, key=key):
                raise NotFound(f"the experiment {row.name!r} has no tag {key!r}")
            tables.touch(tx, pk=row.pk, now_us=self._clock.now_us())
            detail = ExperimentChanged(reason=act.reason, name=row.name, removed=[key])
            self._note(tx, act, row, detail)

    def _note(self, tx: Writer, act: Act, row: tables.ExperimentRow, detail: Detail) -> None:
        self._journal.append(tx, act, detail, [Subject(kind="experiment", id=row.id)])


def find_experiment(tx: Reader, project_key: int, ref: str) -> tables.ExperimentRow:
    """Return the experiment of a name, or of a number written `#3`; raises NotFound."""
    number = ref[1:]
    if ref.startswith("#") and number.isascii() and number.isdigit() and len(number) < 19:
        row = tables.find_by_number(tx, project=project_key, number=int(number))
    else:
        row = tables.find_by_name(tx, project=project_key, name=ref)
    if row is None:
        known = [one.name for one in tables.list_rows(tx, project=project_key)]
        raise NotFound(
            f"no experiment called {ref!r}",
            fix=did_you_mean(ref, known) or "`mill experiment list` shows them",
        )
    return row


def _read(tx: Reader, rows: Sequence[tables.ExperimentRow]) -> list[Experiment]:
    tags = tables.read_tags(tx, pks=[row.pk for row in rows])
    return [tables.to_experiment(row, tags.get(row.pk, {})) for row in rows]


def _scope(project_key: int, lifecycle: Lifecycle, *, ordered: bool) -> Scope:
    conditions = ["e.project_id = :project"]
    if lifecycle != "all":
        conditions.append(f"e.deleted_us IS {'NULL' if lifecycle == 'active' else 'NOT NULL'}")
    return Scope(
        tables="experiment e",
        alias="e",
        conditions=conditions,
        given={"project": project_key},
        attributes=ATTRIBUTES,
        children={"tag": "FROM experiment_tag c WHERE c.experiment_pk = e.pk AND c.key = :key"},
        last=(("e.number", True),)
        if ordered
        else (("e.created_us / 1000", True), ("e.number", False)),
    )


def _require_active(row: tables.ExperimentRow) -> tables.ExperimentRow:
    if row.deleted_us is not None:
        raise Conflict(
            f"the experiment {row.name!r} is deleted",
            fix=f"restore it: mill experiment restore {row.name!r}",
        )
    return row


def _check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not key or len(key) > MAX_TAG_KEY_CHARS:
            raise Invalid(
                f"{key[:80]!r} cannot be the name of a tag",
                why=f"it has 1 to {MAX_TAG_KEY_CHARS} characters",
            )
        if len(value) > MAX_TAG_CHARS:
            raise Invalid(f"tag {key!r} has {len(value)} characters; {MAX_TAG_CHARS} are allowed")
