"""A project folder of each test's own, and the command line in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.estimators import forest, frame
from millwright.cli.main import run
from millwright.registry.package import write_package


@pytest.fixture(scope="session")
def project_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an empty home, to be copied."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["init"], {}) == 0
    return folder


@pytest.fixture
def nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Mill:
    """The command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Mill(tmp_path, capsys)


@pytest.fixture
def mill(nowhere: Mill, project_template: Path) -> Mill:
    """The command line in a project with an empty home."""
    shutil.copytree(project_template, nowhere.folder, dirs_exist_ok=True)
    return nowhere


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packages of small forests, to be copied."""
    made: list[Path] = []
    for seed in range(2):
        folder = tmp_path_factory.mktemp("package") / "model"
        folder.mkdir()
        write_package(forest(seed=seed), example=frame(), folder=folder, now_us=seed)
        made.append(folder)
    return made


@pytest.fixture
def registered(mill: Mill, packages: list[Path]) -> Mill:
    """The command line in a project with one version of one model, `churn`, from `m0`."""
    shutil.copytree(packages[0], mill.folder / "m0")
    mill.ok("model", "register", "m0", "--name", "churn")
    return mill
