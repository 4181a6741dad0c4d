from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.homes import Place, table
from fixtures.pipelines import write_module
from millwright.core.errors import Invalid, NotFound
from millwright.pipelines.graph import Given
from millwright.workspace.pipelines import find_pipeline, parse_params, resolve

TWO = """
from pathlib import Path

from millwright.pipelines.graph import pipeline
from millwright.pipelines.step import step

@step
def count(data: Path) -> int:
    return 1

@pipeline
def one(data: Path, name: str = "x"):
    count(data)

@pipeline
def two(data: Path):
    count(data)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project's folder with a file of two pipelines, and one with none."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_module(folder, "flows_of_two", TWO)
    write_module(folder, "flows_of_none", "x = 1\n")
    return folder


class TestFinding:
    def test_a_pipeline_is_found_by_file_and_name(self, root: Path) -> None:
        assert find_pipeline("flows_of_two.py:two", root).name == "two"

    def test_a_name_is_needed_where_there_are_several(self, root: Path) -> None:
        with pytest.raises(Invalid, match=r"flows_of_two\.py has 2 pipelines") as caught:
            find_pipeline("flows_of_two.py", root)
        assert caught.value.why == "they are: one, two"
        with pytest.raises(NotFound, match="no pipeline called 'tow'") as missing:
            find_pipeline("flows_of_two.py:tow", root)
        assert missing.value.fix == "did you mean 'two'?"

    def test_a_file_without_one_or_that_is_not_there(self, root: Path) -> None:
        with pytest.raises(Invalid, match=r"flows_of_none\.py has 0 pipelines"):
            find_pipeline("flows_of_none.py", root)
        with pytest.raises(NotFound):
            find_pipeline("nothing.py", root)

    def test_a_file_outside_the_project_is_not_run(self, root: Path) -> None:
        outside = root.parent / "outside.py"
        outside.write_text("raise AssertionError('it was run')\n")
        (root / "link.py").symlink_to(outside)
        for target in ("../outside.py", str(outside), "link.py"):
            with pytest.raises(Invalid, match="lies outside the project"):
                find_pipeline(target, root)


class TestParameters:
    def test_a_dataset_takes_the_place_of_its_reference(
        self, sqlite_place: Place, root: Path
    ) -> None:
        version = sqlite_place.home.datasets.add(sqlite_place.act, "people", table().head(5))
        found = find_pipeline("flows_of_two.py:one", root)
        resolved = resolve(sqlite_place.me, found, {"data": "people@v1", "name": "people@v1"})
        # Only a parameter that takes a file is a reference.
        assert resolved == {
            "data": Given(
                kind="data",
                digest=version.digest,
                name="people.arrow",
                what="dataset_version",
                id=version.id,
            ),
            "name": "people@v1",
        }
        with pytest.raises(NotFound):
            resolve(sqlite_place.me, found, {"data": "poeple"})

    def test_pairs_are_read_as_json_where_they_are(self) -> None:
        assert parse_params(["a=1", "b=[1, 2]", "c=text", "d=null", "e=x=y", "f=", 'g="1"']) == {
            "a": 1,
            "b": [1, 2],
            "c": "text",
            "d": None,
            "e": "x=y",
            "f": "",
            "g": "1",
        }

    @pytest.mark.parametrize("pair", ["a", "", "=1"])
    def test_what_is_no_pair_is_refused(self, pair: str) -> None:
        with pytest.raises(Invalid, match="is not a parameter"):
            parse_params([pair])
