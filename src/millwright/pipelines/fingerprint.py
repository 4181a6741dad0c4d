"""Why a step's result is what it is: its code, inputs, parameters and environment as one digest.

Two uses of a step with the same fingerprint give the same result, so the second need not run;
of two that differ, `explain` says in what.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes
from millwright.pipelines.arguments import Address, Argument, Plain, spell
from millwright.pipelines.code import Sources
from millwright.pipelines.loading import address_of, search_folders
from millwright.pipelines.step import Step
from millwright.records.pipelines import Fingerprint

FOLLOWED_PACKAGES = ("millwright.catalogue",)
"""Installed packages whose source counts as if it were the project's: our built-in steps."""

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OURSELVES = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class StepCode:
    """The part of a fingerprint that is known before any input is."""

    address: Address
    parts: Mapping[str, str]
    sources: Mapping[str, Digest]
    """The files a worker must find unchanged."""


class Fingerprinter:
    """Takes fingerprints for one project, reading each of its files once.

    It sees the files as they are when it first reads them, so it is made anew for each run.
    """

    def __init__(self, root: Path, search: Iterable[str] | None = None) -> None:
        self.root = root.resolve()
        self.search = search_folders(self.root, sys.path if search is None else search)
        self._sources = Sources(self.root, self.search, FOLLOWED_PACKAGES)
        self._environment = _Environment()
        self._codes: dict[Callable[..., object], StepCode] = {}

    def code_of(self, step: Step[..., object]) -> StepCode:
        """Return what the step's own code says, whatever it is given.

        Raises Invalid when the step is not defined where a worker finds it.
        """
        if step.function not in self._codes:
            address = address_of(step)
            reached = self._sources.reach(
                address.module, Path(address.path), address.attribute.partition(".")[0]
            )
            parts = {f"code:{name}": value for name, value in reached.parts.items()}
            parts["environment"] = self._environment.lock(reached.external)
            self._codes[step.function] = StepCode(address, parts, reached.sources)
        return self._codes[step.function]

    def fingerprint(
        self, step: Step[..., object], arguments: Mapping[str, Argument]
    ) -> Fingerprint:
        """Return the fingerprint of `step` with bound `arguments`."""
        parts = dict(self.code_of(step).parts)
        for name, value in arguments.items():
            kind = "param" if isinstance(value, Plain) else "input"
            parts[f"{kind}:{name}"] = spell(value)
        ordered = sorted(parts.items())
        # A list of pairs: canonical keys are ASCII, and a Python name need not be.
        return Fingerprint(digest=digest_bytes(canonical.encode(ordered)), parts=dict(ordered))


def explain(old: Fingerprint, new: Fingerprint) -> list[str]:
    """Return in words what differs between two fingerprints of one step; empty when nothing does.

    >>> def of(depth: int) -> Fingerprint:
    ...     parts = {"param:max_depth": str(depth)}
    ...     return Fingerprint(digest=digest_bytes(str(depth).encode()), parts=parts)
    >>> explain(of(3), of(4))
    ['parameter max_depth 3 → 4']
    """
    told: list[str] = []
    for key in sorted(old.parts.keys() | new.parts.keys(), key=_order):
        before, after = old.parts.get(key), new.parts.get(key)
        if before != after:
            told.append(_difference(key, before, after))
    return told


def _order(key: str) -> tuple[int, str]:
    """Parameters first, then inputs and code; the environment, which is long, last."""
    kinds = ("param", "input", "code", "environment")
    return kinds.index(key.partition(":")[0]), key


def _difference(key: str, before: str | None, after: str | None) -> str:
    kind, _, name = key.partition(":")
    if kind == "environment":
        return _environment_difference(before or "", after or "")
    if kind == "code":
        word = (after or before or "").partition(" ")[0]
        if before is None:
            return f"{word} {name} is now reached"
        return f"{word} {name} " + ("is no longer reached" if after is None else "changed")
    word = "parameter" if kind == "param" else "input"
    if before is None:
        return f"{word} {name} is now given"
    if after is None:
        return f"{word} {name} is no longer given"
    if kind == "input":
        return f"input {name} changed"
    return f"parameter {name} {_short(before)} → {_short(after)}"


def _environment_difference(before: str, after: str) -> str:
    old, new = _parse_lock(before), _parse_lock(after)
    changes = [
        f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return "environment: " + ", ".join(changes)


def _parse_lock(text: str) -> dict[str, str]:
    pairs = (item.partition("==") for item in text.split("; ") if item)
    return {name: version for name, _, version in pairs}


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


class _Environment:
    """Looks up which installed distributions imported names come from, each once."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._records: list[tuple[str, str]] | None = None
        self._closures: dict[str, dict[str, str]] = {}

    def lock(self, imported: Iterable[str]) -> str:
        """Return `python==3.11; name==version; …` for what these imports use."""
        versions: dict[str, str] = {}
        for name in imported:
            if name in sys.stdlib_module_names or not name:
                continue
            for distribution in self._distributions_of(name):
                versions.update(self._closure(distribution))
        python = f"python=={sys.version_info.major}.{sys.version_info.minor}"
        return "; ".join([python, *(f"{name}=={one}" for name, one in sorted(versions.items()))])

    def _distributions_of(self, name: str) -> list[str]:
        if name not in self._names:
            self._names[name] = self._look_up(name)
        return self._names[name]

    def _look_up(self, name: str) -> list[str]:
        if name == _OURSELVES:
            return [name]
        # packages_distributions() parses the list of every installed file, which takes longer
        # than a small pipeline; a search in the unparsed lists does not.
        if self._records is None:
            self._records = [
                (one.name, "\n" + (one.read_text("RECORD") or one.read_text("top_level.txt") or ""))
                for one in metadata.distributions()
            ]
        wanted = (f"\n{name}/", f"\n{name}.py,", f"\n{name}.cpython", f"\n{name}\n")
        return sorted(
            {one for one, record in self._records if any(text in record for text in wanted)}
        )

    def _closure(self, distribution: str) -> dict[str, str]:
        """Return the versions of a distribution and of all it requires and finds installed."""
        if distribution in self._closures:
            return self._closures[distribution]
        found: dict[str, str] = {}
        todo = [distribution]
        while todo:
            name = _normalised(todo.pop())
            if name in found:
                continue
            try:
                one = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            found[name] = one.version
            # What Millwright itself requires decides nothing: a step that uses it imports it.
            if name != _OURSELVES:
                for line in one.requires or ():
                    matched = _REQUIREMENT.match(line)
                    if matched and "extra ==" not in line:
                        todo.append(matched[0])
        self._closures[distribution] = found
        return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
