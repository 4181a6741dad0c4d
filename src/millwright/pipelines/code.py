"""Read a project's source, and follow what a function reaches through it.

Nothing is imported or run. A module is a set of top-level names, each with the statements that
make or change it; a statement refers to other names of its module, or to names of the modules
it imports. What is reached is spelled as an AST without positions and docstrings, so comments,
formatting and docstrings do not matter. Followed are functions, classes with all they hold,
constants, decorators, default values, annotations, lambdas, re-exports and imports inside
functions; of a module used as a whole, everything.

Not followed, since no reader of source can: a name looked up by a computed string (`getattr`,
`import_module`, `globals()`), an attribute set on a module from outside, and what a constant
read from a file or from the environment when it was made.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Invalid
from millwright.pipelines.loading import is_project_file
from millwright.pipelines.source import (
    DEFINITION,
    Chain,
    Imported,
    Source,
    chains_in,
    imports_of,
    read_source,
)

_OURSELVES = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Reached:
    """What a step reaches in the project."""

    parts: dict[str, str]
    """`module.name` -> `function`, `class` or `constant`, and the digest of its code."""
    sources: dict[str, Digest]
    """File -> the digest of its bytes, of all modules that were followed."""
    external: set[str]
    """Top-level names of the packages from elsewhere that these modules import."""


class Sources:
    """The modules of a project, each read once."""

    def __init__(self, root: Path, search: Iterable[str], packages: Iterable[str] = ()) -> None:
        self._root = root
        self._search = [Path(folder) for folder in search]
        self._packages = tuple(packages)
        self._by_name: dict[str, Source | None] = {}

    def reach(self, module: str, path: Path, name: str) -> Reached:
        """Return all that the top-level `name` of a module reaches, itself included.

        Raises Invalid when the module's source does not make that name.
        """
        if module not in self._by_name:
            self._by_name[module] = read_source(module, path)
        source = self._by_name[module]
        assert source is not None
        if name not in source.definitions:
            raise Invalid(
                f"{path} does not define {name} where it can be read",
                why="its fingerprint is taken from the source, and no statement there makes it",
                fix="define the step by name at the top level of the file",
            )
        return _Walk(self).run(source, name)

    def find(self, module: str) -> Source | None:
        """Return a module of the project, or None when it is not one."""
        if module not in self._by_name:
            path = self._path_of(module)
            self._by_name[module] = None if path is None else read_source(module, path)
        return self._by_name[module]

    def _path_of(self, module: str) -> Path | None:
        followed = any(module == name or module.startswith(name + ".") for name in self._packages)
        if not followed and module.partition(".")[0] == _OURSELVES:
            return None  # Counted by its version, also when the project is our own checkout.
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if isinstance(loaded, str) and loaded.endswith(".py"):
            path = Path(loaded).resolve()
            return path if followed or is_project_file(path, self._root) else None
        if followed:
            spec = importlib.util.find_spec(module)
            return None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        parts = module.split(".")
        for folder in self._search:
            base = folder.joinpath(*parts)
            for path in (base.with_suffix(".py"), base / "__init__.py"):
                if path.is_file() and is_project_file(path.resolve(), self._root):
                    return path.resolve()
        return None


def code_digest(statements: Iterable[ast.stmt]) -> Digest:
    """Return the digest of statements, whatever their comments, formatting and docstrings."""
    return digest_bytes("\n".join(ast.dump(_bare(node)) for node in statements).encode())


class _Walk:
    """Follows names from one definition to the next, each once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._parts: dict[str, str] = {}
        self._modules: dict[str, Source] = {}
        self._todo: list[tuple[Source, str]] = []

    def run(self, source: Source, name: str) -> Reached:
        self._enter(source)
        self._todo.append((source, name))
        while self._todo:
            self._visit(*self._todo.pop())
        external = {
            imported.partition(".")[0]
            for module in self._modules.values()
            for imported in module.all_imports
            if self._sources.find(imported) is None
        }
        # A namespace package of the project has no file of its own.
        own = {name.partition(".")[0] for name in self._modules}
        return Reached(
            parts=dict(sorted(self._parts.items())),
            sources={str(one.path): one.digest for one in self._modules.values()},
            external=external - own,
        )

    def _enter(self, source: Source) -> None:
        """Take a module in: what it calls when it is imported counts from now on."""
        if source.name in self._modules:
            return
        self._modules[source.name] = source
        if source.effects:
            self._parts[f"{source.name}.<module>"] = f"constant {code_digest(source.effects)}"
            for statement in source.effects:
                self._follow_all(source, statement)

    def _visit(self, source: Source, name: str) -> None:
        key = f"{source.name}.{name}"
        if key in self._parts:
            return
        statements = source.definitions[name]
        self._parts[key] = f"{_kind(statements[-1])} {code_digest(statements)}"
        for statement in statements:
            self._follow_all(source, statement)

    def _follow_all(self, source: Source, statement: ast.stmt) -> None:
        local: dict[str, Imported] = {}
        for node in ast.walk(statement):
            for bound, imported in imports_of(node, source.package):
                local[bound] = imported
                if imported.name is not None:
                    self._follow_import(imported, ())
        for chain in references(statement, source.globals, also=local):
            if chain[0] in local:
                self._follow_import(local[chain[0]], chain[1:])
            self._follow(source, chain)

    def _follow(self, source: Source, chain: Chain) -> bool:
        name, rest = chain[0], chain[1:]
        found = False
        if name in source.definitions:
            self._enter(source)
            self._todo.append((source, name))
            found = True
        if name in source.imports:
            self._enter(source)
            self._follow_import(source.imports[name], rest)
            found = True
        if found:
            return True
        for star in source.stars:
            module = self._sources.find(star)
            if module is not None and self._follow(module, chain):
                self._enter(source)
                return True
        return False

    def _follow_import(self, imported: Imported, rest: Chain) -> None:
        if imported.name == "*":
            return
        module = self._sources.find(imported.module)
        if imported.name is not None:
            if module is not None and self._follow(module, (imported.name, *rest)):
                return
            self._follow_import(Imported(f"{imported.module}.{imported.name}"), rest)
        elif module is not None and not rest:
            # The module itself is handed about: anything in it may be used.
            self._enter(module)
            self._todo.extend((module, name) for name in module.definitions)
        elif rest and not (module is not None and self._follow(module, rest)):
            submodule = f"{imported.module}.{rest[0]}"
            if self._sources.find(submodule) is not None or len(rest) > 1:
                self._follow_import(Imported(submodule), rest[1:])


