"""One home through both doors, embedded and over HTTP: what one writes, the other reads alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.example_host import serving
from millwright.client.services import Client
from millwright.core.errors import Invalid, MillwrightError, NotFound, Unauthenticated
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint, RunSource
from millwright.server.host import Host
from millwright.workspace.open import Home

pytestmark = pytest.mark.sockets

SOURCE = RunSource(command=["python", "train.py"], python="3.11", platform="linux")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home.create(tmp_path_factory.mktemp("home") / "home")
    yield home
    home.close()


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serving(cast("Host", home), open_on_loopback=True) as address:
        yield address


@pytest.fixture(scope="module")
def embedded(home: Home) -> Door:
    return cast("Door", home.door(home.local_principal(), "default"))


@pytest.fixture(scope="module")
def remote(address: str) -> Iterator[Door]:
    with Client(address) as client:
        yield client


@pytest.fixture(params=["embedded", "remote"])
def door(request: pytest.FixtureRequest) -> Door:
    return request.getfixturevalue(request.param)


@pytest.fixture
def both(embedded: Door, remote: Door) -> tuple[Door, Door]:
    return embedded, remote


def test_the_same_actor_stands_behind_both(both: tuple[Door, Door]) -> None:
    mine, theirs = (one.access.whoami() for one in both)
    assert mine == theirs


def test_a_run_is_logged_and_read_alike(door: Door, both: tuple[Door, Door]) -> None:
    run = door.runs.start(name="train 1.0", source=SOURCE, experiment="under 50")
    door.runs.log_params(run=run.id, params={"max_depth": "3"})
    points = [MetricPoint(key="val/auc %", value=value, step=n) for n, value in enumerate([0.5, 1])]
    door.runs.log_metrics(run=run.id, points=points)
    door.runs.set_tags(run=run.id, tags={"who": "ada"})
    closed = door.runs.finish(run=run.id)
    assert (closed.status, closed.params) == ("finished", {"max_depth": "3"})
    for one in both:
        assert one.runs.show(ref=run.id) == closed
        assert [point.value for point in one.runs.history(ref=run.id, key="val/auc %")] == [0.5, 1]
    mine, theirs = (one.runs.page(experiment="under 50", limit=1) for one in both)
    assert mine == theirs
    assert mine.runs[0].id == run.id


def test_data_is_added_and_read_alike(door: Door, both: tuple[Door, Door], tmp_path: Path) -> None:
    (tmp_path / "loans.csv").write_text("a,b\n1,x\n2,y\n")
    digest = door.artifacts.put_file(tmp_path / "loans.csv")
    added = door.data.add(name="loans", digest=digest, format="csv", source="loans.csv")
    assert (added.version, added.row_count) == (1, 2)
    for one in both:
        assert one.data.show(ref="loans@v1") == added
        assert one.data.versions(name="loans") == [added]
        one.artifacts.fetch(digest, tmp_path / "back")
        assert (tmp_path / "back").read_text() == "a,b\n1,x\n2,y\n"
    mine, theirs = (one.data.profile(ref="loans") for one in both)
    assert mine == theirs


def test_a_folder_has_one_digest(both: tuple[Door, Door], tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a").write_bytes(b"1")
    mine, theirs = (one.artifacts.put_folder(tmp_path / "in") for one in both)
    assert mine == theirs
    for n, one in enumerate(both):
        one.artifacts.fetch_folder(mine, tmp_path / f"out{n}")
        assert (tmp_path / f"out{n}" / "sub" / "a").read_bytes() == b"1"


def test_errors_are_the_same_error(both: tuple[Door, Door]) -> None:
    def failing(one: Door) -> tuple[type[MillwrightError], str]:
        with pytest.raises(MillwrightError) as raised:
            one.data.show(ref="nothing@v1")
        return raised.type, str(raised.value)

    mine, theirs = map(failing, both)
    assert mine == theirs
    assert mine[0] is NotFound
    for one in both:
        with pytest.raises(Invalid):
            one.models.create(name="../x")


def test_the_journal_names_the_request(home: Home, both: tuple[Door, Door]) -> None:
    mine, theirs = both
    mine.models.create(name="here", reason="embedded")
    theirs.models.create(name="there", reason="over HTTP")
    there, here = mine.audit.events(kind="ModelCreated", newest_first=True, limit=2)
    assert here.request is None
    assert there.request
    assert there.actor == here.actor
    assert theirs.audit.events() == mine.audit.events()
    assert theirs.audit.verify().ok


def test_a_token_made_over_http_opens_what_it_says(address: str, remote: Door) -> None:
    made = remote.access.create_token(name="reader", scopes=["data.read"], days=1)
    with Client(address, made.secret) as reader:
        reader.data.list_all()
        remote.access.revoke_token(id=made.token.id)
        with pytest.raises(Unauthenticated, match="this token opens nothing"):
            reader.data.list_all()


def test_waiting_for_a_plan_ends_in_time(door: Door) -> None:
    began = time.monotonic()
    plans = door.serving.plans(after=10**9, wait_s=0.3)
    assert plans.plans == []
    assert 0.25 < time.monotonic() - began < 5
