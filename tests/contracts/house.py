"""What the tests of the house look at: its rooms, modules and settings."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import msgspec

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "millwright"
TESTS = ROOT / "tests"


class Contract(msgspec.Struct, frozen=True):
    """A contract of import-linter, as it stands in pyproject.toml."""

    name: str
    type: str
    layers: list[str] = []
    modules: list[str] = []
    protected_modules: list[str] = []
    source_modules: list[str] = []
    forbidden_modules: list[str] = []
    ancestors: list[str] = []
    ignore_imports: list[str] = []
    exhaustive: bool = False

    def patterns(self) -> list[str]:
        """Return every pattern that is meant to match modules of ours."""
        named = (
            self.modules
            + self.protected_modules
            + self.source_modules
            + self.forbidden_modules
            + self.ancestors
        )
        return [pattern for pattern in named if pattern.partition(".")[0] == "millwright"]


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    text: str

    @property
    def place(self) -> str:
        """The path below the package, as `cli/main.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    def tree(self) -> ast.Module:
        """Return the module parsed; once for all tests, so none may change it."""
        return _parsed(self.path)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package, by name."""
    found: list[Module] = []
    for path in PACKAGE.rglob("*.py"):
        parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append(Module(".".join(parts), path, path.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda module: module.name))


def rooms() -> set[str]:
    """Return the folders of the package that hold code."""
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def contracts() -> list[Contract]:
    """Return import-linter's contracts."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = cast("Mapping[str, Mapping[str, object]]", settings["tool"])
    return msgspec.convert(tools["importlinter"]["contracts"], list[Contract])


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Iterate over every function in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
