from __future__ import annotations

from pathlib import Path

import pytest

from millwright.doors.door import Door
from millwright.sdk.current import Options, active_run, start_in
from millwright.sdk.fits import run_for_fit
from millwright.workspace.config import Config

QUIET = Options(console=False, system=False)


@pytest.fixture(autouse=True)
def settings(embedded: Config, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what looks for settings find the home."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(embedded.home))


def test_without_a_run_a_fit_has_its_own(door: Door) -> None:
    fit = run_for_fit("Ridge")
    assert fit.ours
    assert active_run() is fit.run
    fit.end("failed")
    fit.end()
    assert active_run() is None
    assert door.runs.show(ref=fit.run.id).status == "failed"


def test_the_active_run_takes_one_fit_and_the_others_are_part_of_it(
    embedded: Config, door: Door
) -> None:
    with start_in(embedded, "mine", options=QUIET) as run:
        first = run_for_fit("Ridge")
        assert (first.run, first.ours) == (run, False)
        first.end()
        assert not run.ended
        second = run_for_fit("Ridge", experiment="other")
        assert second.ours
        second.end()
        assert active_run() is run
    assert door.runs.show(ref=second.run.id).parent == run.id
