from __future__ import annotations

import ast
from pathlib import Path

import pytest

from millwright.core.errors import Invalid
from millwright.pipelines.code import code_digest, references
from millwright.pipelines.source import Imported, read_source

TEXT = '''\
"""A module."""
import os
import package.deep.inner
from . import beside
from ..above import thing as other
from all_of_it import *

ROWS = []
ROWS.append(1)
TABLE: dict[str, int] = {}
TABLE["a"] = 1
if os.sep == "/":
    def choose(x): return x
else:
    choose = None
print("set up")

def work(a, *, b=ROWS):
    """Work."""
    local = [a for a in TABLE]
    def inner(x):
        global COUNT
        COUNT = x
        return other.field.deep(local, x)
    return inner(b)

if __name__ == "__main__":
    work(1)
'''


def test_a_module_is_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(TEXT)
    source = read_source("root.pkg.m", path)
    assert {name: len(found) for name, found in source.definitions.items()} == {
        "ROWS": 2,
        "TABLE": 2,
        "choose": 1,
        "work": 1,
    }
    assert source.imports["beside"] == Imported("root.pkg", "beside")
    assert source.imports["other"] == Imported("root.above", "thing")
    assert source.stars == ["all_of_it"]
    assert [ast.unparse(one) for one in source.effects] == ["print('set up')"]
    assert "package.deep.inner" in source.all_imports
    (work,) = source.definitions["work"]
    assert references(work, source.globals) == {
        ("COUNT",),
        ("ROWS",),
        ("TABLE",),
        ("other", "field", "deep"),
    }


def test_a_file_that_is_not_python_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("x = 1\ndef broken(:\n")
    with pytest.raises(Invalid) as caught:
        read_source("m", path)
    assert caught.value.what == f"{path} is not valid Python"
    assert "line 2" in caught.value.why


def test_code_is_the_same_whatever_its_dress() -> None:
    def digest(text: str) -> str:
        return code_digest(ast.parse(text).body)

    bare = digest("def f(x):\n    return x+1\n")
    assert digest("def f(x):  # a comment\n    '''Doc.'''\n    return (x\n  + 1)\n") == bare
    assert digest("def f(x):\n    return x+2\n") != bare
    assert digest("def f():\n    'only a docstring'\n") == digest("def f():\n    pass\n")
    assert digest("class A:\n    x: int\n    'what x is'\n") == digest("class A:\n    x: int\n")
