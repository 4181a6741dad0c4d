from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import contents, unread_of
from millwright.records.runs import MetricPoint
from millwright.tracking.sources.found import FoundRun
from millwright.tracking.sources.mlflow_words import (
    ArtifactFolders,
    logged_model_uuid,
    parents_first,
    to_logged_status,
    to_point,
    to_run,
    to_status,
    to_us,
)


def run(name: str, parent: str | None = None) -> FoundRun:
    return FoundRun(id=name, name=name, experiment="e", start_us=1, parent=parent, mark="")


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefx"), max_size=6))
def test_each_run_comes_once_and_behind_its_parent_unless_they_go_round(
    parents: dict[str, str],
) -> None:
    runs = [run(name, parents.get(name)) for name in "abcdef"]
    order = [one.id for one in parents_first(runs)]
    assert sorted(order) == list("abcdef")
    for name, parent in parents.items():
        above, seen = parent, {name}
        while above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        if above not in seen and parent in order:
            assert order.index(parent) < order.index(name)


def test_states_and_times_in_our_words() -> None:
    states = ["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED", "?"]
    expected = ["finished", "failed", "cancelled", "running", "running", "running"]
    assert [to_status(state) for state in states] == expected
    logged = [to_logged_status(state) for state in (1, 2, 3, "LOGGED_MODEL_READY", "FAILED")]
    assert logged == ["pending", "ready", "failed", "ready", "failed"]
    # 0 would be read as "now", another time each time it is logged.
    assert [to_us(ms) for ms in (0, None, 2)] == [1, 1, 2000]


@pytest.mark.parametrize(
    ("value", "is_nan", "kept"),
    [
        (0.5, False, 0.5),
        (0.0, True, None),
        (math.nan, False, None),
        (1.7976931348623157e308, False, math.inf),
        (-1.7976931348623157e308, False, -math.inf),
        (math.inf, False, math.inf),
    ],
)
def test_values_that_mlflow_has_no_room_for_come_back(
    value: float, is_nan: bool, kept: float | None
) -> None:
    point = to_point("a", value, step=1, time_ms=2, is_nan=is_nan)
    assert point == MetricPoint(key="a", value=kept, step=1, time_us=2000)


def test_a_run_is_named_by_what_there_is() -> None:
    uuid = "a" * 32
    tags = {"mlflow.runName": "tagged", "mlflow.source.name": "train.py", "mlflow.user": "ada"}
    found = to_run(uuid, name="", experiment="e", start_ms=5, tags=tags, seen=["x"])
    assert (found.name, found.uuid, found.command, found.user) == (
        "tagged",
        uuid,
        ("train.py",),
        "ada",
    )
    odd = to_run("../x", name="", experiment="e", start_ms=None, tags={}, seen=["y"])
    assert (odd.name, odd.uuid, odd.start_us) == ("../x", None, 1)
    assert odd.mark != found.mark


@pytest.mark.parametrize(
    ("uri", "uuid"),
    [("models:/m-" + "a" * 32, "a" * 32), ("models:/churn/1", None), ("m-xyz", None)],
)
def test_a_logged_model_is_known_by_its_digits(uri: str, uuid: str | None) -> None:
    assert logged_model_uuid(uri) == uuid


@pytest.fixture
def below(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "1" / "abc" / "artifacts").mkdir(parents=True)
    (folder / "1" / "abc" / "artifacts" / "x y.txt").write_text("x")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    return folder


def uris(below: Path) -> list[str]:
    return [
        f"{below}/1/abc/artifacts",
        f"file://{below}/1/abc/artifacts",
        "1/abc/artifacts",
        "./1/abc/artifacts",
        "mlflow-artifacts:/1/abc/artifacts",
        "mlflow-artifacts://host:5000/1/abc/artifacts",
        "/where/it/was/1/abc/artifacts",
        "file:///where/it/was/1/abc/artifacts",
    ]


def test_artifacts_are_found_by_every_kind_of_address(below: Path, tmp_path: Path) -> None:
    folders = ArtifactFolders((below.resolve(),), (below.resolve(),))
    for uri in uris(below):
        found = list(folders.files(uri, needed=True))
        assert contents(found, tmp_path) == {"x y.txt": b"x"}, uri


def test_nothing_outside_of_the_folder_is_read(below: Path, tmp_path: Path) -> None:
    folders = ArtifactFolders((below.resolve(),), (below.resolve(),))
    (below / "link").symlink_to(tmp_path / "secret")
    for uri in (
        f"{tmp_path}/secret",
        f"file://{tmp_path}/secret",
        "../secret",
        "mlflow-artifacts:/../secret",
        "mlflow-artifacts:/%2e%2e/secret",
        "link",
        "/etc",
    ):
        (unread,) = unread_of(folders.files(uri, needed=True))
        assert unread.startswith(f"{uri}: the artifacts lie outside of {below}"), unread


def test_what_cannot_be_reached_is_named_with_what_to_do(below: Path) -> None:
    folders = ArtifactFolders((below,), ())
    (bucket,) = unread_of(folders.files("s3://bucket/1", needed=False))
    assert "s3:// is not read directly" in bucket
    (proxied,) = unread_of(folders.files("mlflow-artifacts:/1", needed=False))
    assert "--artifacts DIR" in proxied
    assert unread_of(folders.files("1/missing", needed=False)) == []
    assert unread_of(folders.files("1/missing", needed=True)) == [
        "1/missing: there is no such folder of artifacts"
    ]
