from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from millwright.core.errors import NotFound
from millwright.doors.door import Door
from millwright.sdk import calls
from millwright.sdk.active import ActiveRun
from millwright.sdk.current import Options, start_in
from millwright.workspace.config import Config

NAMES = [name for name in vars(calls) if name.startswith(("log_", "set_", "flush"))]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_takes_what_the_method_of_a_run_takes(name: str) -> None:
    call = inspect.signature(getattr(calls, name))
    method = inspect.signature(getattr(ActiveRun, name))
    assert list(call.parameters.values()) == list(method.parameters.values())[1:]
    assert call.return_annotation == method.return_annotation


def test_everything_a_run_logs_can_be_logged_without_naming_it() -> None:
    methods = {
        name
        for name in vars(ActiveRun)
        if name.startswith(("log_", "set_")) and name != "log_points"
    }
    assert set(NAMES) == methods | {"flush"}


def test_calls_reach_the_active_run(embedded: Config, door: Door, project: Path) -> None:
    with start_in(embedded, "calls", options=Options(console=False, system=False)) as run:
        calls.log_param("a", 1)
        calls.log_metric("m", 1.0)
        calls.set_tag("t", "x")
        calls.log_text("hello", "note.txt")
        calls.log_dict({"a": [1]}, "facts.yaml")
        calls.log_table({"a": [1, 2]}, "table.csv")
        calls.log_image([[0, 255]], "image.png")
        calls.log_artifacts({"script.py": project / "train.py"})
        (project / "plots").mkdir()
        (project / "plots" / "a.svg").write_text("<svg/>")
        calls.log_artifacts(str(project / "plots"))
        assert calls.flush()
    shown = door.runs.show(ref=run.id)
    assert (shown.params, shown.metrics, shown.tags) == ({"a": "1"}, {"m": 1.0}, {"t": "x"})
    assert {link.name for link in shown.links} == {
        "note.txt",
        "facts.yaml",
        "table.csv",
        "image.png",
        "script.py",
        "a.svg",
    }


@pytest.mark.parametrize("name", ["log_metric", "log_param", "set_tag", "log_text"])
def test_without_a_run_a_call_says_how_to_start_one(name: str) -> None:
    with pytest.raises(NotFound, match=r"start one with start_run\(\)"):
        getattr(calls, name)("a", "b")
