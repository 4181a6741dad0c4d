"""The public face: what it shows, that it costs nothing, and that nobody inside looks at it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module

import pytest

import millwright
from contracts.house import PACKAGE, ROOT, modules, rooms
from millwright.core.version import VERSION

BUDGET_S = 0.030

FRESH = """
import sys, time
began = time.perf_counter()
import millwright
print(time.perf_counter() - began)
print(*(name for name in sys.modules if name.startswith("millwright.")))
print(*dir(millwright))
"""


def declared() -> dict[str, str]:
    """Return what the face imports for type checkers: name -> module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def test_the_names_are_sorted_and_each_is_there() -> None:
    assert millwright.__all__ == sorted(millwright.__all__)
    for name in millwright.__all__:
        assert getattr(millwright, name) is not None
    assert millwright.__version__ == VERSION


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    assert sorted(declared()) == millwright.__all__
    for name, module in declared().items():
        assert getattr(millwright, name) is getattr(import_module(module), name)


def test_an_unknown_name_is_an_ordinary_mistake() -> None:
    with pytest.raises(AttributeError, match="module 'millwright' has no attribute 'start'"):
        _ = getattr(millwright, "start")  # noqa: B009 (a type checker would refuse it)


def test_importing_it_imports_no_room_and_takes_no_time() -> None:
    took: list[float] = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True
        )
        seconds, imported, names = done.stdout.splitlines()
        assert imported == ""
        assert names.split() == millwright.__all__
        took.append(float(seconds))
    assert min(took) < BUDGET_S


def test_nobody_inside_imports_from_it() -> None:
    guilty: list[str] = []
    for module in modules():
        for node in ast.walk(module.tree()):
            if isinstance(node, ast.ImportFrom) and node.module == "millwright":
                named = {alias.name for alias in node.names} - rooms()
            elif isinstance(node, ast.Import):
                named = {alias.name for alias in node.names} & {"millwright"}
            else:
                continue
            guilty += [f"{module.place}: {name}" for name in named]
            if isinstance(node, ast.ImportFrom) and node.level:
                guilty.append(f"{module.place}: a relative import")
    assert guilty == []


def test_the_documentation_uses_what_there_is() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    used = {
        name
        for page in pages
        for name in re.findall(r"(?<![\w.])mw\.(\w+)", page.read_text(encoding="utf-8"))
    }
    assert used <= set(millwright.__all__)
