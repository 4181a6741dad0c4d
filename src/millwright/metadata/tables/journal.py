"""The journal's tables of events, their details and subjects, and of those who follow it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from millwright.metadata.connection import Value
from millwright.metadata.database import Reader, Writer
from millwright.metadata.parameters import in_list

SEQUENCER_LOCK = 0x6D6A6E6C  # "mjnl": PostgreSQL's advisory lock for giving places.


class StoredEvent(Struct, frozen=True):
    """What reading an event needs."""

    place: int
    leaf: bytes
    body: bytes | None


class Entry(Struct, frozen=True):
    """Everything a row of `event` says, and its detail, for an audit."""

    pk: int
    id: str
    place: int
    project_id: int
    kind: str
    actor: str
    time_us: int
    leaf: bytes
    leaf_hash: bytes
    detail_pk: int | None
    salt: bytes | None
    body: bytes | None
    erased_us: int | None


# Events


def insert_event(
    tx: Writer,
    *,
    id: str,  # noqa: A002
    place: int | None,
    project_key: int,
    kind: str,
    actor: str,
    time_us: int,
    leaf: bytes,
    leaf_hash: bytes,
) -> int:
    """Write an event's row and return its key; the place is None where it is given later."""
    return tx.insert(
        """
        INSERT INTO event (id, place, project_id, kind, actor, time_us, leaf, leaf_hash)
        VALUES (:id, :place, :project, :kind, :actor, :time, :leaf, :hash) RETURNING pk
        """,
        id=id,
        place=place,
        project=project_key,
        kind=kind,
        actor=actor,
        time=time_us,
        leaf=leaf,
        hash=leaf_hash,
    )


def insert_detail(tx: Writer, event_pk: int, *, salt: bytes, body: bytes) -> None:
    """Write an event's detail."""
    tx.run(
        "INSERT INTO event_detail (event_pk, salt, body) VALUES (:pk, :salt, :body)",
        pk=event_pk,
        salt=salt,
        body=body,
    )


def insert_subjects(tx: Writer, event_pk: int, subjects: Sequence[tuple[str, str]]) -> None:
    """Write which things, as (kind, id), an event is about."""
    tx.run_many(
        "INSERT INTO event_subject (kind, id, event_pk) VALUES (:kind, :id, :pk)",
        [{"kind": kind, "id": id_, "pk": event_pk} for kind, id_ in subjects],
    )


def erase_detail(tx: Writer, event_id: str, *, erased_us: int) -> bool:
    """Delete salt and body of an event's detail; return False when there was none to erase."""
    return (
        tx.run(
            """
            UPDATE event_detail SET salt = NULL, body = NULL, erased_us = :now
            WHERE erased_us IS NULL AND event_pk = (SELECT pk FROM event WHERE id = :id)
            """,
            id=event_id,
            now=erased_us,
        )
        > 0
    )


def has_event(tx: Reader, event_id: str) -> bool:
    """Return whether there is such an event, placed or not."""
    return tx.value(int, "SELECT 1 FROM event WHERE id = :id", id=event_id) is not None


def find_event(tx: Reader, event_id: str) -> StoredEvent | None:
    """Return a placed event, or None."""
    return tx.first(
        StoredEvent,
        """
        SELECT e.place, e.leaf, d.body FROM event e LEFT JOIN event_detail d ON d.event_pk = e.pk
        WHERE e.id = :id AND e.place IS NOT NULL
        """,
        id=event_id,
    )


def find_place(tx: Reader, event_id: str) -> int | None:
    """Return where an event stands, or None when it is unknown or has no place yet."""
    sql = "SELECT place FROM event WHERE id = :id AND place IS NOT NULL"
    return tx.value(int, sql, id=event_id)


def read_events(
    tx: Reader,
    *,
    after: int,
    before: int | None,
    limit: int,
    project: int | None,
    kinds: Sequence[str] | None,
    subject: tuple[str, str] | None,
    newest_first: bool,
) -> list[StoredEvent]:
    """Return placed events between two places (both exclusive) that pass every filter given."""
    where = ["e.place > :after"]
    params: dict[str, Value] = {"after": after, "limit": limit}
    joins = "LEFT JOIN event_detail d ON d.event_pk = e.pk"
    if before is not None:
        where.append("e.place < :before")
        params["before"] = before
    if project is not None:
        where.append("e.project_id = :project")
        params["project"] = project
    if kinds is not None:
        fragment, names = in_list("kind", list(kinds))
        where.append(f"e.kind IN {fragment}")
        params |= names
    if subject is not None:
        joins += " JOIN event_subject s ON s.event_pk = e.pk"
        where.append("s.kind = :subject_kind AND s.id = :subject_id")
        params |= {"subject_kind": subject[0], "subject_id": subject[1]}
    return tx.rows(
        StoredEvent,
        f"""
        SELECT e.place, e.leaf, d.body FROM event e {joins} WHERE {" AND ".join(where)}
        ORDER BY e.place {"DESC" if newest_first else "ASC"} LIMIT :limit
        """,
        **params,
    )


# Giving places on PostgreSQL


def lock_sequencer(tx: Writer) -> None:
    """Wait until this transaction alone may give places."""
    tx.run("SELECT pg_advisory_xact_lock(:lock)", lock=SEQUENCER_LOCK)


