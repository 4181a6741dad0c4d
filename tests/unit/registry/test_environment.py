from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from fixtures.wheels import wheel
from millwright.core.errors import Conflict, Failed, Invalid, NotFound
from millwright.registry.environment import (
    Environment,
    Sources,
    environment_of,
    find_uv,
    lock,
    read_environment,
    restore,
)


@pytest.fixture
def uv() -> Path:
    try:
        return find_uv()
    except NotFound as error:
        pytest.skip(error.what)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    folder = tmp_path / "wheels"
    wheel(folder, "lathe", "1.0", needs="chuck>=2")
    wheel(folder, "lathe", "1.1", needs="chuck>=2")
    wheel(folder, "chuck", "2.5")
    return Sources(folders=(folder,), use_index=False)


class TestReading:
    def test_a_package_names_its_python_and_what_it_needs(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text(
            "numpy==2.0.0\n# a comment\n\nscikit-learn>=1.5,<2  # why\n"
            "lightgbm[dask]~=4.5; python_version < '3.13'\n"
        )
        (tmp_path / "python_env.yaml").write_text("python: 3.10.4\nbuild_dependencies:\n- pip\n")
        assert read_environment(tmp_path) == Environment(
            "3.10.4",
            (
                "lightgbm[dask]~=4.5; python_version < '3.13'",
                "numpy==2.0.0",
                "scikit-learn>=1.5,<2",
            ),
        )

    def test_a_run_names_all_that_was_installed(self) -> None:
        found = environment_of({"numpy": "2.0.0", "blake3": "1.0", "python": "3.12.1"})
        assert found == Environment("3.12.1", ("blake3==1.0", "numpy==2.0.0"))
        assert environment_of({}).python == platform.python_version()

    @pytest.mark.parametrize(
        "line",
        [
            "--find-links ./here",
            "-e .",
            "-r other.txt",
            "numpy @ file:///tmp/numpy.whl",
            "./numpy.whl",
            "git+ssh://example/numpy",
        ],
    )
    def test_what_could_install_anything_is_refused(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "requirements.txt").write_text(f"{line}\n")
        with pytest.raises(Invalid, match="is not a name with versions"):
            read_environment(tmp_path)

    def test_a_package_without_requirements_names_none(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match=r"has no requirements\.txt"):
            read_environment(tmp_path)


class TestRestoring:
    def test_an_environment_is_made_from_a_lock(
        self, tmp_path: Path, uv: Path, sources: Sources
    ) -> None:
        environment = Environment(platform.python_version(), ("lathe==1.0",))
        made = restore(environment, tmp_path / "env", uv=uv, sources=sources)
        assert made.python_version.split(".")[:2] == environment.python.split(".")[:2]
        code = "import lathe, chuck; print(lathe.VERSION, chuck.VERSION)"
        done = subprocess.run([made.python, "-c", code], capture_output=True, check=True)
        assert done.stdout == b"1.0 2.5\n"
        text = made.lock.read_text()
        assert "chuck==2.5" in text
        assert "--hash=sha256:" in text
        assert str(tmp_path) not in text
        with pytest.raises(Conflict, match="is in use"):
            restore(environment, tmp_path / "env", uv=uv, sources=sources)

    def test_the_same_environment_has_the_same_lock(
        self, tmp_path: Path, uv: Path, sources: Sources
    ) -> None:
        environment = Environment(platform.python_version(), ("lathe",))
        texts: set[str] = set()
        for name in ("a", "b"):
            lock(environment, tmp_path / name, uv=uv, sources=sources)
            texts.add((tmp_path / name).read_text())
        assert len(texts) == 1
        assert "lathe==1.1" in texts.pop()

    def test_what_cannot_be_had_is_said_in_uvs_words(
        self, tmp_path: Path, uv: Path, sources: Sources
    ) -> None:
        environment = Environment(platform.python_version(), ("lathe==9.9",))
        with pytest.raises(Failed) as caught:
            restore(environment, tmp_path / "env", uv=uv, sources=sources)
        assert "lathe==9.9" in caught.value.why
        assert not (tmp_path / "env").exists()

    def test_a_python_that_is_not_here_is_named(self, tmp_path: Path, uv: Path) -> None:
        with pytest.raises(NotFound, match=r"no Python 3\.99"):
            restore(Environment("3.99.1", ()), tmp_path / "env", uv=uv)


def test_uv_is_found_where_it_is_said_or_missed_by_name(tmp_path: Path) -> None:
    program = tmp_path / "uv"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_uv(program) == program
