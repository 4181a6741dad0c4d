"""Find a step's module in one process, and load the very same code in another.

A worker imports project modules from their source, never from cached bytecode: Python trusts a
`.pyc` by size and by time in whole seconds, so an edit made within a second of the last import
could run the old code under the new code's fingerprint. What was compiled is remembered by
digest, and compared with what the fingerprint was taken of.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.machinery import SourceFileLoader as _SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from millwright.core.digest import Digest, digest_bytes, digest_file
from millwright.core.errors import Invalid, NotFound
from millwright.pipelines.arguments import Address
from millwright.pipelines.step import Step

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def is_project_file(path: Path, root: Path) -> bool:
    """Tell whether a source file belongs to the project at `root`, and is not installed there."""
    return path.is_relative_to(root) and not _INSTALLED.intersection(path.parts)


def search_folders(root: Path, path: Iterable[str]) -> list[str]:
    """Return the folders of `path` (such as sys.path) that belong to the project, and `root`."""
    folders = [Path(entry).resolve() for entry in path]
    chosen = [str(folder) for folder in folders if is_project_file(folder, root)]
    return list(dict.fromkeys([*chosen, str(root)]))


def load_file(path: Path, root: Path) -> ModuleType:
    """Import a project file under the name it would have from `root`, and return the module.

    Its folder comes first on `sys.path`, as Python does for a script. Raises NotFound when
    there is no such file, Invalid when it is not Python, and what the module raises.
    """
    path, root = path.resolve(), root.resolve()
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    if path.suffix != ".py":
        raise Invalid(f"{path} is not a Python file", fix="name a file that ends in .py")
    for folder in (str(root), str(path.parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if path.is_relative_to(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
    else:
        name = path.stem
    return _load(name, path)


def address_of(step: Step[..., object]) -> Address:
    """Return where a worker finds `step`.

    Raises Invalid when it cannot: the step must be an attribute of a module made from a file.
    """
    name = step.function.__module__
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or not isinstance(file, str) or not file.endswith(".py"):
        raise Invalid(
            f"step {step.name} is not defined in a file",
            why=f"its module {name} has none, and a worker could not import it",
            fix="put the step into a .py file of the project",
        )
    attribute = _attribute_of(step, module)
    if attribute is None:
        raise Invalid(
            f"step {step.name} cannot be found in {file}",
            why=f"{step.function.__qualname__} is not an attribute of its module",
            fix="define the step at the top level of the file, or give it a name there",
        )
    if name == "__main__":
        spec = module.__spec__
        name = Path(file).stem if spec is None else spec.name
    return Address(module=name, attribute=attribute, path=str(Path(file).resolve()))


class ProjectImporter:
    """Makes this process import a project's modules from source; for workers."""

    def __init__(self, root: Path, search: Iterable[str]) -> None:
        self._root = root
        self._compiled: dict[str, Digest] = {}
        compiled = self._compiled

        class FromSource(_SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                path = self.get_filename(fullname)
                data = self.get_data(path)
                compiled[str(Path(path).resolve())] = digest_bytes(data)
                return self.source_to_code(data, path)

        self._loader = FromSource

        def hook(folder: str) -> FileFinder:
            if not is_project_file(Path(folder).resolve(), root):
                raise ImportError(folder)
            return FileFinder(
                folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (FromSource, [".py"])
            )

        sys.path_hooks.insert(0, hook)
        sys.path_importer_cache.clear()
        for folder in reversed(list(search)):
            if folder not in sys.path:
                sys.path.insert(0, folder)

    def step_at(self, address: Address) -> Step[..., object]:
        """Import the module and return the step; raises Invalid when it is not there."""
        path = Path(address.path)
        spec = None
        if address.module not in sys.modules:
            try:
                spec = importlib.util.find_spec(address.module)
            except (ImportError, ValueError):
                spec = None
        if address.module in sys.modules or (
            spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path
        ):
            found: object = importlib.import_module(address.module)
        else:
            found = _load(address.module, path, self._loader(address.module, str(path)))
        for part in address.attribute.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, Step):
            raise Invalid(f"there is no step {address.attribute} in {address.path}")
        return cast("Step[..., object]", found)

    def changed(self, sources: Mapping[str, Digest]) -> list[str]:
        """Return the files of `sources` of which this process has loaded other bytes."""
        return [
            path
            for path, digest in sources.items()
            if path in self._compiled and self._compiled[path] != digest
        ]


def is_current(path: str, digest: Digest) -> bool:
    """Tell whether the file holds, now, the bytes of that digest."""
    try:
        return digest_file(Path(path)) == digest
    except OSError:
        return False


def _load(name: str, path: Path, loader: _SourceFileLoader | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _attribute_of(step: Step[..., object], module: ModuleType) -> str | None:
    found: object = module
    for part in step.function.__qualname__.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Step) and found.function is step.function:
        return step.function.__qualname__
    for name, value in vars(module).items():
        if isinstance(value, Step) and value.function is step.function:
            return name
    return None
