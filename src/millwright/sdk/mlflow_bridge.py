"""MLflow's autolog into our runs: a tracking store in its process that passes on what it is told.

MLflow's fluent API speaks to a tracking store that it finds by the scheme of an address. Ours,
`millwright:`, keeps what it is told in MLflow's own file store in a temporary folder, so that
whatever MLflow asks back it gets as it expects, of any version; and passes runs, parameters,
metrics, tags, datasets, artifacts and models on to our runs. So it works embedded, on a server,
and while a server is away. Chosen over MLflow's REST routes, which need a server that answers.

A run of MLflow's has another id there than ours. Files arrive when MLflow's run ends.
"""

from __future__ import annotations

import atexit
import contextvars
import shutil
import tempfile
import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from millwright.core.errors import MillwrightError
from millwright.records.runs import LoggedDataset, RunStatus
from millwright.sdk.active import ActiveRun
from millwright.sdk.connection import find_config
from millwright.sdk.current import Options, start_in
from millwright.sdk.fits import FitRun, run_for_fit
from millwright.sdk.losses import LoggingWarning

SCHEME = "millwright"
PARENT_TAG = "mlflow.parentRunId"
_STATUS: dict[str, RunStatus] = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "cancelled",
}
# Ours know these already, and better.
_OWN_TAGS = ("mlflow.user", "mlflow.source.", "mlflow.runName", PARENT_TAG)
_US_PER_MS = 1000


class _Metric(Protocol):
    key: str
    value: float
    step: int
    timestamp: int


class _Text(Protocol):
    key: str
    value: str


class _Info(Protocol):
    run_id: str
    artifact_uri: str


class _Run(Protocol):
    info: _Info


class _Named(Protocol):
    name: str


class _Dataset(Protocol):
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


class _DatasetInput(Protocol):
    dataset: _Dataset
    tags: Sequence[_Text]


class _Model(Protocol):
    name: str
    status: object
    source_run_id: str | None
    artifact_location: str


class _Store(Protocol):
    """What we use of a tracking store of MLflow's."""

    def create_run(
        self,
        experiment_id: str,
        user_id: str,
        start_time: int,
        tags: Sequence[_Text],
        run_name: str | None,
    ) -> _Run: ...
    def get_experiment(self, experiment_id: str) -> _Named: ...
    def get_run(self, run_id: str) -> _Run: ...
    def update_run_info(
        self, run_id: str, run_status: int, end_time: int | None, run_name: str | None
    ) -> object: ...
    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[_Metric],
        params: Sequence[_Text],
        tags: Sequence[_Text],
    ) -> None: ...
    def log_batch_async(
        self,
        run_id: str,
        metrics: Sequence[_Metric],
        params: Sequence[_Text],
        tags: Sequence[_Text],
    ) -> object: ...
    def log_inputs(self, run_id: str, **inputs: object) -> None: ...
    def finalize_logged_model(self, model_id: str, status: object) -> _Model: ...


class Bridge:
    """A tracking store: MLflow's own, which also tells our runs.

    What breaks on our side becomes a warning: MLflow's hooks run inside somebody's training.
    """

    def __init__(self, store: _Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._runs: dict[str, FitRun] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def create_run(
        self,
        experiment_id: str,
        user_id: str,
        start_time: int,
        tags: Sequence[_Text],
        run_name: str | None = None,
    ) -> _Run:
        """Begin a run of MLflow's, and the run of ours that it stands for."""
        made = self._store.create_run(experiment_id, user_id, start_time, tags, run_name)
        parent = next((tag.value for tag in tags if tag.key == PARENT_TAG), None)
        try:
            run = self._begin(run_name or "autolog", experiment_id, parent)
        except MillwrightError as error:
            _warn(error)
            return made
        with self._lock:
            self._runs[made.info.run_id] = run
        self._pass_on(made.info.run_id, [], [], tags)
        return made

    def update_run_info(
        self, run_id: str, run_status: int, end_time: int | None, run_name: str | None
    ) -> object:
        """Note how a run goes; when it ends, take its files over, and end ours where it was."""
        info = self._store.update_run_info(run_id, run_status, end_time, run_name)
        name = cast("str", import_module("mlflow.entities").RunStatus.to_string(run_status))
        if name in _STATUS:
            with self._lock:
                run = self._runs.pop(run_id, None)
            if run is not None:
                self._end(run_id, run, _STATUS[name])
        return info

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[_Metric],
        params: Sequence[_Text],
        tags: Sequence[_Text],
    ) -> None:
        """Log to both."""
        self._store.log_batch(run_id, metrics, params, tags)
        self._pass_on(run_id, metrics, params, tags)

    def log_batch_async(
        self,
        run_id: str,
        metrics: Sequence[_Metric],
        params: Sequence[_Text],
        tags: Sequence[_Text],
    ) -> object:
        """Log to both; ours never waits anyway."""
        self._pass_on(run_id, metrics, params, tags)
        return self._store.log_batch_async(run_id, metrics, params, tags)

    def log_metric(self, run_id: str, metric: _Metric) -> None:
        """Log a point to both."""
        self.log_batch(run_id, [metric], [], [])

    def log_metric_async(self, run_id: str, metric: _Metric) -> object:
        """Log a point to both."""
        return self.log_batch_async(run_id, [metric], [], [])

    def log_param(self, run_id: str, param: _Text) -> None:
        """Log a parameter to both."""
        self.log_batch(run_id, [], [param], [])

    def log_param_async(self, run_id: str, param: _Text) -> object:
        """Log a parameter to both."""
        return self.log_batch_async(run_id, [], [param], [])

    def set_tag(self, run_id: str, tag: _Text) -> None:
        """Set a tag on both."""
        self.log_batch(run_id, [], [], [tag])

    def set_tag_async(self, run_id: str, tag: _Text) -> object:
        """Set a tag on both."""
        return self.log_batch_async(run_id, [], [], [tag])

    def log_inputs(
        self, run_id: str, datasets: Sequence[_DatasetInput] | None = None, **others: object
    ) -> None:
        """Note on both what a run read."""
        self._store.log_inputs(run_id, datasets=datasets, **others)
        run = self._runs.get(run_id)
        if run is not None and datasets:
            with _warning():
                run.run.describe_datasets([_described(one) for one in datasets])

    def finalize_logged_model(self, model_id: str, status: object) -> _Model:
        """Take a model over that MLflow has written out."""
        model = self._store.finalize_logged_model(model_id, status)
        run = self._runs.get(model.source_run_id or "")
        folder = _local_path(model.artifact_location)
        if run is not None and folder.is_dir() and any(folder.iterdir()):
            with _warning():
                run.run.log_artifact(folder, name=model.name)
        return model

    def close(self) -> None:
        """End what is still open, and remove the folder."""
        with self._lock:
            runs, self._runs = self._runs, {}
        for run_id, run in runs.items():
            self._end(run_id, run, "finished")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, name: str, experiment_id: str, parent: str | None) -> FitRun:
        above = self._runs.get(parent or "")
        if above is None:
            return run_for_fit(name, experiment=self._store.get_experiment(experiment_id).name)
        # Trials of a search are begun beside the run that is active, and do not replace it.
        run: ActiveRun = contextvars.Context().run(
            start_in,
            find_config(),
            name,
            experiment=above.run.experiment,
            parent=above.run,
            options=Options(console=False, system=False),
        )
        return FitRun(run, ours=True)

    def _pass_on(
        self,
        run_id: str,
        metrics: Sequence[_Metric],
        params: Sequence[_Text],
        tags: Sequence[_Text],
    ) -> None:
        found = self._runs.get(run_id)
        if found is None:
            return
        run = found.run
        with _warning():
            run.log_points([(m.key, m.value, m.step, m.timestamp * _US_PER_MS) for m in metrics])
        for param in params:
            with _warning():
                run.log_param(param.key, param.value)
        for tag in tags:
            # A tag that is too long for ours is MLflow's own bookkeeping.
            if not tag.key.startswith(_OWN_TAGS):
                with suppress(MillwrightError):
                    run.set_tag(tag.key, tag.value)

    def _end(self, run_id: str, run: FitRun, status: RunStatus) -> None:
        with _warning():
            folder = _local_path(self._store.get_run(run_id).info.artifact_uri)
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                run.run.log_artifact(path)
        with _warning():
            run.end(status)


