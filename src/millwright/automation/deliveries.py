"""Telling webhooks what happened: durably, in order of the journal, once for each event.

A follower of the journal turns events into jobs, one for each webhook and notice; its place
moves in the transaction that enqueues them, and the job's key names both, so that an event
makes one delivery whoever follows. Jobs are leased: of several processes one sends, and what it
was killed over another takes up. A receiver may be sent the same delivery again, then under the
same delivery id.

Each webhook has a queue of its own, which one thread of a process at a time works through, in
order: a receiver that hangs holds up neither other webhooks, nor pipelines, nor the journal's
other followers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import msgspec
from msgspec import Struct

from millwright.automation.addresses import parse_target
from millwright.automation.notices import KINDS, About, Notice, example, notices
from millwright.automation.posting import Answer, Poster
from millwright.automation.webhooks import FOLLOWER, Webhooks
from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Conflict, MillwrightError, Refused, TimedOut, Unreachable
from millwright.core.ids import JobId, WebhookId, new_id, to_hex
from millwright.core.version import VERSION
from millwright.jobs.leases import Lease
from millwright.jobs.queue import Jobs
from millwright.jobs.worker import Worker as JobWorker
from millwright.journal.followers import Follower
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader
from millwright.metadata.tables import model_changes as model_tables
from millwright.metadata.tables import models as version_tables
from millwright.metadata.tables import webhooks as tables
from millwright.metadata.tables.webhooks import WebhookRow
from millwright.records.automation import WebhookEvent, WebhookTest
from millwright.records.events import Act, Event, JsonValue

KIND = "webhook.deliver"
MAX_ATTEMPTS = 320
"""With pauses that grow to five minutes, a little more than a day."""
MAX_AGE_US = 24 * 3600 * US_PER_S
EVENTS_AT_ONCE = 200
LOOK_EVERY_S = 1.0
LEASE_S = 10.0
THREADS = 8
"""So many receivers may hang at once before others have to wait for them."""
MAX_PAUSE_S = 300.0
"""A receiver that asks for a longer pause is asked again after this."""
JOIN_S = 3.0
MAX_SHOWN_CHARS = 2000
_TRY_AGAIN = frozenset({408, 425, 429})

_log = logging.getLogger(__name__)


class Delivery(Struct, frozen=True, kw_only=True):
    """The arguments of a `webhook.deliver` job: what is told to whom; no secret among them."""

    webhook: WebhookId
    event: WebhookEvent
    time_us: int
    data: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Planned:
    """A delivery to be enqueued."""

    row: WebhookRow
    event: Event
    key: str
    delivery: Delivery


class Deliveries:
    """Finds out what is to be told, and tells it."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        jobs: Jobs,
        clock: Clock,
        *,
        webhooks: Webhooks,
        poster: Poster,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._webhooks = webhooks
        self._poster = poster
        self._follower = Follower(journal, FOLLOWER)
        self._quiet_until_s: dict[WebhookId, float] = {}

    def is_quiet(self, webhook: WebhookId) -> bool:
        """Tell whether the receiver asked this process to leave it alone for a while."""
        return self._clock.monotonic_s() < self._quiet_until_s.get(webhook, 0.0)

    def follow_once(self) -> int:
        """Enqueue what new events have to tell; return how many events were read.

        Raises Conflict when another process was faster, which is as good. Not for several
        threads at once.
        """
        events = self._follower.take(EVENTS_AT_ONCE)
        if not events:
            return 0
        with self._database.read() as tx:
            planned = self._plan(tx, events)
        with self._database.write() as tx:
            for one in planned:
                act = Act(
                    actor=one.event.actor,
                    project=one.event.project,
                    project_key=one.row.project_id,
                    reason=f"webhook {one.row.name}",
                    cause=one.event.id,
                )
                self._jobs.enqueue(
                    KIND,
                    msgspec.to_builtins(one.delivery),
                    act=act,
                    tx=tx,
                    queue=one.row.id,
                    key=one.key,
                    max_attempts=MAX_ATTEMPTS,
                )
            self._follower.advance(tx, events[-1].place)
        return len(events)

    def deliver(self, lease: Lease) -> object:
        """Do a `webhook.deliver` job: send it once.

        Raises Unreachable to be tried again, and what ends it: Refused by the receiver or for
        its age, Invalid for an address that may not be reached, Corrupt without its secret.
        """
        delivery = msgspec.convert(lease.job.args, Delivery)
        row = self._webhooks.find_row(lease.act.project_key, delivery.webhook)
        if row is None or row.status != "active":
            return {"skipped": "removed" if row is None else "disabled"}
        age_us = self._clock.now_us() - lease.job.created_us
        if age_us > MAX_AGE_US:
            raise Refused(f"nobody took it for {age_us // (3600 * US_PER_S)} hours")
        answer = self._send(row, delivery, delivery_id=_delivery_id(lease.job.id))
        if 200 <= answer.status < 300:
            return {"status": answer.status}
        told = f"the receiver at {parse_target(row.url, (row.url,)).origin} answered"
        if answer.status >= 500 or answer.status in _TRY_AGAIN:
            pause_s = min(answer.retry_after_s, MAX_PAUSE_S)
            self._quiet_until_s[row.id] = self._clock.monotonic_s() + pause_s
            raise Unreachable(f"{told} {answer.status}")
        if 300 <= answer.status < 400:
            raise Refused(f"{told} {answer.status}", why="a webhook follows no redirect")
        raise Refused(f"{told} {answer.status}", why="asking again would not help")

    def try_out(
        self, project_key: int, webhook: str, event: WebhookEvent | None = None
    ) -> WebhookTest:
        """Send an example at once, and return what came of it; raises NotFound.

        Of the first event it is told of, where none is given; a disabled one is tried, too.
        """
        row = self._webhooks.get_row(project_key, webhook)
        event = event or row.events()[0]
        delivery = Delivery(
            webhook=row.id, event=event, time_us=self._clock.now_us(), data=example(event)
        )
        try:
            answer = self._send(row, delivery, delivery_id=_delivery_id(JobId(new_id("job"))))
        except MillwrightError as error:
            said = ": ".join(part for part in (error.what, error.why) if part)
            return WebhookTest(success=False, error=said)
        return WebhookTest(
            success=answer.status < 400,
            status=answer.status,
            body=answer.body.decode(errors="replace")[:MAX_SHOWN_CHARS],
        )

    def _send(self, row: WebhookRow, delivery: Delivery, *, delivery_id: str) -> Answer:
        target = parse_target(row.url, self._webhooks.allowed)
        body = encode_body(delivery)
        timestamp = str(self._clock.now_us() // US_PER_S)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Millwright/{VERSION}",
            "X-MLflow-Delivery-Id": delivery_id,
            "X-MLflow-Timestamp": timestamp,
        }
        secret = self._webhooks.secret_of(row)
        if secret is not None:
            headers["X-MLflow-Signature"] = sign(
                secret, delivery_id=delivery_id, timestamp=timestamp, body=body
            )
        return self._poster.post(target, body, headers)

    def _plan(self, tx: Reader, events: Sequence[Event]) -> list[Planned]:
        rows = tables.list_active(tx)
        planned: list[Planned] = []
        for event in events:
            # What happened before there was the webhook is no business of its.
            told = [
                row
                for row in rows
                if row.project == event.project and event.time_us >= row.created_us
            ]
            if not told or event.kind not in KINDS:
                continue
            said = notices(event, _about(tx, told[0].project_id, event))
            planned += [
                Planned(
                    row,
                    event,
                    f"{KIND}:{row.id}:{event.id}:{number}",
                    _delivery(row, event, notice),
                )
                for row in told
                for number, notice in enumerate(said)
                if notice.event in row.events()
            ]
        return planned


