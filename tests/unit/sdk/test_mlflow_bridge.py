"""The bridge with a store of MLflow's shape; with MLflow itself it is tried in tests/interop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from millwright.doors.door import Door
from millwright.sdk.current import Options, active_run, start_in
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.mlflow_bridge import PARENT_TAG, Bridge, connect, disconnect
from millwright.workspace.config import Config

QUIET = Options(console=False, system=False)
FINISHED, FAILED, RUNNING = 3, 4, 1


@dataclass
class Metric:
    key: str
    value: float
    step: int
    timestamp: int


@dataclass
class Text:
    key: str
    value: str


@dataclass
class FakeStore:
    """What MLflow's file store does, as far as the bridge asks."""

    folder: Path
    batches: list[tuple[str, int, int, int]] = field(
        default_factory=list[tuple[str, int, int, int]]
    )
    count: int = 0

    def create_run(
        self,
        experiment_id: str,
        user_id: str,
        start_time: int,
        tags: Sequence[Text],
        run_name: str | None,
    ) -> SimpleNamespace:
        self.count += 1
        return self.get_run(f"r{self.count}")

    def get_run(self, run_id: str) -> SimpleNamespace:
        info = SimpleNamespace(run_id=run_id, artifact_uri=str(self.folder / run_id))
        return SimpleNamespace(info=info)

    def get_experiment(self, experiment_id: str) -> SimpleNamespace:
        return SimpleNamespace(name=f"experiment {experiment_id}")

    def update_run_info(
        self, run_id: str, run_status: int, end_time: int | None, run_name: str | None
    ) -> str:
        return f"{run_id} {run_status}"

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Text],
        tags: Sequence[Text],
    ) -> None:
        self.batches.append((run_id, len(metrics), len(params), len(tags)))

    def log_batch_async(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Sequence[Text],
        tags: Sequence[Text],
    ) -> str:
        self.log_batch(run_id, metrics, params, tags)
        return "later"

    def log_inputs(self, run_id: str, **inputs: object) -> None:
        assert set(inputs) == {"datasets", "models"}

    def finalize_logged_model(self, model_id: str, status: object) -> SimpleNamespace:
        return SimpleNamespace(
            name="model",
            status=status,
            source_run_id="r1",
            artifact_location=str(self.folder / model_id),
        )

    def search_experiments(self) -> str:
        return "what MLflow says"


class FakeMlflow:
    """As much of the module as `connect` and `disconnect` use."""

    def __init__(self) -> None:
        self.uri: str | None = None
        self.autologs: list[dict[str, object]] = []

    def get_tracking_uri(self) -> str | None:
        return self.uri

    def is_tracking_uri_set(self) -> bool:
        return self.uri is not None

    def set_tracking_uri(self, uri: str | None) -> None:
        self.uri = uri

    def autolog(self, **options: object) -> None:
        self.autologs.append(options)


class FakeSwitch:
    def __init__(self) -> None:
        self.states: list[str] = []

    def is_set(self) -> bool:
        return False

    def set(self, value: object) -> None:
        self.states.append("set")

    def unset(self) -> None:
        self.states.append("unset")