class _Connection:
    """What MLflow's registry of stores holds while we are connected: it makes the store."""

    def __init__(self, bridge: Bridge, before: str | None) -> None:
        self.bridge = bridge
        self.before = before
        """The address that MLflow logged to before; None for its default."""

    def __call__(self, **_: object) -> Bridge:
        return self.bridge


def connect(*, log_models: bool = True) -> None:
    """Have MLflow's fluent API, and its autolog, log to our runs."""
    disconnect()
    mlflow = import_module("mlflow")
    folder = Path(tempfile.mkdtemp(prefix="mill-mlflow-"))
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    connection = _Connection(Bridge(_open_store(folder / "runs"), folder), before)
    _stores()[SCHEME] = connection
    # MLflow remembers a store by its address, so each connection has one of its own.
    mlflow.set_tracking_uri(f"{SCHEME}://autolog/{folder.name}")
    mlflow.autolog(log_models=log_models, silent=True)
    atexit.register(connection.bridge.close)


def disconnect() -> None:
    """Undo `connect`: MLflow logs nothing by itself, and elsewhere what it is told to."""
    connection = _stores().pop(SCHEME, None)
    if not isinstance(connection, _Connection):
        return
    mlflow = import_module("mlflow")
    mlflow.autolog(disable=True, silent=True)
    mlflow.set_tracking_uri(connection.before)
    connection.bridge.close()
    atexit.unregister(connection.bridge.close)


def _stores() -> dict[str, object]:
    """Return MLflow's table of stores by scheme; its plugins are entered there too."""
    module = import_module("mlflow.tracking._tracking_service.utils")
    return cast("dict[str, object]", module._tracking_store_registry._registry)  # noqa: SLF001


def _open_store(folder: Path) -> _Store:
    """Return MLflow's file store in a folder, which newer versions make only when told to."""
    switch = getattr(import_module("mlflow.environment_variables"), "MLFLOW_ALLOW_FILE_STORE", None)
    store = import_module("mlflow.store.tracking.file_store").FileStore
    was_set = switch is None or switch.is_set()
    if switch is not None and not was_set:
        switch.set(True)
    try:
        return cast("_Store", store(str(folder), str(folder)))
    finally:
        if switch is not None and not was_set:
            switch.unset()


def _described(given: _DatasetInput) -> LoggedDataset:
    dataset = given.dataset
    tags = {tag.key: tag.value for tag in given.tags or []}
    return LoggedDataset(
        name=dataset.name,
        digest=dataset.digest,
        source_type=dataset.source_type,
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
        context=tags.get("mlflow.data.context"),
        tags=tags,
    )


def _local_path(place: str) -> Path:
    return Path(import_module("mlflow.utils.file_utils").local_file_uri_to_path(place))


@contextmanager
def _warning() -> Generator[None]:
    """Turn what breaks on our side into a warning."""
    try:
        yield
    except (MillwrightError, OSError) as error:
        _warn(error)


def _warn(error: Exception) -> None:
    warnings.warn(f"autolog: {error}", LoggingWarning, stacklevel=4)
