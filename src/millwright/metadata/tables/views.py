"""The SQL of saved views."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from millwright.metadata.database import Reader, Writer
from millwright.records.views import View, ViewSpec


class _Row(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    spec_json: str
    actor: str
    changed_us: int

    def view(self) -> View:
        """Return the record of the row."""
        return msgspec.convert(
            {
                "id": self.id,
                "name": self.name,
                "spec": msgspec.json.decode(self.spec_json, type=ViewSpec),
                "actor": self.actor,
                "changed_us": self.changed_us,
            },
            View,
        )


_SELECT = "SELECT id, name, spec_json, actor, changed_us FROM saved_view"


def put_view(
    tx: Writer, *, project: int, new_id: str, name: str, spec: ViewSpec, actor: str, now_us: int
) -> None:
    """Save a view, in place of the one that had its name."""
    tx.run(
        """
        INSERT INTO saved_view (id, project_id, name, spec_json, actor, changed_us)
        VALUES (:id, :project, :name, :spec, :actor, :now)
        ON CONFLICT (project_id, name) DO UPDATE SET spec_json = excluded.spec_json,
            actor = excluded.actor, changed_us = excluded.changed_us
        """,
        id=new_id,
        project=project,
        name=name,
        spec=msgspec.json.encode(spec).decode(),
        actor=actor,
        now=now_us,
    )


def find_view(tx: Reader, *, project: int, name: str) -> View | None:
    """Return the view of that name."""
    row = tx.first(
        _Row, f"{_SELECT} WHERE project_id = :project AND name = :name", project=project, name=name
    )
    return None if row is None else row.view()


def list_views(tx: Reader, *, project: int) -> list[View]:
    """Return a project's views, by name."""
    rows = tx.rows(_Row, f"{_SELECT} WHERE project_id = :project ORDER BY name", project=project)
    return [row.view() for row in rows]


def delete_view(tx: Writer, *, project: int, name: str) -> bool:
    """Remove a view; False when there was none."""
    removed = tx.run(
        "DELETE FROM saved_view WHERE project_id = :project AND name = :name",
        project=project,
        name=name,
    )
    return removed == 1
