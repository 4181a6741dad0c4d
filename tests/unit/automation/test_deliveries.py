from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fixtures.homes import Place, made_place
from fixtures.receivers import Receiver, receiving
from millwright.automation.deliveries import (
    KIND,
    MAX_ATTEMPTS,
    THREADS,
    Deliverer,
    Deliveries,
    Delivery,
    encode_body,
    sign,
)
from millwright.automation.posting import Poster
from millwright.automation.sealing import Seal
from millwright.automation.webhooks import PURPOSE, Webhooks
from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import WebhookId, new_id
from millwright.jobs.leases import backoff_s
from millwright.jobs.worker import Worker as JobWorker
from millwright.metadata.tables.webhooks import list_due
from millwright.records.automation import Webhook, WebhookEvent
from millwright.records.events import Act
from millwright.records.jobs import Job, JobState
from millwright.testing.clock import FakeClock
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets

ALL: list[WebhookEvent] = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
]


class Telling:
    """A process that follows and delivers, one step at a time."""

    def __init__(self, home: Home, *allowed: str) -> None:
        self.home = home
        self.webhooks = Webhooks(
            home.database,
            home.journal,
            home.clock,
            seal=Seal(home.key.derive(PURPOSE)),
            allowed=allowed,
        )
        self.deliveries = Deliveries(
            home.database,
            home.journal,
            home.jobs,
            home.clock,
            webhooks=self.webhooks,
            poster=Poster(total_s=5.0),
        )

    def made(self, act: Act, receiver: Receiver, **more: Any) -> Webhook:
        """Make a webhook that leads to a receiver."""
        given: dict[str, Any] = {"name": "tell", "url": receiver.url, "events": ALL}
        return self.webhooks.create(act, **(given | more))

    def follow(self) -> None:
        """Follow the journal to its end."""
        while self.deliveries.follow_once():
            pass

    def send(self) -> int:
        """Send what is due, and return how many jobs were worked on."""
        with self.home.database.read() as tx:
            due = list_due(tx, now_us=self.home.clock.now_us())
        worker = JobWorker(
            self.home.jobs,
            {KIND: self.deliveries.deliver},
            self.home.clock,
            owner=uuid.uuid4().hex,
            queues=due or ["none"],
        )
        count = 0
        while worker.work_once() is not None:
            count += 1
        return count

    def tell(self) -> int:
        """Follow and send."""
        self.follow()
        return self.send()

    def deliverer(self) -> Deliverer:
        """Return one with threads of its own."""
        return Deliverer(
            self.deliveries,
            self.webhooks,
            self.home.database,
            self.home.jobs,
            self.home.clock,
            look_every_s=0.02,
        )


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def telling(place: Place, receiver: Receiver) -> Telling:
    return Telling(place.home, receiver.origin)


@contextmanager
def one_hangs(place: Place) -> Generator[tuple[Telling, Receiver, Receiver, threading.Event]]:
    """Tell two receivers of everything; the first does not answer until the event is set."""
    done = threading.Event()
    with receiving() as slow, receiving() as quick:

        def hold() -> None:
            done.wait(10)

        slow.hold = hold
        telling = Telling(place.home, slow.origin, quick.origin)
        telling.made(place.act, slow)
        telling.made(place.act, quick)
        yield telling, slow, quick, done


@contextmanager
def lived_in(address: str, folder: Path) -> Generator[Place]:
    """Make a home whose time goes on by itself, for threads that wait."""
    clock = FakeClock(now_us=time.time_ns() // 1000)
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.01):
            clock.advance(0.01)

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        with made_place(address, folder, clock) as place:
            yield place
    finally:
        stop.set()
        ticking.join()


def jobs(place: Place) -> list[Job]:
    """Return the deliveries, oldest first."""
    return [one for one in place.me.jobs.list_all() if one.kind == KIND][::-1]


