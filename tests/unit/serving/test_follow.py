"""Plans are acted on when their models answer, and not before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.serving import FolderControl, load_affine, make_plan, split
from millwright.core.clock import SystemClock
from millwright.core.ids import DeploymentId
from millwright.records.serving import Plans
from millwright.registry.flavor import Predictor
from millwright.serving.capture import Capture
from millwright.serving.engine import Engine
from millwright.serving.follow import CACHE, Follower
from millwright.serving.metrics import Metrics
from millwright.serving.models import ModelStore


@dataclass
class House:
    """A follower with all that it needs."""

    control: FolderControl
    state: Path
    pool: ThreadPoolExecutor

    def __post_init__(self) -> None:
        clock = SystemClock()
        capture = Capture(
            self.state / "segments", instance="i", clock=clock, on_sealed=lambda: None
        )
        self.engine = Engine(capture=capture, metrics=Metrics(), clock=clock)
        models = ModelStore(
            self.state / "packages",
            fetch=self.control.fetch_package,
            load=load_affine,
            pool=self.pool,
            clock=clock,
        )
        self.follower = Follower(
            control=self.control,
            engine=self.engine,
            models=models,
            state=self.state,
            clock=clock,
        )

    def take(self) -> None:
        """Let the follower act on what the control plane says now."""
        self.follower.take(self.control.plans(after=-1, wait_s=0))

    def versions(self) -> dict[str, list[int]]:
        """Return what answers, by deployment."""
        return {
            name: [variant.version for variant in each.plan.variants]
            for name, each in self.engine.deployed().items()
        }


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    (tmp_path / "state").mkdir()
    with ThreadPoolExecutor(1) as pool:
        yield House(FolderControl(tmp_path / "control"), tmp_path / "state", pool)


def test_plans_come_change_and_go(house: House) -> None:
    one, two = (house.control.add_model(n, base=float(n)) for n in (1, 2))
    house.take()
    assert house.follower.has_plans
    house.control.publish(make_plan(one, revision=1))
    house.take()
    assert house.versions() == {"demo": [1]}
    house.control.publish(make_plan(*split(one, two, 500), revision=2))
    house.take()
    assert house.versions() == {"demo": [1, 2]}
    house.control.publish(make_plan(two, revision=3))
    house.take()
    assert house.versions() == {"demo": [2]}
    house.control.publish()
    house.take()
    assert house.versions() == {}


def test_an_older_plan_is_not_acted_on(house: House) -> None:
    one, two = (house.control.add_model(n, base=float(n)) for n in (1, 2))
    house.follower.take(Plans(revision=5, plans=[make_plan(two, revision=5)]))
    house.follower.take(Plans(revision=4, plans=[make_plan(one, revision=4)]))
    assert house.versions() == {"demo": [2]}
    # The same name, but another deployment: made anew.
    other = DeploymentId("dep_00000000000000000000000002")
    house.follower.take(Plans(revision=6, plans=[make_plan(one, revision=1, deployment=other)]))
    assert house.versions() == {"demo": [1]}


def test_a_candidate_that_cannot_be_loaded_takes_no_traffic(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one = house.control.add_model(1, base=1.0)
    two = house.control.add_model(2, base=2.0)
    package = house.control.root / "packages" / two.package_digest.removeprefix("b3:")
    package.rename(package.with_name("away"))
    house.control.publish(make_plan(one, revision=1))
    house.take()
    house.control.publish(make_plan(*split(one, two, 5000), revision=2))
    house.take()
    assert house.versions() == {"demo": [1]}
    assert list(house.follower.failures) == ["demo"]
    assert "revision 2 of 'demo' is not acted on" in caplog.text
    package.with_name("away").rename(package)
    house.take()
    assert house.versions() == {"demo": [1, 2]}
    assert house.follower.failures == {}
    assert house.follower.load_failures == 1


def test_where_nothing_answers_yet_the_champion_does_without_its_candidate(house: House) -> None:
    one = house.control.add_model(1, base=1.0)
    two = house.control.add_model(2, base=2.0)
    package = house.control.root / "packages" / two.package_digest.removeprefix("b3:")
    package.rename(package.with_name("away"))
    house.control.publish(make_plan(*split(one, two, 5000), revision=2))
    house.take()
    assert house.versions() == {"demo": [1]}
    package.with_name("away").rename(package)
    house.take()
    assert house.versions() == {"demo": [1, 2]}


def test_a_plan_that_makes_no_sense_is_reported_and_the_others_go_on(house: House) -> None:
    one = house.control.add_model(1, base=1.0)
    odd = make_plan(split(one, one, 500)[1], name="odd", deployment=DeploymentId("dep_2"))
    house.control.publish(odd, make_plan(one))
    house.take()
    assert house.versions() == {"demo": [1]}
    assert "odd" in house.follower.failures


def test_models_nobody_uses_are_let_go(house: House) -> None:
    models = [house.control.add_model(n, base=float(n)) for n in range(4)]
    seen: list[weakref.ref[Predictor]] = []
    for revision, model in enumerate(models):
        house.control.publish(make_plan(model, revision=revision + 1))
        house.take()
        assert list(house.engine.get("demo").models) == [model.package_digest]
        seen.append(weakref.ref(house.engine.get("demo").model(model).predictor))
    gc.collect()
    assert [each() is None for each in seen] == [True, True, True, False]


def test_a_process_starts_from_the_plans_it_knew(house: House) -> None:
    house.control.publish(make_plan(house.control.add_model(1, base=1.0)))
    house.take()
    mode = (house.state / CACHE).stat().st_mode & 0o777
    assert mode & 0o077 == 0
    with house.control.down():
        again = House(house.control, house.state, house.pool)
        again.follower.start_from_cache()
        assert again.versions() == {"demo": [1]}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_damaged_cache_is_said_and_ignored(
    house: House, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    house.follower.start_from_cache()
    assert caplog.text == ""
    (house.state / CACHE).write_bytes(content)
    house.follower.start_from_cache()
    assert not house.follower.has_plans
    assert "cannot be read" in caplog.text
