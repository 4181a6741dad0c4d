"""Logged models: what a run made, kept with its files whether or not the registry names it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from millwright.core.clock import Clock
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import LoggedModelId, RunId, in_our_spelling, new_id, parse_id
from millwright.core.refs import check_title
from millwright.journal.leaves import short_texts
from millwright.journal.log import Journal
from millwright.metadata.connection import Value
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.filters import Order, Vocabulary, check_terms, parse_filter, parse_order
from millwright.metadata.paging import read_token, scope_of, write_token
from millwright.metadata.parameters import in_list
from millwright.metadata.tables import finding
from millwright.metadata.tables import inputs as input_tables
from millwright.metadata.tables import logged_models as tables
from millwright.metadata.tables.finding import Scope, Spelled
from millwright.records.events import (
    Act,
    Detail,
    LoggedModelChanged,
    LoggedModelCreated,
    LoggedModelDeleted,
    LoggedModelFinished,
    RunAmended,
    Subject,
)
from millwright.records.runs import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelStatus,
    ModelUse,
)
from millwright.tracking.experiments import find_experiment
from millwright.tracking.files import digests_below, model_folder
from millwright.tracking.handles import find_handle, find_run, lock_active
from millwright.tracking.telemetry import ParamChanged, check_texts, digest_of

MAX_PAGE = 1000

VOCABULARY = Vocabulary(
    entities={
        "metrics": "metric",
        "metric": "metric",
        "params": "param",
        "param": "param",
        "tags": "tag",
        "tag": "tag",
        "attributes": "attribute",
        "attribute": "attribute",
    },
    numbers=frozenset({"created", "changed"}),
    texts=frozenset({"id", "name", "type", "status", "run"}),
    aliases={
        "model_id": "id",
        "model_type": "type",
        "source_run_id": "run",
        "creation_time": "created",
        "creation_timestamp": "created",
        "creation_timestamp_ms": "created",
        "last_updated_timestamp": "changed",
        "last_updated_timestamp_ms": "changed",
    },
)
ATTRIBUTES: Mapping[str, Spelled] = MappingProxyType(
    {
        "id": Spelled("m.id", stored=partial(in_our_spelling, prefix="lgm")),
        "name": Spelled("m.name"),
        "type": Spelled("m.type"),
        "status": Spelled("upper(m.status)"),
        "run": Spelled(
            "(SELECT r.id FROM run r WHERE r.pk = m.run_pk)",
            nullable=True,
            stored=partial(in_our_spelling, prefix="run"),
        ),
        "created": Spelled("m.created_us / 1000", is_number=True),
        "changed": Spelled("m.changed_us / 1000", is_number=True),
    }
)


@dataclass(frozen=True, slots=True)
class FoundModels:
    """One page of a search, and the token by which to read on."""

    models: list[LoggedModel]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class DatasetName:
    """Data that a metric is to have been measured on."""

    name: str
    digest: str | None = None


class LoggedModels:
    """The logged models of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def create(
        self,
        act: Act,
        *,
        experiment: str,
        name: str,
        run: RunId | None = None,
        type_: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        id_: LoggedModelId | None = None,
        created_us: int | None = None,
    ) -> LoggedModel:
        """Make a model that is yet to be filled; raises NotFound and Invalid.

        With an id of the caller's the same call may be made again: the model is then the one
        that is there.
        """
        check_title(name, "logged model")
        check_texts("parameter", params or {})
        check_texts("tag", tags or {})
        model = LoggedModelId(new_id("lgm") if id_ is None else parse_id(id_, "lgm"))
        with self._database.write() as tx:
            if tables.find_model(tx, project=act.project_key, model_id=model) is not None:
                return self._read(tx, act.project_key, model)
            now_us = self._clock.now_us()
            row = find_experiment(tx, act.project_key, experiment)
            pk = tables.insert_model(
                tx,
                model_id=model,
                project=act.project_key,
                experiment_pk=row.pk,
                run_pk=None if run is None else find_handle(tx, act.project_key, run).pk,
                name=name,
                type_=type_,
                actor=act.actor,
                created_us=now_us if created_us is None else created_us,
                now_us=now_us,
            )
            tables.upsert_texts(tx, "logged_model_param", pk=pk, texts=params or {})
            tables.upsert_texts(tx, "logged_model_tag", pk=pk, texts=tags or {})
            detail = LoggedModelCreated(name=name, experiment=row.name)
            subjects = [Subject(kind="logged_model", id=model)]
            if run is not None:
                subjects.append(Subject(kind="run", id=run))
            self._journal.append(tx, act, detail, subjects)
            return self._read(tx, act.project_key, model)

    def get(self, project_key: int, model: str, *, deleted: bool = False) -> LoggedModel:
        """Return a model; raises NotFound, also for a deleted one unless these are asked for."""
        with self._database.read() as tx:
            found = self._read(tx, project_key, model)
        if found.deleted_us is not None and not deleted:
            raise _no_model(model)
        return found

    def finish(self, act: Act, model: str, status: LoggedModelStatus) -> LoggedModel:
        """Say that a model is ready, or that it failed.

        The journal's event carries the digest over its parameters and files.
        """
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, model)
            tables.set_status(tx, pk=row.pk, status=status, now_us=self._clock.now_us())
            found = self._read(tx, act.project_key, model)
            if status != row.status:
                files = digests_below(tx, act.project_key, model_folder(found))
                digest = digest_of(points=(), params=found.params, tags={}, files=files)
                subject = Subject(kind="logged_model", id=row.id, digest=digest)
                detail = LoggedModelFinished(name=row.name, status=status)
                self._journal.append(tx, act, detail, [subject])
            return found

    def log_params(self, act: Act, model: str, params: Mapping[str, str]) -> None:
        """Record parameters of a model; raises ParamChanged when one has another value."""
        check_texts("parameter", params)
        with self._database.write() as tx:
            pk = self._row(tx, act.project_key, model).pk
            stored = self._read(tx, act.project_key, model).params
            changes = [
                (key, stored[key], value)
                for key, value in params.items()
                if stored.get(key, value) != value
            ]
            if changes:
                raise ParamChanged(f"logged model {model}", changes)
            tables.upsert_texts(tx, "logged_model_param", pk=pk, texts=params)

    def set_tags(self, act: Act, model: str, tags: Mapping[str, str]) -> LoggedModel:
        """Set tags, replacing earlier values."""
        check_texts("tag", tags)
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, model)
            tables.upsert_texts(tx, "logged_model_tag", pk=row.pk, texts=tags)
            self._note(tx, act, row, LoggedModelChanged(name=row.name, tags=short_texts(tags)))
            return self._read(tx, act.project_key, model)

    def delete_tag(self, act: Act, model: str, key: str) -> None:
        """Remove a tag; raises NotFound when there is none."""
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, model)
            if not tables.delete_tag(tx, pk=row.pk, key=key):
                raise NotFound(f"logged model {model} has no tag {key!r}")
            self._note(tx, act, row, LoggedModelChanged(name=row.name, removed=[key]))

    def log_metrics(self, act: Act, model: str, metrics: Sequence[LoggedModelMetric]) -> None:
        """Record what runs measured of a model; the same measurement again replaces it."""
        with self._database.write() as tx:
            pk = self._row(tx, act.project_key, model).pk
            rows: list[tables.MetricRow] = []
            for one in metrics:
                value = math.nan if one.value is None else float(one.value)
                rows.append(
                    tables.MetricRow(
                        model_pk=pk,
                        key=one.key,
                        run_pk=find_handle(tx, act.project_key, one.run).pk,
                        time_us=one.time_us,
                        step=one.step,
                        value=0.0 if math.isnan(value) else value,
                        nan=int(math.isnan(value)),
                        dataset_name=one.dataset_name,
                        dataset_digest=one.dataset_digest,
                    )
                )
            tables.upsert_metrics(tx, rows)

    def log_uses(self, act: Act, run: RunId, uses: Sequence[ModelUse]) -> None:
        """Record which models a run read or made, of an ended run too."""
        with self._database.write() as tx:
            handle = lock_active(tx, act.project_key, run)
            input_tables.upsert_uses(
                tx,
                run_pk=handle.pk,
                uses=[
                    (use.way, self._row(tx, act.project_key, use.model).pk, use.step)
                    for use in uses
                ],
            )
            if handle.status != "running":
                digest = digest_of(points=(), params={}, tags={}, models=uses)
                amended = RunAmended(name=find_run(tx, act.project_key, run).name)
                subject = Subject(kind="run", id=run, digest=digest)
                self._journal.append(tx, act, amended, [subject])

    def delete(self, act: Act, model: str) -> None:
        """Put a model away."""
        with self._database.write() as tx:
            row = self._row(tx, act.project_key, model)
            now_us = self._clock.now_us()
            tables.set_deleted(tx, pk=row.pk, deleted_us=now_us, now_us=now_us)
            self._note(tx, act, row, LoggedModelDeleted(name=row.name))

    def search(
        self,
        project_key: int,
        *,
        experiments: Sequence[str],
        filter_: str = "",
        order: Sequence[tuple[str, DatasetName | None]] = (),
        datasets: Sequence[DatasetName] = (),
        limit: int = 100,
        token: str | None = None,
    ) -> FoundModels:
        """Return models of these experiments that are not deleted, newest first where unordered.

        Comparisons of metrics are held against values measured on `datasets` where these are
        given; a term of the order looks at those of its own. Raises FilterError and Invalid.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_PAGE} models, not {limit}")
        clauses = parse_filter(filter_, VOCABULARY)
        check_terms(len(order))
        pages = scope_of(
            "logged models", project_key, list(experiments), filter_, list(order), list(datasets)
        )
        given: dict[str, Value] = {}
        orders = [_ordered(given, term, dataset) for term, dataset in order]
        with self._database.read() as tx:
            rows = [find_experiment(tx, project_key, ref) for ref in dict.fromkeys(experiments)]
            scope = _scope(given, project_key, [row.pk for row in rows], datasets)
            after = None if token is None else read_token(token, pages)
            pks, cursor = finding.find(tx, scope, clauses, orders, limit=limit, after=after)
            models = tables.to_models(tx, tables.list_by_key(tx, pks=pks))
        return FoundModels(models, None if cursor is None else write_token(cursor, pages))

    def _note(self, tx: Writer, act: Act, row: tables.ModelRow, detail: Detail) -> None:
        self._journal.append(tx, act, detail, [Subject(kind="logged_model", id=row.id)])

    def _row(self, tx: Reader, project_key: int, model: str) -> tables.ModelRow:
        row = self._any(tx, project_key, model)
        if row.deleted_us is not None:
            raise _no_model(model)
        return row

    def _any(self, tx: Reader, project_key: int, model: str) -> tables.ModelRow:
        row = tables.find_model(tx, project=project_key, model_id=parse_id(model, "lgm"))
        if row is None:
            raise _no_model(model)
        return row

    def _read(self, tx: Reader, project_key: int, model: str) -> LoggedModel:
        return tables.to_models(tx, [self._any(tx, project_key, model)])[0]


def _no_model(model: str) -> NotFound:
    return NotFound(f"no logged model {model!r} in this project")


def _scope(
    given: dict[str, Value],
    project_key: int,
    experiments: list[int],
    datasets: Sequence[DatasetName],
) -> Scope:
    given["project"] = project_key
    conditions = ["m.project_id = :project", "m.deleted_us IS NULL"]
    if experiments:
        fragment, more = in_list("experiment", experiments)
        conditions.append(f"m.experiment_pk IN {fragment}")
        given |= more
    return Scope(
        tables="logged_model m",
        alias="m",
        conditions=conditions,
        given=given,
        attributes=ATTRIBUTES,
        children={
            "metric": _measured(given, datasets),
            "param": "FROM logged_model_param c WHERE c.model_pk = m.pk AND c.key = :key",
            "tag": "FROM logged_model_tag c WHERE c.model_pk = m.pk AND c.key = :key",
        },
        last=(("m.created_us", True), ("m.id", False)),
    )


def _ordered(given: dict[str, Value], term: str, dataset: DatasetName | None) -> Order:
    order = parse_order([term], VOCABULARY)[0]
    if order.field.entity != "metric":
        return order
    return replace(order, rows=_measured(given, [] if dataset is None else [dataset]))


def _measured(given: dict[str, Value], datasets: Sequence[DatasetName]) -> str:
    """Return the SQL of a metric's values, on any of these data where there are some."""
    on: list[str] = []
    for dataset in datasets:
        name = f"name_{len(given)}"
        given[name] = dataset.name
        one = f"c.dataset_name = :{name}"
        if dataset.digest is not None:
            digest = f"digest_{len(given)}"
            given[digest] = dataset.digest
            one += f" AND c.dataset_digest = :{digest}"
        on.append(f"({one})")
    rows = "FROM logged_model_metric c WHERE c.model_pk = m.pk AND c.key = :key"
    return f"{rows} AND ({' OR '.join(on)})" if on else rows
