from __future__ import annotations

import pytest

from millwright.core.errors import Invalid
from millwright.tracking.columns import check_columns, fields_of, is_logged

ATTRIBUTES = ("name", "status")


def test_attributes_and_what_was_logged_are_columns() -> None:
    names = ["status", "metrics.val/auc.5", "tags.a", "status"]
    assert check_columns(names, ATTRIBUTES) == ["status", "metrics.val/auc.5", "tags.a"]
    assert fields_of(names) == ["metrics.val/auc.5", "tags.a"]
    assert fields_of(None) == ["params", "metrics", "tags"]


@pytest.mark.parametrize("name", ["stattus", "metrics", "metrics.", "metric.auc", ""])
def test_what_no_run_has_is_refused(name: str) -> None:
    assert not is_logged(name)
    with pytest.raises(Invalid) as told:
        check_columns([name], ATTRIBUTES)
    assert told.value.what == f"{name!r} is no column of a table of runs"
    assert told.value.why == "there are name, status, and what was logged, as metrics.auc"


def test_the_nearest_attribute_is_named() -> None:
    with pytest.raises(Invalid) as told:
        check_columns(["stattus"], ATTRIBUTES)
    assert told.value.fix == "did you mean 'status'?"