@pytest.fixture(autouse=True)
def settings(embedded: Config, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("MILLWRIGHT_HOME", str(embedded.home))


@pytest.fixture(autouse=True)
def mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMlflow:
    """Stand-ins for the modules of MLflow's that the bridge imports."""
    fake = FakeMlflow()
    names = {RUNNING: "RUNNING", FINISHED: "FINISHED", FAILED: "FAILED"}

    def make_store(root: str, artifacts: str) -> FakeStore:
        return FakeStore(Path(root))

    modules = {
        "mlflow": fake,
        "mlflow.entities": SimpleNamespace(RunStatus=SimpleNamespace(to_string=names.__getitem__)),
        "mlflow.utils.file_utils": SimpleNamespace(local_file_uri_to_path=str),
        "mlflow.environment_variables": SimpleNamespace(MLFLOW_ALLOW_FILE_STORE=FakeSwitch()),
        "mlflow.store.tracking.file_store": SimpleNamespace(FileStore=make_store),
        "mlflow.tracking._tracking_service.utils": SimpleNamespace(
            _tracking_store_registry=SimpleNamespace(_registry={})
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, cast("SimpleNamespace", module))  # pyright: ignore[reportArgumentType]
    return fake


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "mlflow")


@pytest.fixture
def bridge(store: FakeStore, tmp_path: Path) -> Iterator[Bridge]:
    (tmp_path / "aside").mkdir()
    bridge = Bridge(store, tmp_path / "aside")  # pyright: ignore[reportArgumentType]
    yield bridge
    bridge.close()
    assert not (tmp_path / "aside").exists()


def begin(bridge: Bridge, *tags: Text, name: str | None = "fit") -> str:
    return bridge.create_run("0", "ada", 1, tags, name).info.run_id


def test_a_run_of_its_own_is_a_run_of_ours(bridge: Bridge, store: FakeStore, door: Door) -> None:
    run = begin(bridge, Text("mlflow.user", "ada"), Text("team", "risk"))
    bridge.log_batch(run, [Metric("auc", 0.5, 2, 1000)], [Text("depth", "3")], [])
    bridge.log_metric(run, Metric("auc", float("inf"), 3, 2000))
    bridge.log_param(run, Text("rate", "0.1"))
    bridge.set_tag(run, Text("who", "grace"))
    assert bridge.log_metric_async(run, Metric("loss", 1.0, 0, 1)) == "later"
    assert bridge.log_param_async(run, Text("late", "1")) == "later"
    assert bridge.set_tag_async(run, Text("late", "1")) == "later"
    (store.folder / run / "plots").mkdir(parents=True)
    (store.folder / run / "plots" / "roc.svg").write_text("<svg/>")
    assert bridge.update_run_info(run, RUNNING, None, None) == "r1 1"
    assert active_run() is not None
    assert bridge.update_run_info(run, FINISHED, 5, None) == "r1 3"
    assert active_run() is None
    shown = door.runs.page(limit=1).runs[0]
    assert (shown.name, shown.experiment, shown.status) == ("fit", "experiment 0", "finished")
    assert shown.params == {"depth": "3", "rate": "0.1", "late": "1"}
    assert shown.tags == {"team": "risk", "who": "grace", "late": "1"}
    assert shown.metrics == {"auc": "Infinity", "loss": 1.0}
    point = door.runs.history(ref=shown.id, key="auc")[0]
    assert (point.step, point.time_us) == (2, 1_000_000)
    assert [link.name for link in shown.links] == ["plots"]
    assert len(store.batches) == 7


def test_the_active_run_is_used_and_stays_open(
    bridge: Bridge, embedded: Config, door: Door
) -> None:
    with start_in(embedded, "mine", options=QUIET) as mine:
        run = begin(bridge)
        bridge.log_param(run, Text("depth", "3"))
        bridge.update_run_info(run, FAILED, 5, None)
        assert not mine.ended
    shown = door.runs.show(ref=mine.id)
    assert (shown.params, shown.status) == ({"depth": "3"}, "finished")


def test_trials_are_part_of_their_search_and_not_active(bridge: Bridge, door: Door) -> None:
    search = begin(bridge, name="search")
    outer = active_run()
    trial = begin(bridge, Text(PARENT_TAG, search), name="trial")
    assert active_run() is outer
    assert outer is not None
    bridge.log_metric(trial, Metric("score", 1.0, 0, 1))
    bridge.update_run_info(trial, FINISHED, 5, None)
    bridge.update_run_info(search, FINISHED, 5, None)
    newest = door.runs.page(limit=1).runs[0]
    assert (newest.name, newest.parent, newest.metrics) == ("trial", outer.id, {"score": 1.0})
    assert PARENT_TAG not in newest.tags


def test_models_and_datasets_are_taken_over(bridge: Bridge, store: FakeStore, door: Door) -> None:
    run = begin(bridge)
    dataset = SimpleNamespace(
        name="iris", digest="abc", source_type="code", source="x", schema=None, profile=None
    )
    given = SimpleNamespace(dataset=dataset, tags=[Text("mlflow.data.context", "train")])
    bridge.log_inputs(run, [given], models=None)  # pyright: ignore[reportArgumentType]
    (store.folder / "m-1").mkdir(parents=True)
    (store.folder / "m-1" / "MLmodel").write_text("{}")
    assert bridge.finalize_logged_model("m-1", "READY").status == "READY"
    bridge.finalize_logged_model("m-2", "FAILED")
    bridge.update_run_info(run, FINISHED, 5, None)
    shown = door.runs.page(limit=1).runs[0]
    assert [(one.name, one.context) for one in shown.datasets] == [("iris", "train")]
    assert [link.name for link in shown.links] == ["model"]


def test_what_breaks_on_our_side_is_a_warning(bridge: Bridge, store: FakeStore) -> None:
    run = begin(bridge)
    bridge.log_param(run, Text("depth", "3"))
    with pytest.warns(LoggingWarning, match="autolog: parameter 'depth' already has another"):
        bridge.log_param(run, Text("depth", "4"))
    assert len(store.batches) == 2
    bridge.set_tag(run, Text("history", "x" * 9000))


def test_a_home_that_cannot_be_opened_leaves_mlflow_alone(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLWRIGHT_PROJECT", "nothing")
    with pytest.warns(LoggingWarning, match="autolog: "):
        run = begin(bridge)
    bridge.log_param(run, Text("depth", "3"))
    bridge.update_run_info(run, FINISHED, 5, None)
    assert active_run() is None


def test_what_is_not_passed_on_is_asked_of_mlflows_store(bridge: Bridge) -> None:
    assert cast("FakeStore", bridge).search_experiments() == "what MLflow says"


def test_connecting_is_undone(mlflow: FakeMlflow) -> None:
    mlflow.uri = "http://elsewhere"
    stores = sys.modules[
        "mlflow.tracking._tracking_service.utils"
    ]._tracking_store_registry._registry
    connect(log_models=False)
    assert mlflow.uri is not None
    assert mlflow.uri.startswith("millwright://autolog/")
    bridge = stores["millwright"](store_uri=mlflow.uri, artifact_uri=None)
    assert isinstance(bridge, Bridge)
    assert mlflow.autologs == [{"log_models": False, "silent": True}]
    first = mlflow.uri
    connect()
    assert mlflow.uri not in {first, "http://elsewhere"}
    disconnect()
    assert mlflow.uri == "http://elsewhere"
    assert stores == {}
    disconnect()
    switch = sys.modules["mlflow.environment_variables"].MLFLOW_ALLOW_FILE_STORE
    assert switch.states == ["set", "unset"] * 2
