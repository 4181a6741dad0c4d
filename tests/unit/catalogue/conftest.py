"""Contexts for steps called as plain functions, and rows for them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from fixtures.homes import SOURCE, Place
from fixtures.steps import Stage, make_stage
from millwright.core.ids import RunId


@pytest.fixture
def place(sqlite_place: Place) -> Place:
    return sqlite_place


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A context without a door."""
    return make_stage(tmp_path / "step", run=RunId("run_local"))


@pytest.fixture
def indoors(place: Place, tmp_path: Path) -> Stage:
    """A context with the door of a real home, in a run of its own."""
    run = place.me.runs.start(name="step", source=SOURCE, kind="step").id
    return make_stage(tmp_path / "step", run=run, door=place.me)


@pytest.fixture
def people() -> pl.DataFrame:
    """Sixty people of whom the tall ones say yes, one without an age."""
    count = 60
    height = [150.0 + at for at in range(count)]
    return pl.DataFrame(
        {
            "id": [f"p{at}" for at in range(count)],
            "height": height,
            "age": [None if at == 3 else 20 + at % 40 for at in range(count)],
            "town": [("oslo", "rome", "lima")[at % 3] for at in range(count)],
            "says": ["yes" if one > 180 else "no" for one in height],
        }
    )
