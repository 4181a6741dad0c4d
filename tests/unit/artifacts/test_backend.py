import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.artifacts.backend import Backend, load_backend, parse_key
from millwright.core.errors import Invalid, NotFound
from millwright.testing.artifacts import BackendSuite, MemoryBackend


class TestMemoryBackend(BackendSuite):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()


def test_a_memory_backend_is_a_backend() -> None:
    assert isinstance(MemoryBackend(), Backend)


@pytest.mark.parametrize("text", ["a", "ab/cdef", "0/1/2", "a.b-c_d/e"])
def test_keys_are_kept_as_they_are(text: str) -> None:
    assert parse_key(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/a", "a/", "a//b", "..", "a/../b", "a/.b", "A", "a\\b", "a\0", "a\n", "é", "a" * 513],
)
def test_other_text_is_no_key(text: str) -> None:
    with pytest.raises(Invalid, match="is not a storage key"):
        parse_key(text)


@given(st.text(alphabet="ab./\\-_ A\0\n", max_size=12))
def test_a_key_never_leaves_its_folder(text: str) -> None:
    try:
        key = parse_key(text)
    except Invalid:
        return
    joined = os.path.normpath(f"/root/{key}")
    assert joined == f"/root/{key}"


LOAD = """
import sys
from millwright.artifacts.backend import load_backend
from millwright.core.errors import MillwrightError
try:
    print(type(load_backend(sys.argv[1], sys.argv[2])).__name__)
except MillwrightError as error:
    print(error)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a package that offers one good backend and one that is none."""
    package = tmp_path / "offers-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[millwright.artifacts.backends]\n"
        "offered = millwright.artifacts.backends.local:LocalBackend\n"
        "wrong = pathlib:PurePath\n"
    )
    return tmp_path


def _load(installed: Path, name: str) -> str:
    environment = dict(os.environ, PYTHONPATH=str(installed))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, name, str(installed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_backend_is_found_by_its_name(installed: Path) -> None:
    assert _load(installed, "offered") == "LocalBackend\n"


def test_what_lacks_the_methods_is_named(installed: Path) -> None:
    assert _load(installed, "wrong").splitlines()[:2] == [
        "millwright.artifacts.backends: 'wrong' is not an artifact backend",
        "it gives a PurePosixPath that lacks methods of the port",
    ]


def test_a_backend_nobody_offers_is_not_found() -> None:
    with pytest.raises(NotFound, match="nothing called 'tape'"):
        load_backend("tape", "anywhere")
