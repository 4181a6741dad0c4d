"""What the types promise; the type checker is the test, and these also run."""

# A line that a type checker must refuse carries an ignore; if it did not refuse it, the ignore
# would be an error itself.
# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_type, cast

import pytest

import millwright as mw
from fixtures.example_host import example_of
from millwright.client.services import Client
from millwright.core.digest import Digest
from millwright.core.ids import AlertId, DecisionId, ModelVersionId, RunId, new_id
from millwright.doors.door import Door
from millwright.pipelines.graph import Pipeline
from millwright.pipelines.step import Step
from millwright.records.models import ModelVersion
from millwright.records.runs import Run
from millwright.sdk.active import ActiveRun


def show_version(version: ModelVersionId) -> str:
    return version


def show_run(run: RunId) -> str:
    return run


def test_a_run_is_not_a_model_version() -> None:
    run, version = RunId(new_id("run")), ModelVersionId(new_id("mov"))
    assert_type(run, RunId)
    assert show_run(run).startswith("run_")
    assert show_version(version).startswith("mov_")
    show_version(run)  # pyright: ignore[reportArgumentType]
    show_run(version)  # pyright: ignore[reportArgumentType]
    show_run("run_01")  # pyright: ignore[reportArgumentType]
    assert not isinstance(cast("object", run), Path)


def test_an_operation_takes_the_id_of_its_noun() -> None:
    def asks(door: Door, run: RunId, alert: AlertId) -> None:
        assert_type(door.alerts.show(id=alert).id, AlertId)
        door.alerts.show(id=run)  # pyright: ignore[reportArgumentType]
        door.decisions.show(id=alert)  # pyright: ignore[reportArgumentType]
        door.runs.log_params(run=alert, params={})  # pyright: ignore[reportArgumentType]

    assert callable(asks)
    assert DecisionId("dec_1") == "dec_1"


def test_records_carry_ids_of_their_kind() -> None:
    def looks(version: ModelVersion, run: Run) -> None:
        assert_type(version.id, ModelVersionId)
        assert_type(version.run, RunId | None)
        assert_type(version.package_digest, Digest)
        assert_type(run.id, RunId)
        assert_type(run.parent, RunId | None)

    assert callable(looks)


def test_records_cannot_be_changed() -> None:
    def changes(run: Run) -> None:
        run.name = "other"  # pyright: ignore[reportAttributeAccessIssue]

    with pytest.raises(AttributeError, match="immutable"):
        changes(example_of(Run))


def test_the_face_keeps_its_types() -> None:
    @mw.step
    def double(number: int) -> float:
        return number * 2.0

    @mw.pipeline
    def work(number: int) -> float:
        return double(number)

    starts: Callable[[str], ActiveRun] = mw.start_run
    assert_type(mw.active_run(), ActiveRun | None)
    steps: Step[[int], float] = double
    pipelines: Pipeline[[int], float] = work
    with pytest.raises(TypeError):
        double("two")  # pyright: ignore[reportArgumentType]
    assert_type(double(2), float)
    assert steps(2) == pipelines(2) == 4.0
    assert callable(starts)


def test_a_client_is_a_door() -> None:
    def opened(client: Client) -> Door:
        return client

    assert callable(opened)
