from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.foreign import logdir, runs_of
from millwright.cli import experiment
from millwright.cli.export_tensorboard import export_tensorboard
from millwright.tracking.sources.tensorboard import TensorBoard


@pytest.fixture(autouse=True)
def verb() -> None:
    """The verb, where the noun does not have it yet."""
    names = {command.name for command in experiment.app.registered_commands}
    if "export-tensorboard" not in names:
        experiment.app.command("export-tensorboard")(export_tensorboard)


def test_an_experiment_is_written_as_a_logdir(mill: Mill, tmp_path: Path) -> None:
    root = logdir(mill.folder / "logs", {"a": 3, "b": 2})
    mill.ok("import", "tensorboard", str(root), "--experiment", "churn")
    ended = mill.ok("experiment", "export-tensorboard", "churn", "out")
    assert ended.plain == "runs  2\npoints  5\ntexts  2\nimages  0\n"
    assert ended.err == "Look at them: tensorboard --logdir out\n"
    assert [run.name for run in runs_of(TensorBoard(mill.folder / "out"))] == ["a", "b"]


def test_a_dry_run_counts_and_writes_nothing(mill: Mill) -> None:
    root = logdir(mill.folder / "logs", {"a": 1})
    mill.ok("import", "tensorboard", str(root), "--experiment", "churn")
    ended = mill.ok("experiment", "export-tensorboard", "churn", "out", "--dry-run")
    assert ended.out.endswith("1 run\n")
    assert not (mill.folder / "out").exists()


def test_an_unknown_experiment_is_said(mill: Mill) -> None:
    ended = mill("experiment", "export-tensorboard", "nothing", "out")
    assert ended.code == 3
    assert "no experiment called 'nothing'" in ended.err