def references(
    statement: ast.stmt,
    scopes: Mapping[tuple[str, int], set[str]],
    *,
    also: Iterable[str] = (),
) -> set[Chain]:
    """Return the dotted names that a top-level statement takes from its module.

    In the body of a function or class only names that are not its own count; `also` names are
    kept all the same. Its decorators, default values, bases and annotations belong to the module.
    """
    if not isinstance(statement, DEFINITION):
        return set(chains_in(statement))
    taken = scopes.get((statement.name, statement.lineno), set()) | set(also)
    found = {chain for chain in chains_in(statement) if chain[0] in taken}
    for outer in _outside(statement):
        found.update(chains_in(outer))
    return found


def _outside(definition: DEFINITION) -> Iterator[ast.AST]:
    """Iterate over the parts of a definition that are evaluated where it stands."""
    yield from definition.decorator_list
    if isinstance(definition, ast.ClassDef):
        yield from definition.bases
        yield from definition.keywords
    for node in ast.walk(definition):
        if isinstance(node, ast.arguments):
            yield from node.defaults
            yield from (default for default in node.kw_defaults if default is not None)
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if isinstance(annotation, ast.AST):
            yield annotation


def _kind(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return "function"
    return "class" if isinstance(statement, ast.ClassDef) else "constant"


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops statements that are nothing but a string: docstrings, and notes under fields."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            body: object = getattr(node, name, None)
            if isinstance(body, list):
                kept = [item for item in cast("list[object]", body) if not _is_note(item)]
                setattr(node, name, kept or ([ast.Pass()] if name == "body" else []))
        return node


def _is_note(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _bare(statement: ast.stmt) -> ast.stmt:
    # Changed in place: the notes of a statement are wanted by nobody.
    stripped = _WithoutDocstrings().visit(statement)
    assert isinstance(stripped, ast.stmt)
    return stripped
