from __future__ import annotations

from typing import Any, cast

import pytest

from fixtures.homes import Place
from millwright.automation.sealing import Seal
from millwright.automation.webhooks import FOLLOWER, Webhooks
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import new_id
from millwright.journal.followers import Follower
from millwright.metadata.filters import FilterError
from millwright.metadata.tables import webhooks as tables
from millwright.records.automation import Webhook, WebhookEvent

URL = "https://hooks.example.com/s3cret-path"
EVENTS: list[WebhookEvent] = ["model_version.created", "model_version_alias.created"]


@pytest.fixture
def webhooks(place: Place) -> Webhooks:
    return place.home.webhooks


def made(place: Place, name: str = "tell", **more: Any) -> Webhook:
    """Make a webhook."""
    given: dict[str, Any] = {"name": name, "url": URL, "events": EVENTS}
    return place.home.webhooks.create(place.act, **(given | more))


def told(place: Place) -> list[dict[str, object]]:
    """Return what the journal says of webhooks, without the reason."""
    found = [dict(event.detail or {}) for event in place.events("WebhookChanged")]
    return [{key: value for key, value in one.items() if key != "reason"} for one in found]


class TestMaking:
    def test_one_is_made_and_found(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place, description="for the team", secret="s3cret")
        assert webhooks.get(place.key, hook.id) == hook
        assert (hook.name, hook.url, hook.events, hook.status) == ("tell", URL, EVENTS, "active")
        assert (hook.description, hook.is_signed) == ("for the team", True)

    def test_the_journal_says_so_and_keeps_no_secret(self, place: Place) -> None:
        hook = made(place, secret="s3cret")
        assert told(place) == [
            {
                "name": "tell",
                "what": "made",
                "origin": "https://hooks.example.com",
                "events": EVENTS,
            }
        ]
        event = place.events("WebhookChanged")[0]
        assert [(one.kind, one.id) for one in event.subjects] == [("webhook", hook.id)]
        assert "s3cret" not in str(event)

    def test_the_secret_does_not_lie_open_in_the_database(
        self, place: Place, webhooks: Webhooks
    ) -> None:
        hook = made(place, secret="s3cret")
        row = webhooks.get_row(place.key, hook.id)
        assert "s3cret" not in (row.secret or "s3cret")
        assert webhooks.secret_of(row) == "s3cret"
        assert place.reopened().home.webhooks.secret_of(row) == "s3cret"

    def test_an_event_named_twice_is_told_once(self, place: Place) -> None:
        assert made(place, events=[*EVENTS, *EVENTS]).events == EVENTS

    def test_two_may_have_one_name(self, place: Place, webhooks: Webhooks) -> None:
        first, second = made(place), made(place)
        assert [one.id for one in webhooks.list_page(place.key).webhooks] == [second.id, first.id]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": "-x"},
            {"name": "x-"},
            {"name": "a b"},
            {"name": "a\n"},
            {"name": "x" * 64},
            {"url": "http://example.com"},
            {"url": "https://10.0.0.1/"},
            {"events": []},
            {"description": "x" * 1001},
            {"secret": "x" * 1001},
        ],
    )
    def test_what_cannot_be_is_refused(self, place: Place, wrong: dict[str, Any]) -> None:
        with pytest.raises(Invalid):
            made(place, **wrong)
        assert place.events("WebhookChanged") == []

    @pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 63, "0"])
    def test_names_are_those_of_mlflow(self, place: Place, name: str) -> None:
        assert made(place, name).name == name


