"""One module of a project, read from its file and taken apart; nothing is imported or run.

A module is a set of top-level names, each with the statements that make or change it, the
names its imports bind, and the calls it makes when it is imported.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Invalid

Chain = tuple[str, ...]
"""A dotted name: `helpers.clean.rows` is ("helpers", "clean", "rows")."""

DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_COMPOUND = ast.If | ast.Try | ast.With | ast.For | ast.While | ast.Match


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import binds a name to: a module, or (name not None) something in it."""

    module: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One module of the project, read from its file."""

    name: str
    path: Path
    digest: Digest
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict[str, list[ast.stmt]])
    """Name -> the top-level statements that make or change it, in order."""
    imports: dict[str, Imported] = field(default_factory=dict[str, Imported])
    stars: list[str] = field(default_factory=list[str])
    effects: list[ast.stmt] = field(default_factory=list[ast.stmt])
    """Calls made when the module is imported, bound to no name."""
    globals: dict[tuple[str, int], set[str]] = field(
        default_factory=dict[tuple[str, int], set[str]]
    )
    """(name, line) of a function or class -> the names it takes from its module."""
    all_imports: set[str] = field(default_factory=set[str])
    """Every module that is imported anywhere in the file, by its full name."""

    @property
    def package(self) -> str:
        """The name that relative imports start from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def read_source(name: str, path: Path) -> Source:
    """Read and take apart one file; raises Invalid, with the line, when it is not Python."""
    data = path.read_bytes()
    try:
        tree = ast.parse(data, filename=str(path))
        table = symtable.symtable(data.decode("utf-8-sig"), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise Invalid(f"{path} is not valid Python", why=str(error)) from error
    source = Source(name=name, path=path, digest=digest_bytes(data))
    package = source.package
    for child in table.get_children():
        _collect_globals(child, source)
    for node in ast.walk(tree):
        for _, imported in imports_of(node, package):
            source.all_imports.add(imported.module)
    _collect(tree.body, source, package)
    return source


def imports_of(node: ast.AST, package: str) -> Iterator[tuple[str, Imported]]:
    """Iterate over what an import statement binds; `package` is where relative ones start."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Imported(alias.name)
            else:
                yield alias.name.partition(".")[0], Imported(alias.name.partition(".")[0])
                if "." in alias.name:
                    yield f"{alias.name}.", Imported(alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *([base] if base else [])])
        for alias in node.names:
            yield alias.asname or alias.name, Imported(base, alias.name)


def chains_in(node: ast.AST) -> Iterator[Chain]:
    """Iterate over the dotted names in a piece of code, the longest where they are nested."""
    if isinstance(node, ast.Name):
        yield (node.id,)
        return
    if isinstance(node, ast.Attribute):
        names: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            names.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield (inner.id, *reversed(names))
            return
    for child in ast.iter_child_nodes(node):
        yield from chains_in(child)


def _collect(statements: Iterable[ast.stmt], source: Source, package: str) -> None:
    for statement in statements:
        if _is_main_guard(statement):
            continue  # A worker imports the module, and never runs this.
        if isinstance(statement, DEFINITION):
            source.definitions.setdefault(statement.name, []).append(statement)
            continue
        for node in ast.walk(statement):
            if isinstance(statement, ast.Import | ast.ImportFrom | _COMPOUND):
                for bound, imported in imports_of(node, package):
                    if imported.name == "*":
                        source.stars.append(imported.module)
                    else:
                        source.imports[bound] = imported
        names = _changed_names(statement)
        for name in names:
            source.definitions.setdefault(name, []).append(statement)
        if not names and any(isinstance(node, ast.Call) for node in ast.walk(statement)):
            source.effects.append(statement)


def _changed_names(statement: ast.stmt) -> set[str]:
    """Return the names a top-level statement binds, or whose values it changes."""
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, DEFINITION):
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            names.update(chain[0] for chain in chains_in(node.value))
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        if isinstance(function, ast.Attribute):
            # ROWS.append(1) changes ROWS, and np.seterr(…) changes np for all who use it here.
            names.update(chain[0] for chain in chains_in(function.value))
    return names


def _collect_globals(table: symtable.SymbolTable, source: Source) -> set[str]:
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    for child in table.get_children():
        names |= _collect_globals(child, source)
    key = (table.get_name(), table.get_lineno())
    source.globals[key] = source.globals.get(key, set()) | names
    return names


def _is_main_guard(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )
