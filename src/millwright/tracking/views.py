"""Saved views: searches under names, checked when they are saved so that they open later."""

from __future__ import annotations

from millwright.core.clock import Clock
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import new_id
from millwright.core.refs import check_title, did_you_mean
from millwright.journal.log import Journal
from millwright.metadata.database import Database
from millwright.metadata.filters import parse_filter, parse_order
from millwright.metadata.tables import views as tables
from millwright.records.events import Act, Subject
from millwright.records.study_events import ViewChanged
from millwright.records.views import View, ViewSpec
from millwright.tracking.vocabulary import RUNS

MAX_COLUMNS = 200
MAX_COLUMN_CHARS = 300


class Views:
    """The saved views of all projects of a home."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def put(self, act: Act, name: str, spec: ViewSpec) -> View:
        """Save a search under a name, in place of the one that had it.

        Raises FilterError for a filter or an order that cannot be read, and Invalid for a name
        or columns that cannot be.
        """
        check_title(name, "view")
        parse_filter(spec.filter, RUNS)
        parse_order(spec.order, RUNS)
        if len(spec.columns) > MAX_COLUMNS or any(
            not one.strip() or len(one) > MAX_COLUMN_CHARS for one in spec.columns
        ):
            raise Invalid(
                "these cannot be the columns of a view",
                why=f"it has at most {MAX_COLUMNS}, each of 1 to {MAX_COLUMN_CHARS} characters",
            )
        with self._database.write() as tx:
            tables.put_view(
                tx,
                project=act.project_key,
                new_id=new_id("viw"),
                name=name,
                spec=spec,
                actor=act.actor,
                now_us=self._clock.now_us(),
            )
            found = tables.find_view(tx, project=act.project_key, name=name)
            assert found is not None, "it was saved just now"
            detail = ViewChanged(reason=act.reason, name=name)
            self._journal.append(tx, act, detail, [Subject(kind="saved_view", id=found.id)])
        return found

    def get(self, project_key: int, name: str) -> View:
        """Return the view of that name; raises NotFound, naming the nearest."""
        with self._database.read() as tx:
            found = tables.find_view(tx, project=project_key, name=name)
            if found is None:
                raise _no_view(name, tables.list_views(tx, project=project_key))
        return found

    def list_all(self, project_key: int) -> list[View]:
        """Return a project's views, by name."""
        with self._database.read() as tx:
            return tables.list_views(tx, project=project_key)

    def delete(self, act: Act, name: str) -> None:
        """Remove a view; raises NotFound."""
        with self._database.write() as tx:
            found = tables.find_view(tx, project=act.project_key, name=name)
            if found is None:
                raise _no_view(name, tables.list_views(tx, project=act.project_key))
            tables.delete_view(tx, project=act.project_key, name=name)
            detail = ViewChanged(reason=act.reason, name=name, removed=True)
            self._journal.append(tx, act, detail, [Subject(kind="saved_view", id=found.id)])


def _no_view(name: str, known: list[View]) -> NotFound:
    return NotFound(
        f"no view called {name!r}",
        fix=did_you_mean(name, [one.name for one in known]) or "`mill runs views list` shows them",
    )
