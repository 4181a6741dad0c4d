"""Lineage both ways: what a run or a version was made from, and what was made of it.

Read through a door, so that it is the same on a home and on a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

import typer
from msgspec import Struct

from millwright.cli.run_search import Ref, named
from millwright.cli.session import session
from millwright.core.errors import NotFound
from millwright.core.ids import LoggedModelId, RunId
from millwright.doors.door import Door
from millwright.records.deployments import Deployment
from millwright.records.models import ModelVersion
from millwright.records.runs import Run, RunLink

MAX_CHILDREN = 1000

Way: TypeAlias = Literal["self", "made from", "made"]


class Lineage(Struct, frozen=True, kw_only=True):
    """One thing with what it was made from and what was made of it."""

    way: Way
    what: str
    """The glossary's word: `run`, `model version`, `dataset version`, `deployment`…"""
    name: str
    id: str = ""
    note: str = ""
    """What else a person wants to know of it."""
    around: list[Lineage] = []


def lineage_of_run(door: Door, ref: str) -> Lineage:
    """Return what a run read, what it made, and what became of that; raises NotFound."""
    run = door.runs.show(ref=ref)
    deployments = door.deployments.list_all()
    above: list[Lineage] = []
    if run.parent is not None:
        above = [_run(door.runs.show(ref=run.parent), "made from")]
    around = [*above, *_inputs(door, run), *_outputs(door, run, deployments)]
    for child in door.runs.search(parent=run.id, limit=MAX_CHILDREN).runs:
        inner = [*_inputs(door, child), *_outputs(door, child, deployments)]
        around.append(_run(child, "made", inner))
    return _run(run, "self", around)


def lineage_of_version(door: Door, ref: str) -> Lineage:
    """Return what a version was made from, and where it answers; raises NotFound."""
    version = door.models.show(ref=ref)
    made_from: list[Lineage] = []
    if version.run is not None:
        made_from = list(_maker(door, version.run))
    if version.source:
        made_from.append(Lineage(way="made from", what="source", name=version.source))
    return _version(version, "self", door.deployments.list_all(), above=made_from)


def lineage_lines(found: Lineage) -> list[str]:
    """Return lineage as an indented tree: `<` is what it was made from, `>` what was made of it."""
    return list(_lines(found, depth=0))


def run_lineage(ref: Ref) -> None:
    """Show what a run read, what it made, and what became of that."""
    here = session()
    with here.door() as door:
        found = lineage_of_run(door, named(door, ref))
    here.answer(found, lambda: lineage_lines(found))


def model_lineage(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="NAME, NAME@v3, NAME@champion, or an id.")
    ],
) -> None:
    """Show what a version was made from, and where it answers."""
    here = session()
    with here.door() as door:
        found = lineage_of_version(door, ref)
    here.answer(found, lambda: lineage_lines(found))


def _maker(door: Door, run: RunId) -> Iterator[Lineage]:
    """Iterate over the run that made a version and, where it is a step, its pipeline's."""
    try:
        made_by = door.runs.show(ref=run)
    except NotFound:
        # It was purged; the version stays.
        yield Lineage(way="made from", what="run", name="purged", id=run)
        return
    yield _run(made_by, "made from", _inputs(door, made_by))
    if made_by.parent is not None:
        whole = door.runs.show(ref=made_by.parent)
        yield _run(whole, "made from", _inputs(door, whole))


def _inputs(door: Door, run: Run) -> list[Lineage]:
    found = [_link(door, one, "made from") for one in run.links if one.way == "input"]
    for data in run.datasets:
        note = f"{data.context}, {data.digest}" if data.context else data.digest
        found.append(Lineage(way="made from", what="dataset", name=data.name, note=note))
    found += [_logged(door, one.model, "made from") for one in run.models if one.way == "input"]
    return found


def _outputs(door: Door, run: Run, deployments: list[Deployment]) -> list[Lineage]:
    made = door.models.search_versions(filter=f"run_id = '{run.id}'", limit=MAX_CHILDREN).versions
    found = [_version(one, "made", deployments) for one in made]
    known = {one.id for one in made}
    found += [
        _link(door, one, "made") for one in run.links if one.way == "output" and one.id not in known
    ]
    found += [_logged(door, one.model, "made") for one in run.models if one.way == "output"]
    return found


def _run(run: Run, way: Way, around: Iterable[Lineage] = ()) -> Lineage:
    note = ", ".join([run.kind, run.status, f"experiment {run.experiment}"])
    return Lineage(way=way, what="run", name=run.name, id=run.id, note=note, around=list(around))


def _version(
    version: ModelVersion,
    way: Way,
    deployments: list[Deployment],
    *,
    above: Iterable[Lineage] = (),
) -> Lineage:
    around = list(above)
    around += [Lineage(way="made", what="alias", name=alias) for alias in version.aliases]
    for one in deployments:
        if one.model != version.name:
            continue
        around += [
            Lineage(
                way="made",
                what="deployment",
                name=one.name,
                id=one.id,
                note=f"{variant.role}, {variant.weight / 100:g} % of the keys",
            )
            for variant in one.variants
            if variant.version == version.version
        ]
    return Lineage(
        way=way,
        what="model version",
        name=f"{version.name}@v{version.version}",
        id=version.id,
        note="deprecated" if version.deprecated else "",
        around=around,
    )


def _link(door: Door, link: RunLink, way: Way) -> Lineage:
    what, name, note = link.what.replace("_", " "), link.name, ""
    if link.what == "dataset_version":
        try:
            version = door.data.show(ref=link.id)
            name, note = f"{version.name}@v{version.version}", f"{version.row_count:,} rows"
        except NotFound:
            note = "no longer there"
    return Lineage(
        way=way, what=what, name=name, id=link.digest if what == "artifact" else link.id, note=note
    )


def _logged(door: Door, model: LoggedModelId, way: Way) -> Lineage:
    try:
        found = door.logged_models.show(id=model)
    except NotFound:
        return Lineage(way=way, what="logged model", name="deleted", id=model)
    return Lineage(way=way, what="logged model", name=found.name, id=model, note=found.status)


def _lines(found: Lineage, *, depth: int) -> Iterator[str]:
    mark = {"self": "", "made from": "< ", "made": "> "}[found.way]
    note = f" ({found.note})" if found.note else ""
    known_as = f"  {found.id}" if found.id else ""
    line = f"{'  ' * depth}{mark}{found.what} {found.name}{note}{known_as}"
    # Names come from users, and may hold orders to the terminal.
    yield "".join(char if char.isprintable() else " " for char in line)
    for one in found.around:
        yield from _lines(one, depth=depth + 1)