class TestChanging:
    def test_only_what_is_given_changes(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place, secret="s3cret")
        place.clock.advance(1)
        changed = webhooks.change(place.act, hook.id, name="other", status="disabled")
        assert (changed.name, changed.status, changed.url) == ("other", "disabled", URL)
        assert changed.is_signed
        assert changed.changed_us > changed.created_us == hook.created_us
        assert told(place)[-1]["what"] == "name, status disabled"

    def test_nothing_given_changes_nothing(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place)
        assert webhooks.change(place.act, hook.id) == hook
        assert len(told(place)) == 1

    def test_an_empty_secret_ends_signing(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place, secret="s3cret")
        assert not webhooks.change(place.act, hook.id, secret="").is_signed
        assert webhooks.change(place.act, hook.id, secret="new").is_signed
        assert webhooks.secret_of(webhooks.get_row(place.key, hook.id)) == "new"

    def test_url_and_events_are_checked_again(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place)
        wrongs: list[dict[str, Any]] = [{"url": "http://x.org"}, {"name": "a b"}, {"events": []}]
        for wrong in wrongs:
            with pytest.raises(Invalid):
                webhooks.change(place.act, hook.id, **wrong)
        changed = webhooks.change(
            place.act, hook.id, url="https://x.org/a", events=["prompt.created"]
        )
        assert (changed.url, changed.events) == ("https://x.org/a", ["prompt.created"])
        assert told(place)[-1] == {
            "name": "tell",
            "what": "url, events",
            "origin": "https://x.org",
            "events": ["prompt.created"],
        }

    def test_one_that_is_gone_is_not_found(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place)
        webhooks.delete(place.act, hook.id)
        assert told(place)[-1]["what"] == "removed"
        for call in (
            lambda: webhooks.get(place.key, hook.id),
            lambda: webhooks.change(place.act, hook.id, name="x"),
            lambda: webhooks.delete(place.act, hook.id),
        ):
            with pytest.raises(NotFound):
                call()

    def test_another_project_has_none_of_them(self, place: Place, webhooks: Webhooks) -> None:
        hook = made(place)
        other = place.home.projects.create("other", act=place.act)
        assert webhooks.list_page(other.key).webhooks == []
        with pytest.raises(NotFound):
            webhooks.get(other.key, hook.id)

    def test_one_whose_origin_is_listed_no_more_can_be_removed(self, place: Place) -> None:
        home = place.home
        once = Webhooks(
            home.database, home.journal, home.clock, seal=Seal(bytes(32)), allowed=["http://h:9"]
        )
        hook = once.create(place.act, name="in", url="http://h:9/x", events=EVENTS)
        home.webhooks.delete(place.act, hook.id)
        assert told(place)[-1]["origin"] == "http://h:9"


class TestListing:
    def test_pages_are_read_newest_first(self, place: Place, webhooks: Webhooks) -> None:
        ids = [made(place).id for _ in range(5)]
        found: list[str] = []
        token: str | None = None
        while True:
            page = webhooks.list_page(place.key, limit=2, token=token)
            found += [one.id for one in page.webhooks]
            token = page.next_token
            if token is None:
                break
        assert found == ids[::-1]

    def test_a_page_or_token_that_cannot_be_is_refused(
        self, place: Place, webhooks: Webhooks
    ) -> None:
        for limit in (0, 1001):
            with pytest.raises(Invalid):
                webhooks.list_page(place.key, limit=limit)
        for token in ("x", "gaF4", "kgEC"):
            with pytest.raises(FilterError):
                webhooks.list_page(place.key, token=token)


class TestFollowing:
    def place_of(self, place: Place) -> int:
        return Follower(place.home.journal, FOLLOWER).take(1)[0].place

    def test_the_first_one_passes_over_all_that_was(self, place: Place) -> None:
        place.me.models.create(name="before")
        made(place)
        event = place.events("WebhookChanged")[0]
        assert self.place_of(place) == event.place

    def test_a_later_one_does_not_make_the_others_miss_anything(self, place: Place) -> None:
        made(place)
        first = self.place_of(place)
        place.me.models.create(name="between")
        made(place)
        assert self.place_of(place) == first

    def test_one_that_is_switched_on_again_hears_nothing_of_the_meantime(
        self, place: Place, webhooks: Webhooks
    ) -> None:
        hook = made(place)
        webhooks.change(place.act, hook.id, status="disabled")
        assert not webhooks.has_active()
        place.me.models.create(name="meantime")
        webhooks.change(place.act, hook.id, status="active")
        assert webhooks.has_active()
        assert self.place_of(place) == place.events("WebhookChanged")[-1].place


def test_an_unknown_id_is_no_webhook(place: Place) -> None:
    assert place.home.webhooks.find_row(place.key, cast("Any", new_id("whk"))) is None
    with pytest.raises(Invalid):
        place.home.webhooks.get(place.key, "run_1")
    with place.home.database.read() as tx:
        assert tables.list_active(tx) == []
