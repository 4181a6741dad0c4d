"""The environment of a version, made again: `mill model environment`."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.pickled import pickled_package
from fixtures.wheels import wheel
from millwright.core.errors import NotFound
from millwright.registry.environment import find_uv


@pytest.fixture
def project(mill: Mill) -> Mill:
    """A project with a version that needs `lathe`, and wheels of it and of what it needs."""
    try:
        find_uv()
    except NotFound as error:
        pytest.skip(error.what)
    package = pickled_package(mill.folder / "m0")
    (package / "requirements.txt").write_text("lathe==1.0\n")
    (package / "python_env.yaml").write_text(f"python: {platform.python_version()}\n")
    mill.ok("model", "register", "m0", "--name", "churn")
    wheel(mill.folder / "wheels", "lathe", "1.0", needs="chuck>=2")
    wheel(mill.folder / "wheels", "chuck", "2.5")
    return mill


FROM_WHEELS = ("--no-index", "--find-links", "wheels")


def test_what_a_version_needs_is_installed(project: Mill) -> None:
    words = ["model", "environment", "churn@v1", "env", *FROM_WHEELS]
    dry = project.ok(*words, "--dry-run")
    assert "1 requirement" in dry.out
    assert not (project.folder / "env").exists()
    made = json.loads(project.ok(*words, "--json").out)
    code = "import lathe, chuck; print(lathe.VERSION, chuck.VERSION)"
    done = subprocess.run([made["python"], "-c", code], capture_output=True, check=True)
    assert done.stdout == b"1.0 2.5\n"
    assert "--hash=sha256:" in Path(made["lock"]).read_text()
    again = project(*words)
    assert (again.code, "is in use" in again.err) == (6, True)


def test_what_cannot_be_had_leaves_nothing_behind(project: Mill) -> None:
    ended = project("model", "environment", "churn@v1", "env", "--no-index")
    assert ended.code == 1
    assert "no set of distributions fits" in ended.err
    assert not (project.folder / "env").exists()


def test_a_version_that_is_not_there_is_named(project: Mill) -> None:
    ended = project("model", "environment", "churn@v9", "env")
    assert (ended.code, "no model version churn@v9" in ended.err) == (3, True)
