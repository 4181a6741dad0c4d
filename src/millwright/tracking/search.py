"""Runs found by filter and order, page by page, with only the fields asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import RunId
from millwright.metadata.database import Database, Reader
from millwright.metadata.filters import Clause, FilterError, Vocabulary, parse_filter, parse_order
from millwright.metadata.paging import read_token, scope_of, write_token
from millwright.metadata.tables import experiments as experiment_tables
from millwright.metadata.tables import runs as run_tables
from millwright.metadata.tables.run_search import (
    Attribute,
    Query,
    count_runs,
    find_runs,
)
from millwright.metadata.tables.telemetry import Keys
from millwright.records.runs import Lifecycle, Run, RunKind
from millwright.tracking.experiments import find_experiment
from millwright.tracking.handles import find_run
from millwright.tracking.reading import WHOLE, complete
from millwright.tracking.vocabulary import ATTRIBUTES, RUNS

MAX_PAGE = 50_000


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """One page of a search, and the token by which to read on."""

    runs: list[Run]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search for runs, as somebody asks for it."""

    experiments: Sequence[str] = ()
    """Names, or numbers written `#3`; empty for all of the project."""
    filter: str = ""
    order: Sequence[str] = ()
    lifecycle: Lifecycle = "active"
    parent: RunId | None = None
    kinds: Sequence[RunKind] = ()
    fields: Sequence[str] | None = None
    """What is read of each run, as `metrics.auc` or `params`; None for everything."""
    with_points: bool = False
    """Whether each metric's newest point comes with its step and time."""


class Searches:
    """Searches in all projects of a home."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        *,
        vocabulary: Vocabulary = RUNS,
        attributes: Mapping[str, Attribute] = ATTRIBUTES,
    ) -> None:
        self._database = database
        self._keys = keys
        self._vocabulary = vocabulary
        self._attributes = attributes

    def find(
        self, project_key: int, wanted: Wanted, *, limit: int, token: str | None = None
    ) -> FoundRuns:
        """Return a page of runs, newest first where nothing else orders them.

        An experiment that is not there holds no runs. Raises FilterError, saying where, for a
        filter, order or token that cannot be, and Invalid for fields or a limit that cannot.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_PAGE} runs, not {limit}")
        fields = None if wanted.fields is None else check_fields(wanted.fields)
        scope = scope_of(
            "runs",
            project_key,
            list(wanted.experiments),
            wanted.filter,
            list(wanted.order),
            wanted.lifecycle,
            wanted.parent,
            list(wanted.kinds),
        )
        after = None if token is None else read_token(token, scope)
        with self._database.read() as tx:
            query = self._query(tx, project_key, wanted)
            if query is None:
                return FoundRuns([], None)
            found = find_runs(tx, self._keys, query, limit=limit, after=after)
            rows = run_tables.list_by_key(tx, pks=found.run_pks)
            runs = complete(tx, rows, fields=fields, with_points=wanted.with_points)
        cursor = found.cursor
        return FoundRuns(runs, None if cursor is None else write_token(cursor, scope))

    def count(self, project_key: int, wanted: Wanted) -> int:
        """Return how many runs fit, without reading them."""
        with self._database.read() as tx:
            query = self._query(tx, project_key, wanted)
            return 0 if query is None else count_runs(tx, self._keys, query)

    def _query(self, tx: Reader, project_key: int, wanted: Wanted) -> Query | None:
        clauses = parse_filter(wanted.filter, self._vocabulary)
        order = parse_order(wanted.order, self._vocabulary)
        rows = [_find(tx, project_key, ref) for ref in dict.fromkeys(wanted.experiments)]
        # Once each, also where one is named and numbered.
        experiments = list(dict.fromkeys(row.pk for row in rows if row is not None))
        if wanted.experiments and not experiments:
            return None
        parent = None if wanted.parent is None else find_run(tx, project_key, wanted.parent).pk
        return Query(
            experiments=experiments,
            project=project_key,
            clauses=[self._translated(clause) for clause in clauses],
            order=order,
            view=wanted.lifecycle,
            attributes=self._attributes,
            parent_pk=parent,
            kinds=wanted.kinds,
        )

    def _translated(self, clause: Clause) -> Clause:
        translate = self._attributes.get(clause.field.key) if _is_attribute(clause) else None
        if translate is None or translate.stored is None or clause.value is None:
            return clause
        if clause.op in {"LIKE", "ILIKE"}:
            raise FilterError(
                f"Invalid comparator {clause.op!r} for {clause.field.key}: it is compared whole",
                at=clause.at,
            )
        if isinstance(clause.value, tuple):
            return replace(clause, value=tuple(translate.stored(one) for one in clause.value))
        return replace(clause, value=translate.stored(str(clause.value)))


def check_fields(fields: Sequence[str]) -> frozenset[str]:
    """Return what is to be read of each run; raises Invalid for a group there is not."""
    for name in fields:
        group, dot, key = name.partition(".")
        if group not in WHOLE or (dot and (not key or group not in {"params", "tags", "metrics"})):
            raise Invalid(
                f"{name!r} is no field of a run",
                why=f"there are {', '.join(sorted(WHOLE))}, and single ones as metrics.auc",
            )
    return frozenset(fields)


def _is_attribute(clause: Clause) -> bool:
    return clause.field.entity == "attribute"


def _find(tx: Reader, project_key: int, ref: str) -> experiment_tables.ExperimentRow | None:
    try:
        return find_experiment(tx, project_key, ref)
    except NotFound:
        return None
