from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from fixtures.command_line import Mill
from fixtures.foreign import (
    PARENT,
    logdir,
    mlflow_store,
    wandb_exit,
    wandb_folder,
    wandb_history,
    wandb_run,
)
from millwright.sdk.importing import ImportReport


def test_a_logdir_is_imported_and_shown(mill: Mill) -> None:
    root = logdir(mill.folder / "logs", {"train/a": 3, "b": 2})
    ended = mill.ok("import", "tensorboard", str(root), "--experiment", "churn")
    assert ended.plain == ("  found  kept\nexperiments  1  1\nruns  2  2\npoints  5  5\n")
    assert ended.err == "Look at them: mill runs list\n"
    assert "train/a" in mill.ok("runs", "list", "--experiment", "churn").out
    again = mill.ok("import", "tensorboard", str(root), "--experiment", "churn")
    assert again.plain == "  found  kept\nexperiments  1  1\n2 runs taken before, and unchanged\n"


def test_offline_runs_are_imported(mill: Mill) -> None:
    wandb_folder(mill.folder / "wandb", [wandb_run(), wandb_history(0, {"a": 1}), wandb_exit()])
    report = mill.ok("import", "wandb", "wandb", "--json").record(ImportReport)
    assert (report.source, report.found.runs, report.kept.points) == ("wandb", 1, 1)


def test_an_mlflow_store_is_imported_and_what_was_left_out_is_said(mill: Mill) -> None:
    path = mlflow_store(mill.folder / "store")
    ended = mill.ok("import", "mlflow", "--from", f"sqlite:///{path}")
    assert "runs  2  2\n" in ended.plain
    assert f"sqlite:///{path}: deleted runs were left out: 1" in ended.out
    assert "left out: " in ended.out


def test_artifacts_may_lie_elsewhere(mill: Mill) -> None:
    path = mlflow_store(mill.folder / "store")
    (path.parent / "mlruns").rename(mill.folder / "kept")
    bare = mill("import", "mlflow", "--from", f"sqlite:///{path}", "--json")
    assert (bare.code, bare.record(ImportReport).found.artifacts) == (1, 0)
    assert bare.err == (
        "Files were missing. Name where they lie: mill import mlflow … --artifacts DIR\n"
    )
    wrong = mill("import", "mlflow", f"--from=sqlite:///{path}", "--artifacts", "./nope")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "error: --artifacts nope: there is no such folder\n"
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO tags VALUES ('more', '1', ?)", (PARENT,))
    database.close()
    named = mill.ok("import", "mlflow", f"--from=sqlite:///{path}", "--artifacts", "kept", "--json")
    assert named.record(ImportReport).found.artifacts == 2


def test_a_dry_run_says_what_there_is_and_changes_nothing(mill: Mill) -> None:
    path = mlflow_store(mill.folder / "store")
    ended = mill.ok("import", "mlflow", "--from", f"sqlite:///{path}", "--dry-run")
    assert ended.out.startswith("would import\n")
    assert ended.out.splitlines()[-2:] == [
        "2 experiments, 2 runs, 1 model",
        f"left out: sqlite:///{path}: deleted runs were left out: 1",
    ]
    assert mill.ok("runs", "list").out == ""
    root = logdir(mill.folder / "logs", {"a": 1})
    mill.ok("import", "tensorboard", str(root), "--follow", "--dry-run")
    assert mill.ok("runs", "list").out == ""


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["tensorboard", "missing"], 3, "there is no logdir at missing"),
        (["tensorboard", "."], 2, "is no logdir"),
        (["wandb", "missing"], 3, "there is no folder missing"),
        (["wandb", "."], 2, "holds no offline runs of W&B"),
        (["mlflow", "--from", "sqlite:///missing.db"], 3, "there is no MLflow database"),
        (["mlflow", "--from", "postgresql://h/d"], 2, "is no MLflow store that can be read"),
        (["mlflow", "--from", "mlruns"], 3, "there is no MLflow store at mlruns"),
        (["mlflow"], 2, "--from"),
    ],
)
def test_what_cannot_be_imported_is_said(
    mill: Mill, words: list[str], code: int, what: str
) -> None:
    ended = mill("import", *words)
    assert (ended.code, ended.out) == (code, "")
    assert what in ended.err


def test_without_a_verb_they_are_listed(mill: Mill) -> None:
    ended = mill("import")
    assert ended.code == 2
    assert all(word in ended.err for word in ("tensorboard", "wandb", "mlflow"))


def test_a_logdir_is_followed_until_ctrl_c(mill: Mill) -> None:
    root = mill.folder / "logs"
    root.mkdir()
    words = ["--json", "import", "tensorboard", str(root), "--follow", "--every", "0.1"]
    with subprocess.Popen(
        [sys.executable, "-m", "millwright", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=mill.folder,
        env=dict(os.environ),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Following")
        logdir(root, {"a": 4})
        for _ in range(200):
            if "running" in mill.ok("runs", "list").out:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the run never came")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert '"points":4' in out
    assert "finished" in mill.ok("runs", "list").out