class Deliverer:
    """Follows and delivers in threads of its own while a block runs; costs little when idle."""

    def __init__(
        self,
        deliveries: Deliveries,
        webhooks: Webhooks,
        database: Database,
        jobs: Jobs,
        clock: Clock,
        *,
        look_every_s: float = LOOK_EVERY_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._look_every_s = look_every_s
        self._lease_s = lease_s
        self._owner = f"webhooks-{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._senders: dict[WebhookId, threading.Thread] = {}
        self._looker = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._looker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A receiver that hangs is not waited for: its lease ends, and it is told again.
        until_s = time.monotonic() + JOIN_S
        for thread in (self._looker, *self._senders.values()):
            thread.join(max(0.0, until_s - time.monotonic()))

    def look(self) -> None:
        """Follow the journal to its end, and have what is due sent; nothing without webhooks."""
        if not self._webhooks.has_active():
            return
        with suppress(Conflict):
            while self._deliveries.follow_once() == EVENTS_AT_ONCE:
                pass
        self._jobs.reap()
        self._senders = {key: one for key, one in self._senders.items() if one.is_alive()}
        with self._database.read() as tx:
            due = tables.list_due(tx, now_us=self._clock.now_us())
        for webhook in due:
            if len(self._senders) >= THREADS:
                return
            if webhook not in self._senders and not self._deliveries.is_quiet(webhook):
                sender = threading.Thread(
                    target=self._send_to, args=(webhook,), name=f"sender {webhook}", daemon=True
                )
                sender.start()
                self._senders[webhook] = sender

    def _run(self) -> None:
        while not self._stop.wait(self._look_every_s):
            try:
                self.look()
            except MillwrightError as error:
                _log.warning("webhooks: %s", error)
            except Exception:  # noqa: BLE001 - whatever broke, the loop goes on
                _log.exception("webhooks broke; it is tried again")

    def _send_to(self, webhook: WebhookId) -> None:
        worker = JobWorker(
            self._jobs,
            {KIND: self._deliveries.deliver},
            self._clock,
            owner=self._owner,
            queues=[webhook],
            lease_s=self._lease_s,
        )
        with suppress(Unreachable, TimedOut):
            while not (self._stop.is_set() or self._deliveries.is_quiet(webhook)):
                if worker.work_once() is None:
                    return


def encode_body(delivery: Delivery) -> bytes:
    """Return what is sent, the same bytes each time."""
    entity, _, action = delivery.event.partition(".")
    told = datetime.fromtimestamp(delivery.time_us / US_PER_S, UTC)
    return msgspec.json.encode(
        {
            "entity": entity,
            "action": action,
            "timestamp": told.isoformat(),
            "data": delivery.data,
        }
    )


def sign(secret: str, *, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature by which a receiver knows who sent this, and when.

    Source: Standard Webhooks, with MLflow's headers.
    """
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _delivery_id(job: JobId) -> str:
    """Return a job's id as a delivery's: the same at every attempt."""
    return str(uuid.UUID(to_hex(job)))


def _delivery(row: WebhookRow, event: Event, notice: Notice) -> Delivery:
    return Delivery(webhook=row.id, event=notice.event, time_us=event.time_us, data=notice.data)


def _about(tx: Reader, project: int, event: Event) -> About:
    """Return what an event is about, found by id: names may have changed hands."""
    ids = {subject.kind: subject.id for subject in event.subjects}
    version = None
    model = None
    if "model_version" in ids:
        known = ids["model_version"]
        found = version_tables.find_versions_by_id(tx, project=project, low=known, high=known)
        if found:
            tags = model_tables.read_tags(tx, pks=[found[0].pk], of_version=True)
            version = found[0].model_version(tags.get(found[0].pk))
            model = next(iter(model_tables.list_models(tx, pks=[found[0].model_pk])), None)
    if model is None and "model" in ids:
        model = tables.find_model_by_id(tx, project=project, model=ids["model"])
    if model is None:
        return About(tags={}, description="", version=version)
    tags = model_tables.read_tags(tx, pks=[model.pk], of_version=False)
    return About(tags=tags.get(model.pk, {}), description=model.description, version=version)
