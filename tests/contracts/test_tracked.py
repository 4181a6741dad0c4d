"""What is kept under version control says nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from contracts.house import ROOT

# A letter in brackets stands for itself, and keeps this file from holding what it looks for.
FORBIDDEN = re.compile(
    rb"(?<![\w.])/([r]oot|[h]ome|[U]sers|[w]ork)/\w"
    rb"|[p]ypi\.org|[p]ythonhosted|registry\.[n]pmjs"
    rb"|--(extra-)?[i]ndex-url"
)
MAX_BYTES = 2 << 20


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("there is no git repository here")
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    names = [name for name in done.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_names_a_place_of_this_machine_or_a_registry(tracked: list[Path]) -> None:
    assert len(tracked) > 300
    found: list[str] = []
    for path in tracked:
        if path.stat().st_size > MAX_BYTES:
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if (place := FORBIDDEN.search(line)) is not None:
                found.append(f"{path.relative_to(ROOT)}:{number}: {place[0].decode()}")
    assert found == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("/{}/project/x.py", "root"),
        ("cd /{}/ada", "home"),
        ("lies in /{}/main", "work"),
        ("see https://{}.org/simple", "pypi"),
        ("--{}-url=x", "index"),
    ],
)
def test_such_a_place_would_be_found(line: str, word: str) -> None:
    assert FORBIDDEN.search(line.format(word).encode())
    assert not FORBIDDEN.search(b"tests/fixtures/work/x, ../shared/data, /api/v1/home/x")


def test_nothing_made_by_a_tool_is_tracked(tracked: list[Path]) -> None:
    made = {".pyc", ".so", ".db", ".sqlite", ".whl", ".egg-info"}
    stray = [
        str(path.relative_to(ROOT))
        for path in tracked
        if path.suffix in made and "fixtures" not in path.parts
    ]
    assert stray == []
