from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fixtures.pipelines import write_module
from millwright.core.errors import Invalid, NotFound
from millwright.pipelines.arguments import Address
from millwright.pipelines.loading import address_of, is_project_file, load_file, search_folders
from millwright.pipelines.step import Step, step


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    before, loaded = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = before
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def test_a_file_is_loaded_under_its_name_in_the_project(root: Path) -> None:
    write_module(root, "lib_beside", "VALUE = 5\n")
    text = """
        from millwright.pipelines.step import step
        import lib_beside

        @step
        def count() -> int:
            return lib_beside.VALUE
    """
    path = write_module(root, "steps_deep.inner", text)
    module = load_file(path, root)
    assert module.__name__ == "steps_deep.inner"
    found = cast("Step[..., object]", module.count)
    assert address_of(found) == Address(
        module="steps_deep.inner", attribute="count", path=str(path)
    )


def test_what_cannot_be_loaded_is_named(root: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no file .*none\.py"):
        load_file(root / "none.py", root)
    (root / "notes.txt").touch()
    with pytest.raises(Invalid, match="not a Python file"):
        load_file(root / "notes.txt", root)
    broken = write_module(root, "broken_module", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_file(broken, root)
    assert "broken_module" not in sys.modules


def test_a_step_no_worker_could_find_is_refused() -> None:
    @step
    def hidden() -> None: ...

    with pytest.raises(Invalid, match="cannot be found in"):
        address_of(hidden)


def test_installed_files_are_not_the_projects(tmp_path: Path) -> None:
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    assert is_project_file(tmp_path / "a.py", tmp_path)
    assert not is_project_file(installed / "a.py", tmp_path)
    assert not is_project_file(Path("/elsewhere/a.py"), tmp_path)
    paths = [str(tmp_path / "src"), str(installed), "/elsewhere", str(tmp_path)]
    assert search_folders(tmp_path, paths) == [str(tmp_path / "src"), str(tmp_path)]
