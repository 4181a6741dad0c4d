"""The SQL of webhooks and of what is due to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from millwright.core.ids import ProjectId, WebhookId
from millwright.metadata.connection import Value
from millwright.metadata.database import Reader, Writer
from millwright.metadata.tables.models import MODEL, ModelRow
from millwright.records.automation import Webhook, WebhookEvent, WebhookStatus


class WebhookRow(Struct, frozen=True, kw_only=True):
    """A webhook as its table holds it, with the project it belongs to."""

    pk: int
    id: WebhookId
    project_id: int
    project: ProjectId
    name: str
    description: str
    url: str
    events_json: str
    secret: str | None
    """Sealed; see `automation.sealing`."""
    status: WebhookStatus
    created_us: int
    changed_us: int

    def events(self) -> list[WebhookEvent]:
        """Return what it is told of."""
        pairs = msgspec.json.decode(self.events_json, type=list[tuple[str, str]])
        return msgspec.convert([".".join(pair) for pair in pairs], list[WebhookEvent])

    def webhook(self) -> Webhook:
        """Return the record."""
        return Webhook(
            id=self.id,
            name=self.name,
            description=self.description,
            url=self.url,
            events=self.events(),
            status=self.status,
            is_signed=self.secret is not None,
            created_us=self.created_us,
            changed_us=self.changed_us,
        )


_WEBHOOK = """
    SELECT w.pk, w.id, w.project_id, p.id AS project, w.name, w.description, w.url, w.events_json,
           w.secret, w.status, w.created_us, w.changed_us
    FROM webhook w JOIN project p ON p.pk = w.project_id
"""


def encode_events(events: Sequence[WebhookEvent]) -> str:
    """Return events as they are stored: pairs of entity and action."""
    return msgspec.json.encode([event.split(".") for event in events]).decode()


def insert_webhook(
    tx: Writer,
    *,
    webhook_id: WebhookId,
    project: int,
    name: str,
    description: str,
    url: str,
    events: Sequence[WebhookEvent],
    secret: str | None,
    status: WebhookStatus,
    now_us: int,
) -> None:
    """Add a webhook."""
    tx.run(
        """
        INSERT INTO webhook (id, project_id, name, description, url, events_json, secret, status,
                             created_us, changed_us)
        VALUES (:id, :project, :name, :description, :url, :events, :secret, :status, :now, :now)
        """,
        id=webhook_id,
        project=project,
        name=name,
        description=description,
        url=url,
        events=encode_events(events),
        secret=secret,
        status=status,
        now=now_us,
    )


def change_webhook(tx: Writer, *, pk: int, changes: Mapping[str, Value], now_us: int) -> None:
    """Give columns of a webhook other values."""
    sets = ", ".join(f"{column} = :{column}" for column in changes)
    sql = f"UPDATE webhook SET {sets}, changed_us = :now WHERE pk = :pk"
    tx.run(sql, pk=pk, now=now_us, **changes)


def delete_webhook(tx: Writer, *, pk: int) -> None:
    """Remove a webhook."""
    tx.run("DELETE FROM webhook WHERE pk = :pk", pk=pk)


def find_webhook(tx: Reader, *, project: int, webhook: WebhookId) -> WebhookRow | None:
    """Return a project's webhook."""
    sql = _WEBHOOK + "WHERE w.project_id = :project AND w.id = :id"
    return tx.first(WebhookRow, sql, project=project, id=webhook)


def list_webhooks(
    tx: Reader, *, project: int, limit: int, before_pk: int | None = None
) -> list[WebhookRow]:
    """Return a project's webhooks, newest first."""
    where = "" if before_pk is None else "AND w.pk < :before"
    given: dict[str, Value] = {} if before_pk is None else {"before": before_pk}
    sql = f"{_WEBHOOK} WHERE w.project_id = :project {where} ORDER BY w.pk DESC LIMIT :limit"
    return tx.rows(WebhookRow, sql, project=project, limit=limit, **given)


def list_active(tx: Reader) -> list[WebhookRow]:
    """Return the webhooks of every project that are told of events, oldest first."""
    return tx.rows(WebhookRow, _WEBHOOK + "WHERE w.status = 'active' ORDER BY w.pk")


def has_active(tx: Reader) -> bool:
    """Tell whether any webhook is told of events."""
    sql = "SELECT 1 FROM webhook WHERE status = 'active' LIMIT 1"
    return tx.value(int, sql) is not None


def lock_follower(tx: Writer, follower: str) -> None:
    """Have others who would move a follower of the journal wait until the transaction ends."""
    tx.run(
        """
        INSERT INTO journal_follower (name, next_place) VALUES (:name, 0)
        ON CONFLICT (name) DO UPDATE SET next_place = journal_follower.next_place
        """,
        name=follower,
    )


def skip_to(tx: Writer, follower: str, *, place: int) -> None:
    """Have a follower whose lock is held read on at `place`, unless it is further already."""
    tx.run(
        "UPDATE journal_follower SET next_place = :place "
        "WHERE name = :name AND next_place < :place",
        name=follower,
        place=place,
    )


def list_due(tx: Reader, *, now_us: int) -> list[WebhookId]:
    """Return whose deliveries could be claimed now, those that wait longest first.

    The queue of a webhook's deliveries is called as its id. Also of those that are no more.
    """
    sql = """
        SELECT queue FROM job
        WHERE state = 'queued' AND substr(queue, 1, 4) = 'whk_' AND run_at_us <= :now
        GROUP BY queue ORDER BY min(run_at_us), queue
    """
    return [WebhookId(queue) for queue in tx.column(str, sql, now=now_us)]


def find_model_by_id(tx: Reader, *, project: int, model: str) -> ModelRow | None:
    """Return a model by its id, also a deleted one."""
    sql = f"{MODEL} WHERE m.project_id = :project AND m.id = :id"
    return tx.first(ModelRow, sql, project=project, id=model)
