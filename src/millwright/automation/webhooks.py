"""Webhooks: who elsewhere is told of which events; made, changed and removed in the journal.

What is told, and how it gets there, is in `notices` and `deliveries`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from millwright.automation.addresses import parse_target
from millwright.automation.sealing import Seal
from millwright.core.clock import Clock
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import WebhookId, new_id, parse_id
from millwright.journal.log import Journal
from millwright.metadata.connection import Value
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.paging import foreign_token, read_token, scope_of, write_token
from millwright.metadata.tables import journal_tree
from millwright.metadata.tables import webhooks as tables
from millwright.metadata.tables.webhooks import WebhookRow
from millwright.records.automation import Webhook, WebhookEvent, WebhookStatus
from millwright.records.events import Act, Subject
from millwright.records.operation_events import WebhookChanged

FOLLOWER = "webhooks"
MAX_PAGE = 1000
MAX_NAME_CHARS = 63
MAX_DESCRIPTION_CHARS = 1000
MAX_SECRET_CHARS = 1000
PURPOSE = "webhook secrets"

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class FoundWebhooks:
    """One page of a listing, and the token by which to read on."""

    webhooks: list[Webhook]
    next_token: str | None


class Webhooks:
    """The webhooks of all projects of a home."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        *,
        seal: Seal,
        allowed: Sequence[str] = (),
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._seal = seal
        self.allowed = tuple(allowed)
        """Origins that may lie inside and need no https; see `addresses`."""

    def create(
        self,
        act: Act,
        *,
        name: str,
        url: str,
        events: Sequence[WebhookEvent],
        description: str = "",
        secret: str | None = None,
        status: WebhookStatus = "active",
    ) -> Webhook:
        """Make a webhook, which is told of what happens from now on; raises Invalid.

        Two may have one name: they are known by their ids.
        """
        check_name(name)
        target = parse_target(url, self.allowed)
        chosen = check_events(events)
        _check_description(description)
        webhook = WebhookId(new_id("whk"))
        with self._database.write() as tx:
            if status == "active":
                _begin_following(tx)
            tables.insert_webhook(
                tx,
                webhook_id=webhook,
                project=act.project_key,
                name=name,
                description=description,
                url=url,
                events=chosen,
                secret=self._sealed(webhook, secret),
                status=status,
                now_us=self._clock.now_us(),
            )
            detail = WebhookChanged(
                name=name, what="made", origin=target.origin, events=tuple(chosen)
            )
            self._note(tx, act, webhook, detail)
            return _row(tx, act.project_key, webhook).webhook()

    def get(self, project_key: int, webhook: str) -> Webhook:
        """Return a webhook; raises NotFound."""
        return self.get_row(project_key, webhook).webhook()

    def list_page(
        self, project_key: int, *, limit: int = 100, token: str | None = None
    ) -> FoundWebhooks:
        """Return the project's webhooks, newest first; raises Invalid and FilterError."""
        if not 1 <= limit <= MAX_PAGE:
            raise Invalid(f"a page holds 1 to {MAX_PAGE} webhooks, not {limit}")
        pages = scope_of("webhooks", project_key)
        before = None if token is None else _read_place(token, pages)
        with self._database.read() as tx:
            rows = tables.list_webhooks(tx, project=project_key, limit=limit + 1, before_pk=before)
        next_token = write_token([rows[limit - 1].pk], pages) if len(rows) > limit else None
        return FoundWebhooks([row.webhook() for row in rows[:limit]], next_token)

    def change(
        self,
        act: Act,
        webhook: str,
        *,
        name: str | None = None,
        url: str | None = None,
        events: Sequence[WebhookEvent] | None = None,
        description: str | None = None,
        secret: str | None = None,
        status: WebhookStatus | None = None,
    ) -> Webhook:
        """Change what is given, and leave the rest; an empty secret signs nothing any more.

        Raises NotFound and Invalid.
        """
        changes: dict[str, Value] = {}
        if name is not None:
            changes["name"] = check_name(name)
        if url is not None:
            parse_target(url, self.allowed)
            changes["url"] = url
        if events is not None:
            changes["events_json"] = tables.encode_events(check_events(events))
        if description is not None:
            changes["description"] = _check_description(description)
        if status is not None:
            changes["status"] = status
        with self._database.write() as tx:
            row = _row(tx, act.project_key, webhook)
            if secret is not None:
                changes["secret"] = self._sealed(row.id, secret)
            if not changes:
                return row.webhook()
            if status == "active" and row.status != "active":
                _begin_following(tx)
            tables.change_webhook(tx, pk=row.pk, changes=changes, now_us=self._clock.now_us())
            changed = _row(tx, act.project_key, row.id)
            what = ", ".join(
                f"{column} {status}" if column == "status" else column.removesuffix("_json")
                for column in changes
            )
            self._note(tx, act, row.id, self._told(changed, what))
            return changed.webhook()

    def delete(self, act: Act, webhook: str) -> None:
        """Remove a webhook; what waits to be told to it is told to nobody. Raises NotFound."""
        with self._database.write() as tx:
            row = _row(tx, act.project_key, webhook)
            tables.delete_webhook(tx, pk=row.pk)
            self._note(tx, act, row.id, self._told(row, "removed"))

    def has_active(self) -> bool:
        """Tell whether any webhook is told of events; cheap."""
        with self._database.read() as tx:
            return tables.has_active(tx)

    def get_row(self, project_key: int, webhook: str) -> WebhookRow:
        """Return a webhook as it is stored; raises NotFound."""
        with self._database.read() as tx:
            return _row(tx, project_key, webhook)

    def find_row(self, project_key: int, webhook: WebhookId) -> WebhookRow | None:
        """Return a webhook as it is stored, or None."""
        with self._database.read() as tx:
            return tables.find_webhook(tx, project=project_key, webhook=webhook)

    def secret_of(self, row: WebhookRow) -> str | None:
        """Return a webhook's secret, for signing; raises Corrupt when it cannot be read."""
        return None if row.secret is None else self._seal.open(row.secret, owner=row.id)

    def _sealed(self, webhook: WebhookId, secret: str | None) -> str | None:
        if not secret:
            return None
        if len(secret) > MAX_SECRET_CHARS:
            raise Invalid(f"the secret of a webhook has at most {MAX_SECRET_CHARS} characters")
        return self._seal.close(secret, owner=webhook)

    def _told(self, row: WebhookRow, what: str) -> WebhookChanged:
        # An origin may have been taken out of the settings since: it is still where it leads.
        origin = parse_target(row.url, (row.url,)).origin
        return WebhookChanged(name=row.name, what=what, origin=origin, events=tuple(row.events()))

    def _note(self, tx: Writer, act: Act, webhook: WebhookId, detail: WebhookChanged) -> None:
        self._journal.append(tx, act, detail, [Subject(kind="webhook", id=webhook)])


