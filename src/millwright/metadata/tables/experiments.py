"""The SQL of experiments and their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list
from millwright.records.runs import Experiment


class ExperimentRow(Struct, frozen=True, kw_only=True):
    """An experiment as its table holds it."""

    pk: int
    id: str
    number: int
    name: str
    created_us: int
    changed_us: int
    deleted_us: int | None
    location: str | None


_ROW = """
    SELECT pk, id, number, name, created_us, changed_us, deleted_us, location FROM experiment
"""


def ensure_experiment(
    tx: Writer,
    *,
    project: int,
    name: str,
    new_id: str,
    now_us: int,
    default: str,
    location: str | None = None,
) -> tuple[int, bool]:
    """Return the experiment's key and whether it was made just now.

    The one called `default` has the number 0, whichever is made first.
    """
    found = find_by_name(tx, project=project, name=name)
    if found is not None:
        return found.pk, False
    # Two writers may count at once on PostgreSQL; the unique number refuses the second, whose
    # statement then changes nothing and is tried again by its caller.
    made = tx.run(
        """
        INSERT INTO experiment (id, project_id, number, name, created_us, changed_us, location)
        SELECT CAST(:id AS TEXT), CAST(:project AS BIGINT),
            CASE WHEN CAST(:name AS TEXT) = CAST(:default AS TEXT) THEN 0
                WHEN max(number) >= 1 THEN max(number) + 1 ELSE 1 END,
            CAST(:name AS TEXT), CAST(:now AS BIGINT), CAST(:now AS BIGINT),
            CAST(:location AS TEXT)
        FROM experiment WHERE project_id = :project
        ON CONFLICT DO NOTHING
        """,
        id=new_id,
        project=project,
        name=name,
        default=default,
        now=now_us,
        location=location,
    )
    row = find_by_name(tx, project=project, name=name)
    if row is None:
        return ensure_experiment(
            tx,
            project=project,
            name=name,
            new_id=new_id,
            now_us=now_us,
            default=default,
            location=location,
        )
    return row.pk, made == 1


def find_by_name(tx: Reader, *, project: int, name: str) -> ExperimentRow | None:
    """Return the experiment of that name, deleted or not."""
    return tx.first(
        ExperimentRow,
        _ROW + "WHERE project_id = :project AND name = :name",
        project=project,
        name=name,
    )


def find_by_number(tx: Reader, *, project: int, number: int) -> ExperimentRow | None:
    """Return the experiment of that number, deleted or not."""
    return tx.first(
        ExperimentRow,
        _ROW + "WHERE project_id = :project AND number = :number",
        project=project,
        number=number,
    )


def find_by_key(tx: Reader, *, pk: int) -> ExperimentRow:
    """Return the experiment of that key, which there is."""
    row = tx.first(ExperimentRow, _ROW + "WHERE pk = :pk", pk=pk)
    assert row is not None, "an experiment is removed with its runs only"
    return row


def list_rows(tx: Reader, *, project: int) -> list[ExperimentRow]:
    """Return the project's experiments, deleted or not, in the order they were made."""
    return tx.rows(ExperimentRow, _ROW + "WHERE project_id = :p ORDER BY number", p=project)


def list_by_key(tx: Reader, *, pks: Sequence[int]) -> list[ExperimentRow]:
    """Return the experiments of these keys, in their order."""
    fragment, given = in_list("pk", pks)
    found = {
        row.pk: row for row in tx.rows(ExperimentRow, f"{_ROW} WHERE pk IN {fragment}", **given)
    }
    return [found[pk] for pk in pks]


def read_tags(tx: Reader, *, pks: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the tags of each experiment, by its key."""
    fragment, given = in_list("pk", pks)
    found: dict[int, dict[str, str]] = {}
    for pk, key, value in tx.rows(
        tuple[int, str, str],
        "SELECT experiment_pk, key, value FROM experiment_tag "
        f"WHERE experiment_pk IN {fragment} ORDER BY key",
        **given,
    ):
        found.setdefault(pk, {})[key] = value
    return found


def upsert_tags(tx: Writer, *, experiment_pk: int, tags: Mapping[str, str]) -> None:
    """Set tags, replacing earlier values."""
    tx.run_many(
        "INSERT INTO experiment_tag (experiment_pk, key, value) VALUES (:pk, :key, :value) "
        "ON CONFLICT (experiment_pk, key) DO UPDATE SET value = excluded.value",
        [{"pk": experiment_pk, "key": key, "value": value} for key, value in tags.items()],
    )


def delete_tag(tx: Writer, *, experiment_pk: int, key: str) -> bool:
    """Remove a tag; False when there was none."""
    removed = tx.run(
        "DELETE FROM experiment_tag WHERE experiment_pk = :pk AND key = :key",
        pk=experiment_pk,
        key=key,
    )
    return removed == 1


def rename(tx: Writer, *, pk: int, name: str, now_us: int) -> None:
    """Give an experiment another name; the unique index refuses one that is taken."""
    tx.run(
        "UPDATE experiment SET name = :name, changed_us = :now WHERE pk = :pk",
        pk=pk,
        name=name,
        now=now_us,
    )


def set_deleted(tx: Writer, *, pk: int, now_us: int, deleted: bool) -> None:
    """Mark an experiment and, with it, its runs as deleted, or take the mark from both."""
    stamp = now_us if deleted else None
    tx.run(
        "UPDATE experiment SET deleted_us = :stamp, changed_us = :now WHERE pk = :pk",
        pk=pk,
        stamp=stamp,
        now=now_us,
    )
    state = "IS NULL" if deleted else "IS NOT NULL"
    tx.run(
        f"UPDATE run SET deleted_us = :stamp WHERE experiment_pk = :pk AND deleted_us {state}",
        pk=pk,
        stamp=stamp,
    )


def touch(tx: Writer, *, pk: int, now_us: int) -> None:
    """Note that something of an experiment has changed."""
    tx.run("UPDATE experiment SET changed_us = :now WHERE pk = :pk", pk=pk, now=now_us)


def to_experiment(row: ExperimentRow, tags: Mapping[str, str]) -> Experiment:
    """Return the record of an experiment from its row and its tags."""
    return Experiment(
        id=row.id,  # pyright: ignore[reportArgumentType] (of this kind by the table's own writing)
        number=row.number,
        name=row.name,
        created_us=row.created_us,
        changed_us=row.changed_us,
        deleted_us=row.deleted_us,
        location=row.location,
        tags=dict(tags),
    )
