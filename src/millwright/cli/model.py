"""`mill model`: models, their versions, the aliases that point at them, and approvals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from millwright.cli import model_changes, model_environment, model_proof, model_search, text
from millwright.cli.lineage import model_lineage
from millwright.cli.run_search import named
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, Reason, WantedReason, noun
from millwright.core.errors import NotFound
from millwright.core.ids import RunId
from millwright.doors.models import ModelHistory
from millwright.records.models import AliasChange, Approval, ModelVersion
from millwright.records.schema import Column

app = noun("Models, their versions, the aliases that point at them, and approvals.")

RISKS = ("low", "high")
STATES = ("waiting", "approved", "rejected", "used")

Ref = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME@v3, NAME@champion, or an id.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]
Alias = Annotated[str, typer.Option("--alias", metavar="ALIAS", help="Which alias.")]


@app.command("list")
def list_all() -> None:
    """List the project's models."""
    here = session()
    with here.door() as door:
        found = door.models.list_all()
    here.answer(
        found,
        lambda: text.table(
            ["name", "risk", "newest", "aliases", "created", "id"],
            [
                (
                    one.name,
                    one.risk,
                    f"v{one.versions}" if one.versions else None,
                    ", ".join(f"{alias} v{number}" for alias, number in one.aliases.items()),
                    text.when(one.created_us),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="There are no models yet. Make one: mill model register FOLDER --name NAME",
    )


@app.command()
def show(ref: Ref) -> None:
    """Show one version: its digests, signature, and the run that made it."""
    here = session()
    with here.door() as door:
        version = door.models.show(ref=ref)
    here.answer(version, lambda: version_lines(version))
    if version.deprecated:
        here.say(f"It is deprecated: {version.deprecated}")
    here.say(f"Who was champion when: mill model history {version.name}")


@app.command()
def history(
    name: Name,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Only which version the alias meant then."),
    ] = None,
    alias: Alias = "champion",
) -> None:
    """Show all versions, and every move of an alias: when, by whom and why."""
    here = session()
    if at is not None:
        model_search.show_alias_at(name, alias, at)
        return
    with here.door() as door:
        found = door.models.history(name=name)
        names = here.names(door)
    here.answer(found, lambda: history_lines(found, names))


@app.command()
def register(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A package: an MLmodel folder.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The model.")],
    risk: Annotated[
        str | None, typer.Option("--risk", metavar="low|high", help="Of a new model; else low.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The run that made it.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Make a package the next version of a model; the same model is the same version.

    It is loaded here first, and has to answer its own example rows as when it was packaged.
    """
    from millwright.registry.replay import replay

    here = session()
    if risk is not None and risk not in RISKS:
        raise typer.BadParameter(f"{risk!r} is none of {', '.join(RISKS)}")
    if not (folder / "MLmodel").is_file():
        raise NotFound(
            f"{folder} is not a model package",
            why="it has no file MLmodel",
            fix="name the folder that write_package, or MLflow's save_model, wrote",
        )
    replayed = replay(folder)
    tried = str(replayed)
    with here.door() as door:
        made_by = None if run is None else RunId(door.runs.show(ref=named(door, run)).id)
        known = {one.name for one in door.models.list_all()}
        if dry_run:
            is_new = "a new model" if name not in known else f"a version of the model {name}"
            found = [is_new, tried]
            here.would("models.register", name=name, folder=str(folder), run=made_by, found=found)
            return
        # Stored first: a folder that cannot be leaves no model without versions behind.
        package = door.artifacts.put_folder(folder)
        if name not in known or risk is not None:
            door.models.create(name=name, risk=risk or "low", reason=reason)
        newest = max((one.version for one in door.models.find(name=name).latest), default=0)
        version = door.models.register(
            name=name, package_digest=package, run=made_by, reason=reason
        )
    here.answer(version, lambda: version_lines(version))
    here.say(f"{tried[0].upper()}{tried[1:]}.")
    if version.version <= newest:
        here.say(f"{_spelled(version)} was this model already: nothing was added.")
    if replayed.is_loaded:
        here.say(f"Judge it: mill gate check {_spelled(version)} --data DATASET --target COLUMN")
    else:
        here.say(
            f"Gates and servers refuse what they cannot load: mill model show {_spelled(version)}"
        )


@app.command()
def promote(
    ref: Ref, alias: Alias = "champion", reason: Reason = "", dry_run: DryRun = False
) -> None:
    """Point an alias at a version; exit 6 when it waits for somebody else's yes."""
    here = session()
    with here.door() as door:
        if dry_run:
            version = door.models.show(ref=ref)
            pointed = door.models.history(name=version.name).model.aliases.get(alias)
            now = "nothing" if pointed is None else f"v{pointed}"
            found = [f"{alias} of {version.name} points at {now} now"]
            here.would("models.promote", ref=_spelled(version), alias=alias, found=found)
            return
        change = door.models.promote(ref=ref, alias=alias, reason=reason)
    here.answer(change, lambda: _change_lines(change))


@app.command()
def rollback(
    name: Name, reason: WantedReason, alias: Alias = "champion", dry_run: DryRun = False
) -> None:
    """Point an alias back at the version it pointed at before."""
    here = session()
    with here.door() as door:
        if dry_run:
            now = door.models.history(name=name).model.aliases.get(alias)
            found = [f"{alias} points at {'nothing' if now is None else f'v{now}'} now"]
            here.would("models.rollback", name=name, alias=alias, reason=reason, found=found)
            return
        here.confirm(f"Point {alias} of {name} back at the version before?")
        change = door.models.rollback(name=name, alias=alias, reason=reason)
    here.answer(change, lambda: _change_lines(change))


@app.command()
def approve(
    ref: Ref, alias: Alias = "champion", reason: Reason = "", dry_run: DryRun = False
) -> None:
    """Agree to a promotion that somebody else asked for."""
    here = session()
    with here.door() as door:
        if dry_run:
            version = door.models.show(ref=ref)
            here.would("models.approve", ref=_spelled(version), alias=alias, reason=reason)
            return
        approval = door.models.approve(ref=ref, alias=alias, reason=reason)
        names = here.names(door)
    here.answer(approval, lambda: approval_lines(approval, names))
    spelled = f"{approval.model}@v{approval.version}"
    here.say(f"Now it can be promoted: mill model promote {spelled} --alias {approval.alias}")


@app.command()
def reject(
    ref: Ref, reason: WantedReason, alias: Alias = "champion", dry_run: DryRun = False
) -> None:
    """Refuse a promotion that somebody else asked for."""
    here = session()
    with here.door() as door:
        if dry_run:
            version = door.models.show(ref=ref)
            here.would("models.reject", ref=_spelled(version), alias=alias, reason=reason)
            return
        approval = door.models.reject(ref=ref, alias=alias, reason=reason)
        names = here.names(door)
    here.answer(approval, lambda: approval_lines(approval, names))


@app.command()
def approvals(
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="waiting, approved, rejected or used."),
    ] = None,
) -> None:
    """List promotions that wait for somebody's yes, or have had it."""
    here = session()
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(STATES)}")
    with here.door() as door:
        found = door.models.approvals(state=state)
        names = here.names(door)
    here.answer(
        found,
        lambda: text.table(
            ["model", "alias", "state", "asked by", "asked", "decided by", "id"],
            [
                (
                    f"{one.model}@v{one.version}",
                    one.alias,
                    one.state,
                    names.get(one.requested_by, one.requested_by),
                    text.when(one.requested_us),
                    one.decided_by and names.get(one.decided_by, one.decided_by),
                    one.id,
                )
                for one in found
            ],
        ),
        empty="Nothing waits for approval. A model of high risk asks for it when it is promoted.",
    )


def version_lines(version: ModelVersion) -> list[str]:
    """Return what a person wants to know of a version first."""
    return text.facts(
        {
            "model": _spelled(version),
            "id": version.id,
            "digest": version.digest,
            "package": version.package_digest,
            "flavors": ", ".join(version.flavors),
            "inputs": _columns(version.signature.inputs),
            "outputs": _columns(version.signature.outputs),
            "profile": version.profile_digest,
            "run": version.run,
            "actor": version.actor,
            "created": text.when(version.created_us),
        }
        | model_changes.said_of_version(version)
    ) + model_changes.tag_lines(version.tags)


def history_lines(found: ModelHistory, names: Mapping[str, str]) -> list[str]:
    """Return versions and moves as two tables."""
    model = found.model
    aliases = ", ".join(f"{alias} v{number}" for alias, number in model.aliases.items())
    facts = {"model": model.name, "id": model.id, "risk": model.risk, "aliases": aliases}
    versions = text.table(
        ["version", "digest", "flavors", "created", "run"],
        [
            (
                f"v{one.version}",
                one.digest,
                ", ".join(one.flavors),
                text.when(one.created_us),
                one.run,
            )
            for one in found.versions
        ],
    )
    moves = text.table(
        ["time", "alias", "from", "to", "actor", "reason"],
        [
            (
                text.when(one.time_us),
                one.alias,
                _numbered(one.previous),
                _numbered(one.version),
                names.get(one.actor, one.actor),
                one.reason,
            )
            for one in found.aliases
        ],
    )
    return [
        *text.facts(facts),
        *(["", *versions] if found.versions else []),
        *(["", *moves] if found.aliases else []),
    ]


def approval_lines(approval: Approval, names: Mapping[str, str]) -> list[str]:
    """Return an approval as names and values; `names` are those of actors, by id."""
    asked, decided = approval.requested_by, approval.decided_by
    return text.facts(
        {
            "approval": approval.id,
            "model": f"{approval.model}@v{approval.version}",
            "alias": approval.alias,
            "state": approval.state,
            "asked by": names.get(asked, asked),
            "decided by": decided and names.get(decided, decided),
            "reason": approval.decision_reason,
        }
    )


def _change_lines(change: AliasChange) -> list[str]:
    return text.facts(
        {
            "alias": change.alias,
            "from": _numbered(change.previous),
            "to": _numbered(change.version),
            "event": change.event,
        }
    )


def _columns(columns: list[Column]) -> str:
    return ", ".join(f"{one.name} ({one.kind})" for one in columns)


def _numbered(version: int | None) -> str | None:
    return None if version is None else f"v{version}"


def _spelled(version: ModelVersion) -> str:
    return f"{version.name}@v{version.version}"


# Behind the verbs of every day, so that help begins with those.
app.command("lineage")(model_lineage)
for _verb in (
    *model_search.VERBS,
    *model_changes.VERBS,
    *model_proof.VERBS,
    *model_environment.VERBS,
):
    app.command()(_verb)
