from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.ids import made_at_us, parse_id, to_hex
from millwright.core.refs import check_title
from millwright.doors.door import Door
from millwright.sdk.imported_start import begin, run_id, title
from millwright.tracking.sources.found import FoundRun
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.workspace.open import Home


class Place(TensorBoard):
    """A logdir that nobody looks into."""

    def __init__(self, where: str) -> None:
        super().__init__(Path())
        self._where = where

    @property
    def scope(self) -> str:
        return self._where


def found(name: str, start_us: int = 1_790_000_000_000_000, uuid: str | None = None) -> FoundRun:
    return FoundRun(id=name, name=name, experiment="e", start_us=start_us, mark="", uuid=uuid)


@given(st.text(max_size=20), st.integers(1, 2**47 * 1000))
def test_an_id_is_made_from_the_run_and_says_when_it_began(name: str, start_us: int) -> None:
    made = run_id(Place("here"), found(name, start_us))
    assert made == run_id(Place("here"), found(name, start_us))
    assert parse_id(made, "run") == made
    assert made_at_us(made) == start_us // 1000 * 1000
    # A UUID of version 7, as a run that is begun here has.
    assert to_hex(made)[12] == "7"
    assert to_hex(made)[16] in "89ab"


def test_another_run_another_place_or_another_project_has_another_id() -> None:
    one = run_id(Place("here"), found("a"))
    assert one != run_id(Place("here"), found("b"))
    assert one != run_id(Place("there"), found("a"))
    assert one != run_id(Place("here"), found("a"), "project")


def test_digits_that_a_run_has_already_are_kept() -> None:
    uuid = "0123456789abcdef" * 2
    assert to_hex(run_id(Place("here"), found("a", uuid=uuid))) == uuid
    assert to_hex(run_id(Place("here"), found("a", uuid=uuid), "project")) != uuid


@given(st.text(max_size=600))
def test_any_text_becomes_a_title(text: str) -> None:
    check_title(title(text, "imported"), "run")


@pytest.mark.parametrize(
    ("text", "name"),
    [("train/one", "train/one"), ("a\nb", "a b"), ("  ", "imported"), ("x" * 600, "x" * 500)],
)
def test_a_title_stays_as_near_as_may_be(text: str, name: str) -> None:
    assert title(text, "imported") == name


def test_the_command_of_a_foreign_run_holds_no_secrets(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    door = cast("Door", home.door(home.local_principal(), "default"))
    run = replace(found("a"), command=("train.py", "--api-key", "k"))
    met = begin(door, Place("here"), run, None)
    home.close()
    assert met.run.source.command == ["train.py", "--api-key", "***"]