class TestWhatIsTold:
    def test_a_models_life_is_told_in_order(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver, secret="s3cret")
        place.me.models.create(name="churn", description="who leaves", tags={"team": "risk"})
        ref = place.version(0)
        place.me.models.set_version_tags(ref=ref, tags={"checked": "yes"})
        place.me.models.delete_version_tag(ref=ref, key="checked")
        place.me.models.govern(name="churn", governed=False)
        place.me.models.promote(ref=ref, alias="shadow")
        place.me.models.remove_alias(name="churn", alias="shadow")
        assert telling.tell() == 6
        assert [one.event for one in receiver.received] == ALL
        said = [one.said["data"] for one in receiver.received]
        assert said[0] == {"name": "churn", "tags": {"team": "risk"}, "description": "who leaves"}
        assert (said[1]["name"], said[1]["version"], said[1]["run_id"]) == ("churn", "1", None)
        assert said[2:] == [
            {"name": "churn", "version": "1", "key": "checked", "value": "yes"},
            {"name": "churn", "version": "1", "key": "checked"},
            {"name": "churn", "alias": "shadow", "version": "1"},
            {"name": "churn", "alias": "shadow"},
        ]
        assert all(one.is_signed_with("s3cret") for one in receiver.received)
        assert {job.state for job in jobs(place)} == {JobState.FINISHED}

    def test_headers_and_body_are_those_of_the_protocol(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        telling.tell()
        request = receiver.received[0]
        assert request.path == "/hooks/s3cret?x=1"
        assert request.headers["content-type"] == "application/json"
        assert "x-mlflow-signature" not in request.headers
        assert str(uuid.UUID(request.delivery)) == request.delivery
        assert int(request.headers["x-mlflow-timestamp"]) == place.clock.now_us() // 1_000_000
        assert set(request.said) == {"entity", "action", "timestamp", "data"}
        told = datetime.fromisoformat(request.said["timestamp"])
        assert told.timestamp() == place.events("ModelCreated")[0].time_us / 1e6

    def test_only_what_is_asked_for_and_only_from_then_on(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        place.me.models.create(name="before")
        place.clock.advance(1)
        telling.made(place.act, receiver, events=["registered_model.created"])
        place.clock.advance(1)
        ref = place.version(0, name="after")
        place.me.models.set_version_tags(ref=ref, tags={"a": "1"})
        assert telling.tell() == 1
        assert [one.said["data"]["name"] for one in receiver.received] == ["after"]

    def test_a_later_webhook_hears_nothing_of_what_was_before_it(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver, name="first")
        place.me.models.create(name="between")
        place.clock.advance(1)
        telling.made(place.act, receiver, name="second")
        telling.tell()
        assert len(receiver.received) == 1

    def test_a_disabled_one_is_told_nothing(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        other = telling.made(place.act, receiver, status="disabled")
        telling.made(place.act, receiver, events=["prompt.created"])
        place.me.models.create(name="churn")
        assert telling.tell() == 0
        assert other.status == "disabled"

    def test_another_projects_events_are_not_told(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        place.home.projects.create("other", act=place.act)
        place.home.door(place.home.principal(), "other").models.create(name="theirs")
        assert telling.tell() == 0

    def test_a_prompt_is_told_as_a_prompt(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver, events=[*ALL, "prompt.created", "prompt_tag.set"])
        place.me.models.create(name="ask", tags={"mlflow.prompt.is_prompt": "true"})
        place.me.models.set_tags(name="ask", tags={"k": "v" * 5000})
        telling.tell()
        assert [one.event for one in receiver.received] == ["prompt.created", "prompt_tag.set"]
        # Too long for the journal's detail, so it is read where it stands.
        assert receiver.received[1].said["data"]["value"] == "v" * 5000

    def test_a_model_renamed_or_deleted_meanwhile_is_still_told(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        place.me.models.create(name="churn", description="d")
        place.me.models.rename(name="churn", new_name="leavers")
        place.me.models.create(name="gone", description="e")
        place.me.models.delete(name="gone")
        telling.tell()
        said = [one.said["data"] for one in receiver.received]
        assert [(one["name"], one["description"]) for one in said] == [
            ("churn", "d"),
            ("gone", "e"),
        ]

    def test_each_of_several_gets_its_own(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        for name in ("one", "two"):
            telling.made(place.act, receiver, name=name, secret=name)
        place.me.models.create(name="churn")
        assert telling.tell() == 2
        assert len({one.delivery for one in receiver.received}) == 2
        for name in ("one", "two"):
            assert sum(one.is_signed_with(name) for one in receiver.received) == 1


class TestDurability:
    def test_two_processes_make_one_delivery(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        other = Telling(place.reopened().home, receiver.origin)
        place.me.models.create(name="churn")
        place.me.models.create(name="loans")
        start = threading.Barrier(2)

        def follow(one: Telling) -> None:
            start.wait()
            try:
                one.follow()
            except Conflict:
                one.follow()

        threads = [threading.Thread(target=follow, args=(one,)) for one in (telling, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(jobs(place)) == 2
        assert telling.send() + other.send() == 2
        assert len(receiver.received) == 2

    def test_what_was_undone_is_followed_again(
        self, place: Place, telling: Telling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        real = telling.home.jobs.enqueue

        def breaking(*_: Any, **__: Any) -> Any:
            raise RuntimeError("killed here")

        monkeypatch.setattr(telling.home.jobs, "enqueue", breaking)
        with pytest.raises(RuntimeError):
            telling.deliveries.follow_once()
        monkeypatch.setattr(telling.home.jobs, "enqueue", real)
        assert jobs(place) == []
        assert telling.tell() == 1

    def test_a_failing_receiver_is_asked_again_under_the_same_id(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver, secret="s")
        receiver.answers = [500, 429, 503]
        place.me.models.create(name="churn")
        telling.follow()
        for attempt in (1, 2, 3):
            assert telling.send() == 1
            assert jobs(place)[0].state is JobState.QUEUED
            assert telling.send() == 0, "it waits"
            place.clock.advance(backoff_s(attempt))
        assert telling.send() == 1
        assert jobs(place)[0].state is JobState.FINISHED
        assert len({(one.delivery, one.body) for one in receiver.received}) == 1
        stamps = [one.headers["x-mlflow-timestamp"] for one in receiver.received]
        assert sorted(set(stamps)) == stamps, "each attempt says when it was made"
        assert all(one.is_signed_with("s") for one in receiver.received)

    def test_a_receiver_that_is_away_is_asked_again(self, place: Place) -> None:
        with receiving() as receiver:
            port = receiver.port
            telling = Telling(place.home, receiver.origin)
            telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        telling.follow()
        assert telling.send() == 1
        error = jobs(place)[0].error
        assert error is not None
        assert error.code == "unreachable"
        assert "s3cret" not in str(error)
        with receiving(port) as receiver:
            place.clock.advance(60)
            assert telling.send() == 1
            assert len(receiver.received) == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 410, 301, 307])
    def test_a_refusal_is_final(
        self, place: Place, telling: Telling, receiver: Receiver, status: int
    ) -> None:
        telling.made(place.act, receiver)
        receiver.answers = [status]
        receiver.headers = {"Location": f"{receiver.origin}/elsewhere"}
        place.me.models.create(name="churn")
        assert telling.tell() == 1
        assert jobs(place)[0].state is JobState.FAILED
        assert len(receiver.received) == 1

    def test_after_a_day_nobody_is_asked_any_more(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        telling.follow()
        place.clock.advance(24 * 3600 + 1)
        assert telling.send() == 1
        assert jobs(place)[0].state is JobState.FAILED
        assert receiver.received == []

    def test_the_attempts_last_for_a_day(self) -> None:
        assert sum(backoff_s(attempt) for attempt in range(1, MAX_ATTEMPTS)) > 24 * 3600

    @pytest.mark.parametrize("way", ["removed", "disabled"])
    def test_one_that_is_gone_is_not_told_what_waits(
        self, place: Place, telling: Telling, receiver: Receiver, way: str
    ) -> None:
        hook = telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        telling.follow()
        if way == "removed":
            telling.webhooks.delete(place.act, hook.id)
        else:
            telling.webhooks.change(place.act, hook.id, status="disabled")
        assert telling.send() == 1
        assert jobs(place)[0].result == {"skipped": way}
        assert receiver.received == []

    def test_an_origin_that_is_listed_no_more_is_not_reached(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver)
        place.me.models.create(name="churn")
        telling.follow()
        assert Telling(place.home).send() == 1
        assert jobs(place)[0].state is JobState.FAILED
        assert receiver.received == []

    def test_no_secret_lies_in_a_job(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        telling.made(place.act, receiver, secret="very s3cret")
        receiver.answers = [500]
        place.me.models.create(name="churn")
        telling.tell()
        assert "s3cret" not in str(jobs(place))

    def test_nobody_may_have_any_address_asked(self, place: Place) -> None:
        with pytest.raises(Invalid):
            place.me.jobs.submit(kind=KIND, args={})


class TestDeliverer:
    def test_it_tells_while_it_runs(self, address: str, tmp_path: Path) -> None:
        with receiving() as receiver, lived_in(address, tmp_path) as place:
            telling = Telling(place.home, receiver.origin)
            telling.made(place.act, receiver)
            with telling.deliverer():
                for name in ("a", "b", "c"):
                    place.me.models.create(name=name)
                receiver.wait_for(3)
            place.me.models.create(name="later")
            time.sleep(0.1)
            assert len(receiver.received) == 3
            # Whoever runs next goes on.
            with Telling(place.reopened().home, receiver.origin).deliverer():
                receiver.wait_for(4)

    def test_two_of_them_tell_once(self, address: str, tmp_path: Path) -> None:
        with receiving() as receiver, lived_in(address, tmp_path) as place:
            one = Telling(place.home, receiver.origin)
            two = Telling(place.reopened().home, receiver.origin)
            one.made(place.act, receiver)
            with one.deliverer(), two.deliverer():
                for number in range(20):
                    place.me.models.create(name=f"m{number}")
                receiver.wait_for(20)
                time.sleep(0.2)
            assert len({one.delivery for one in receiver.received}) == 20
            assert len(receiver.received) == 20

    def test_a_receiver_that_hangs_does_not_hold_up_another(
        self, sqlite_address: str, tmp_path: Path
    ) -> None:
        with (
            lived_in(sqlite_address, tmp_path) as place,
            one_hangs(place) as (telling, slow, quick, done),
            telling.deliverer(),
        ):
            place.me.models.create(name="churn")
            slow.wait_for(1)
            place.me.models.create(name="loans")
            quick.wait_for(2)
            done.set()

    def test_a_webhook_that_hangs_takes_one_thread_however_much_waits_for_it(
        self, sqlite_address: str, tmp_path: Path
    ) -> None:
        with (
            lived_in(sqlite_address, tmp_path) as place,
            one_hangs(place) as (telling, slow, quick, done),
            telling.deliverer(),
        ):
            for number in range(2 * THREADS):
                place.me.models.create(name=f"m{number}")
            quick.wait_for(2 * THREADS)
            assert len(slow.received) == 1
            done.set()
            names = [one.said["data"]["name"] for one in slow.wait_for(2 * THREADS)]
            assert names == [f"m{number}" for number in range(2 * THREADS)]

    def test_a_receiver_that_asks_for_a_pause_gets_it(
        self, sqlite_address: str, tmp_path: Path
    ) -> None:
        clock = FakeClock(now_us=time.time_ns() // 1000)
        with receiving() as receiver, made_place(sqlite_address, tmp_path, clock) as place:
            telling = Telling(place.home, receiver.origin)
            webhook = telling.made(place.act, receiver)
            receiver.answers, receiver.headers = [429], {"Retry-After": "60"}
            for name in ("a", "b"):
                place.me.models.create(name=name)
            with telling.deliverer():
                receiver.wait_for(1)
                time.sleep(0.2)
                clock.advance(59)
                time.sleep(0.2)
                assert telling.deliveries.is_quiet(webhook.id)
                assert len(receiver.received) == 1
                clock.advance(2)
                receiver.wait_for(3)

    def test_without_webhooks_nothing_is_followed(
        self, place: Place, telling: Telling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> int:
            raise AssertionError("it looked")

        monkeypatch.setattr(telling.deliveries, "follow_once", broken)
        telling.deliverer().look()


class TestTrying:
    def test_an_example_is_sent_at_once(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        hook = telling.made(place.act, receiver, secret="s", status="disabled")
        tried = telling.deliveries.try_out(place.key, hook.id)
        assert (tried.success, tried.status, tried.body) == (True, 200, "thanks")
        tried = telling.deliveries.try_out(place.key, hook.id, "prompt_alias.created")
        assert [one.event for one in receiver.received] == [ALL[0], "prompt_alias.created"]
        assert all(one.is_signed_with("s") for one in receiver.received)
        assert jobs(place) == []

    def test_what_went_wrong_is_told(
        self, place: Place, telling: Telling, receiver: Receiver
    ) -> None:
        hook = telling.made(place.act, receiver)
        receiver.answers = [404]
        receiver.body = b"x" * 5000
        tried = telling.deliveries.try_out(place.key, hook.id)
        assert (tried.success, tried.status, tried.body) == (False, 404, "x" * 2000)
        tried = Telling(place.home).deliveries.try_out(place.key, hook.id)
        assert (tried.success, tried.status) == (False, None)
        assert "only https is allowed" in tried.error


def test_the_same_delivery_is_the_same_bytes() -> None:
    delivery = Delivery(
        webhook=WebhookId(new_id("whk")),
        event="prompt_tag.set",
        time_us=1_750_000_000_123_456,
        data={"name": "ä", "key": "k", "value": None},
    )
    assert (
        encode_body(delivery)
        == (
            '{"entity":"prompt_tag","action":"set","timestamp":"2025-06-15T15:06:40.123456+00:00",'
            '"data":{"name":"ä","key":"k","value":null}}'
        ).encode()
    )


def test_a_signature_can_be_computed_by_hand() -> None:
    # By `printf '%s' 'id.1.{}' | openssl dgst -sha256 -hmac key -binary | base64`.
    assert sign("key", delivery_id="id", timestamp="1", body=b"{}") == (
        "v1,5PVmP2AfJGwnp9flV+flrzfukNWA9zyUdqvI+IQalVs="
    )
