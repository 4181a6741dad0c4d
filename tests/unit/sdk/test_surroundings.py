from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.away import SOURCE, FakeHome
from fixtures.serving import wait_until
from millwright.core.clock import SystemClock
from millwright.core.ids import RunId, new_id
from millwright.sdk.items import Begun, deliver
from millwright.sdk.sender import Sender
from millwright.sdk.shelf import Shelf
from millwright.sdk.spool import FORMAT, Header, Spool
from millwright.sdk.surroundings import Surroundings


@pytest.fixture
def home() -> FakeHome:
    return FakeHome()


@pytest.fixture
def shelf(home: FakeHome, tmp_path: Path) -> Shelf:
    run = RunId(new_id("run"))
    begun = Begun(name="train", experiment="churn", source=SOURCE, start_us=1)
    deliver(home.door(), run, begun, folder=tmp_path)
    header = Header(format=FORMAT, run=run, project="default", url=None)
    spool = Spool(tmp_path / "spool" / f"{run}.spool", header)
    return Shelf(Sender(home.door, spool, clock=SystemClock()), SystemClock())


def nowhere(metrics: dict[str, float], step: int) -> None:
    """Take metrics and forget them."""


def test_what_is_printed_becomes_the_log(
    shelf: Shelf, home: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    surroundings = Surroundings(tmp_path, SystemClock(), system=False)
    surroundings.start(nowhere)
    sys.stdout.write("epoch 1\n")
    digest = surroundings.stop(shelf)
    assert digest is not None
    assert home.stored[digest] == b"epoch 1\n"


def test_nothing_is_kept_that_was_not_asked_for(
    shelf: Shelf, home: FakeHome, tmp_path: Path
) -> None:
    before = sys.stdout
    surroundings = Surroundings(tmp_path, SystemClock(), console=False, system=False)
    surroundings.start(nowhere)
    assert sys.stdout is before
    assert surroundings.stop(shelf) is None
    assert home.stored == {}


def test_the_machine_is_watched_until_the_end(shelf: Shelf, tmp_path: Path) -> None:
    seen: list[int] = []
    surroundings = Surroundings(tmp_path, SystemClock(), console=False, interval_s=0.001)
    surroundings.start(lambda metrics, step: seen.append(step))
    wait_until(lambda: len(seen) > 1)
    surroundings.stop(shelf)


def test_a_notebooks_cells_are_kept(
    shelf: Shelf, home: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(history_manager=None, user_ns={})
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)  # pyright: ignore[reportArgumentType]
    surroundings = Surroundings(tmp_path, SystemClock(), console=False, system=False)
    surroundings.start(nowhere)
    surroundings.stop(shelf)
    assert list(home.only().files) == ["notebook/executed.ipynb"]


def test_a_home_that_says_no_breaks_no_end(
    shelf: Shelf, home: FakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millwright.core.errors import Invalid

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    surroundings = Surroundings(tmp_path, SystemClock(), system=False)
    surroundings.start(nowhere)
    sys.stdout.write("x")
    home.away = Invalid("never")
    assert surroundings.stop(shelf) is None


def test_it_can_be_dropped_at_any_moment(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path, SystemClock())
    surroundings.drop()
    before = sys.stdout
    surroundings.start(nowhere)
    surroundings.drop()
    assert sys.stdout is before
