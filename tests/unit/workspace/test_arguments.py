"""Limits and states that callers pass as they like are checked before anything is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.homes import Place
from millwright.core.errors import Invalid
from millwright.workspace.arguments import MAX_PAGE, check_page


@pytest.mark.parametrize("limit", [-1, 0, MAX_PAGE + 1, 1 << 62])
def test_a_page_has_its_limits(sqlite_place: Place, limit: int) -> None:
    me = sqlite_place.me
    sqlite_place.deployed()
    me.monitors.create(name="m", deployment="web")
    pages: list[Callable[[], object]] = [
        lambda: me.audit.events(limit=limit),
        lambda: me.jobs.list_all(limit=limit),
        lambda: me.alerts.list_all(limit=limit),
        lambda: me.monitors.reports(name="m", limit=limit),
    ]
    for page in pages:
        with pytest.raises(Invalid, match=f"a page of {limit} entries"):
            page()
    assert (check_page(1), check_page(MAX_PAGE)) == (1, MAX_PAGE)


def test_a_state_that_no_job_has_is_refused_naming_those_there_are(sqlite_place: Place) -> None:
    with pytest.raises(Invalid) as caught:
        sqlite_place.me.jobs.list_all(state="runing")
    assert caught.value.what == "there is no state of a job 'runing'"
    assert "queued, running" in caught.value.why
    assert caught.value.fix == "did you mean 'running'?"
    assert sqlite_place.me.jobs.list_all(state="running") == []