def check_name(name: str) -> str:
    """Return what can be the name of a webhook; raises Invalid."""
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise Invalid(
            f"{name[:80]!r} cannot be the name of a webhook",
            why=f"it has 1 to {MAX_NAME_CHARS} letters, digits, dots, underscores and hyphens, "
            "and begins and ends with a letter or a digit",
        )
    return name


def check_events(events: Sequence[WebhookEvent]) -> list[WebhookEvent]:
    """Return events, each once; raises Invalid where there are none."""
    if not events:
        raise Invalid(
            "a webhook without events would be told of nothing",
            fix="name some, such as model_version.created",
        )
    return list(dict.fromkeys(events))


def _check_description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION_CHARS:
        raise Invalid(
            f"the description of a webhook has at most {MAX_DESCRIPTION_CHARS} characters"
        )
    return text


def _begin_following(tx: Writer) -> None:
    """Pass over what happened while there was nobody to tell it to."""
    # Two that are made at once: the second waits here, and then sees the first.
    tables.lock_follower(tx, FOLLOWER)
    if not tables.has_active(tx):
        tables.skip_to(tx, FOLLOWER, place=journal_tree.read_head(tx).size)


def _row(tx: Reader, project_key: int, webhook: str) -> WebhookRow:
    known = WebhookId(parse_id(webhook, "whk"))
    row = tables.find_webhook(tx, project=project_key, webhook=known)
    if row is None:
        raise NotFound(
            f"no webhook {webhook} in this project", fix="`mill webhook list` shows them"
        )
    return row


def _read_place(token: str, pages: str) -> int:
    cursor = read_token(token, pages)
    if len(cursor) != 1 or not isinstance(cursor[0], int):
        raise foreign_token()
    return cursor[0]
