from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.foreign import (
    logdir,
    mlflow_folder,
    mlflow_store,
    runs_of,
    wandb_exit,
    wandb_folder,
    wandb_run,
)
from millwright.tracking.sources.found import FoundEnd, FoundRun, Source
from millwright.tracking.sources.mlflow_files import MlflowFiles
from millwright.tracking.sources.mlflow_sql import MlflowDatabase
from millwright.tracking.sources.tensorboard import TensorBoard
from millwright.tracking.sources.wandb import Wandb


def opened(kind: str, folder: Path) -> Source:
    match kind:
        case "tensorboard":
            return TensorBoard(logdir(folder / "logs", {"a": 2}))
        case "wandb":
            wandb_folder(folder, [wandb_run(), wandb_exit()])
            return Wandb(folder)
        case "files":
            return MlflowFiles(mlflow_folder(folder / "mlruns"))
        case _:
            return MlflowDatabase(mlflow_store(folder))


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "mlflow", "files"])
def test_every_source_can_be_read_again_and_says_the_same(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    assert source.kind == {"files": "mlflow"}.get(kind, kind)
    assert source.place
    first = [one for one in source.runs() if isinstance(one, FoundRun)]
    assert first == [one for one in source.runs() if isinstance(one, FoundRun)]
    assert first
    known = {one.name for one in source.experiments()}
    assert {run.experiment for run in first} <= known
    for run in first:
        assert run.start_us > 0
        assert run.mark
        # However much there is of a run, how it ended is said last.
        assert isinstance(list(source.items(run))[-1], FoundEnd)
    source.close()


def test_the_parts_of_a_run_that_is_asked_for_alone_are_found(tmp_path: Path) -> None:
    source = opened("wandb", tmp_path)
    (run,) = runs_of(source)
    # Another reader of the same folder, which was not asked for the runs before.
    assert len(list(Wandb(tmp_path).items(run))) == len(list(source.items(run)))