def try_lock_sequencer(tx: Writer) -> bool:
    """Return whether this transaction alone may give places from now on."""
    return bool(tx.value(bool, "SELECT pg_try_advisory_xact_lock(:lock)", lock=SEQUENCER_LOCK))


def has_unplaced(tx: Reader) -> bool:
    """Return whether an event waits for its place."""
    return tx.value(int, "SELECT 1 FROM event WHERE place IS NULL LIMIT 1") is not None


def count_unplaced(tx: Reader) -> int:
    """Return how many events wait for their place."""
    return tx.value(int, "SELECT count(*) FROM event WHERE place IS NULL") or 0


def place_batch(tx: Writer, *, first: int, limit: int) -> list[bytes]:
    """Give events without a place the places from `first` on; return their hashes in that order."""
    placed = tx.rows(
        tuple[int, bytes],
        """
        UPDATE event SET place = :first + batch.number - 1
        FROM (
            SELECT waiting.pk, row_number() OVER (ORDER BY waiting.pk) AS number
            FROM (SELECT pk FROM event WHERE place IS NULL ORDER BY pk LIMIT :limit) AS waiting
        ) AS batch
        WHERE event.pk = batch.pk AND event.place IS NULL
        RETURNING event.place, event.leaf_hash
        """,
        first=first,
        limit=limit,
    )
    return [leaf_hash for _, leaf_hash in sorted(placed)]


# Followers


def find_next_place(tx: Reader, follower: str) -> int | None:
    """Return the place a follower reads next, or None when it never advanced."""
    sql = "SELECT next_place FROM journal_follower WHERE name = :name"
    return tx.value(int, sql, name=follower)


def advance_follower(tx: Writer, follower: str, *, found: int, then: int) -> bool:
    """Move a follower from place `found` to `then`; return False when it stands elsewhere."""
    tx.run(
        """
        INSERT INTO journal_follower (name, next_place) VALUES (:name, 0)
        ON CONFLICT (name) DO NOTHING
        """,
        name=follower,
    )
    changed = tx.run(
        "UPDATE journal_follower SET next_place = :then WHERE name = :name AND next_place = :found",
        name=follower,
        found=found,
        then=then,
    )
    return changed == 1


# Audits


def read_entries(tx: Reader, begin: int, end: int) -> list[Entry]:
    """Return the entries from place `begin` up to `end`, in order, with their details."""
    return tx.rows(
        Entry,
        """
        SELECT e.pk, e.id, e.place, e.project_id, e.kind, e.actor, e.time_us, e.leaf, e.leaf_hash,
            d.event_pk AS detail_pk, d.salt, d.body, d.erased_us
        FROM event e LEFT JOIN event_detail d ON d.event_pk = e.pk
        WHERE e.place >= :begin AND e.place < :end ORDER BY e.place
        """,
        begin=begin,
        end=end,
    )


def read_subjects(tx: Reader, begin: int, end: int) -> list[tuple[int, str, str]]:
    """Return (event key, kind, id) of what the entries from `begin` up to `end` are about."""
    return tx.rows(
        tuple[int, str, str],
        """
        SELECT s.event_pk, s.kind, s.id FROM event e JOIN event_subject s ON s.event_pk = e.pk
        WHERE e.place >= :begin AND e.place < :end
        """,
        begin=begin,
        end=end,
    )


def read_places(tx: Reader, event_ids: Sequence[str]) -> dict[str, int]:
    """Return where those of the events stand that have a place."""
    fragment, params = in_list("id", list(event_ids))
    sql = f"SELECT id, place FROM event WHERE place IS NOT NULL AND id IN {fragment}"
    return dict(tx.rows(tuple[str, int], sql, **params))


def read_events_about(tx: Reader, kind: str, subject_kind: str, ids: Sequence[str]) -> set[str]:
    """Return those of the ids that an event of `kind` has as a subject of `subject_kind`."""
    fragment, params = in_list("id", list(ids))
    return set(
        tx.column(
            str,
            f"""
            SELECT s.id FROM event_subject s JOIN event e ON e.pk = s.event_pk
            WHERE e.kind = :event_kind AND e.place IS NOT NULL AND s.kind = :kind
            AND s.id IN {fragment}
            """,
            event_kind=kind,
            kind=subject_kind,
            **params,
        )
    )


def find_place_from(tx: Reader, begin: int, end: int | None = None) -> int | None:
    """Return the first place from `begin` on (and below `end`) where an entry stands, or None."""
    params: dict[str, Value] = {"begin": begin}
    if end is not None:
        params["end"] = end
    bound = "" if end is None else " AND place < :end"
    sql = f"SELECT place FROM event WHERE place >= :begin{bound} ORDER BY place LIMIT 1"
    return tx.value(int, sql, **params)


def count_entries(tx: Reader, *, begin: int | None = None) -> int:
    """Return how many entries have a place, from `begin` on when it is given."""
    if begin is None:
        return tx.value(int, "SELECT count(*) FROM event WHERE place IS NOT NULL") or 0
    return tx.value(int, "SELECT count(*) FROM event WHERE place >= :begin", begin=begin) or 0


def read_project_keys(tx: Reader) -> dict[str, int]:
    """Return every project's key by its id."""
    return dict(tx.rows(tuple[str, int], "SELECT id, pk FROM project"))
