"""Verbs of `mill model` that change what is said of models and versions, or put them away.

A REF without `@` is the model; with `@v3` or an alias, or an id, one version of it.
"""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace

from millwright.cli import text
from millwright.cli.run_changes import purge_lines, removes_nothing
from millwright.cli.session import session
from millwright.cli.verbs import DryRun, OlderThan, Reason, parse_tags
from millwright.core.errors import Invalid
from millwright.core.refs import parse_ref
from millwright.records.models import Model, ModelVersion

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="NAME for the model; NAME@v3 or an id for a version.")
]
VersionRef = Annotated[str, typer.Argument(metavar="REF", help="NAME@v3, NAME@champion, or an id.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


def describe(
    ref: Ref,
    words: Annotated[str, typer.Argument(metavar="TEXT", help="What it is for; '' for nothing.")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Say what a model is for, or what is special about a version."""
    here = session()
    with here.door() as door:
        if dry_run:
            here.would("models.describe", ref=ref, description=words, reason=reason)
            return
        if is_version(ref):
            door.models.describe_version(ref=ref, description=words, reason=reason)
            version = door.models.show(ref=ref)
            here.answer(version, lambda: _version_lines(version))
            return
        door.models.describe(name=ref, description=words, reason=reason)
        model = door.models.find(name=ref).model
    here.answer(model, lambda: model_lines(model))


def tag(
    ref: Ref,
    pairs: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE…", help="Tags to set; KEY= removes one.")
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Set tags of a model or a version, or remove them."""
    here = session()
    tags, removed = parse_tags(pairs)
    with here.door() as door:
        if dry_run:
            here.would("models.set_tags", ref=ref, tags=tags, removed=removed, reason=reason)
            return
        if is_version(ref):
            # One version throughout, wherever an alias is pointed meanwhile.
            known_as = door.models.show(ref=ref).id
            for key in removed:
                door.models.delete_version_tag(ref=known_as, key=key, reason=reason)
            if tags:
                door.models.set_version_tags(ref=known_as, tags=tags, reason=reason)
            version = door.models.show(ref=known_as)
            here.answer(version, lambda: _version_lines(version))
            return
        for key in removed:
            door.models.delete_tag(name=ref, key=key, reason=reason)
        if tags:
            door.models.set_tags(name=ref, tags=tags, reason=reason)
        model = door.models.find(name=ref).model
    here.answer(model, lambda: model_lines(model))


def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="The name it shall have.")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Give a model another name."""
    here = session()
    with here.door() as door:
        if dry_run:
            here.would("models.rename", name=name, new_name=new_name, reason=reason)
            return
        door.models.rename(name=name, new_name=new_name, reason=reason)
        model = door.models.find(name=new_name).model
    here.answer(model, lambda: model_lines(model))


def deprecate(
    ref: VersionRef,
    reason: Reason = "",
    take_back: Annotated[
        bool, typer.Option("--take-back", help="One may use it again after all.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Say why nobody should use a version any more."""
    here = session()
    if not is_version(ref):
        raise Invalid(
            f"{ref!r} is a model, and what is deprecated is a version", fix=f"say which: {ref}@v1"
        )
    if take_back == bool(reason):
        raise Invalid("deprecate says why by --reason, or takes it back by --take-back")
    with here.door() as door:
        known_as = door.models.show(ref=ref).id
        if dry_run:
            here.would("models.deprecate", ref=ref, reason=reason)
            return
        door.models.deprecate(ref=known_as, reason=reason)
        version = door.models.show(ref=known_as)
    here.answer(version, lambda: _version_lines(version))


def delete(ref: Ref, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Put a model with all its versions away, or one version; it can be restored until purged."""
    here = session()
    with here.door() as door:
        if is_version(ref):
            version = door.models.show(ref=ref)
            spelled = f"{version.name}@v{version.version}"
            if dry_run:
                here.would("models.delete_version", ref=spelled, reason=reason)
                return
            here.confirm(f"Delete {spelled}?")
            door.models.delete_version(ref=version.id, reason=reason)
            here.answer(version, lambda: [f"deleted {spelled}"])
        else:
            spelled, model = ref, door.models.find(name=ref).model
            versions = text.counted(model.versions, "version")
            pointing = [f"{alias} points at v{at}" for alias, at in model.aliases.items()]
            if dry_run:
                here.would("models.delete", found=[versions, *pointing], name=ref, reason=reason)
                return
            noted = f" ({', '.join(pointing)})" if pointing else ""
            here.confirm(f"Delete the model {ref} with {versions}{noted}?")
            door.models.delete(name=ref, reason=reason)
            here.answer(model, lambda: [f"deleted {ref} with {versions}"])
    here.say(f"Take it back: mill model restore '{spelled}'")


def restore(
    ref: Annotated[str, typer.Argument(metavar="REF", help="NAME, or NAME@v3 for a version.")],
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Take back the model of that name that was deleted last, or a deleted version."""
    here = session()
    parsed = parse_ref(ref)
    if parsed.alias is not None:
        raise Invalid(f"{ref!r} names no deleted version", fix=f"write {parsed.name}@v3")
    with here.door() as door:
        if dry_run:
            here.would("models.restore", ref=ref, reason=reason)
            return
        if parsed.version is not None:
            number = str(parsed.version)
            door.models.restore_version(name=parsed.name, version=number, reason=reason)
            version = door.models.show(ref=ref)
            here.answer(version, lambda: _version_lines(version))
            return
        door.models.restore(name=ref, reason=reason)
        model = door.models.find(name=ref).model
    here.answer(model, lambda: model_lines(model))


def protect(name: Name, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Have a model's protected aliases ask gate and approval before they move."""
    _govern(name, governed=True, reason=reason, dry_run=dry_run)


def unprotect(name: Name, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Let a model's aliases move freely; what answers requests is asked for all the same."""
    _govern(name, governed=False, reason=reason, dry_run=dry_run)


def purge(days: OlderThan = None, reason: Reason = "", dry_run: DryRun = False) -> None:
    """Remove models and versions that were deleted long ago and that nothing names, for good."""
    here = session()
    with here.door() as door:
        counted = door.models.purge(older_than_days=days, dry_run=True)
        is_empty = removes_nothing(counted)
        if not dry_run and is_empty:
            counted = replace(counted, dry_run=False)
        elif not dry_run:
            here.confirm(
                f"Remove {text.counted(counted.models, 'model')} and "
                f"{text.counted(counted.versions, 'version')} for good?"
            )
            counted = door.models.purge(older_than_days=days, reason=reason)
    here.answer(counted, lambda: purge_lines(counted))
    if dry_run and not is_empty:
        here.say("Nothing was changed. Leave --dry-run out to do it.")


def is_version(ref: str) -> bool:
    """Tell whether a reference names one version, not the model."""
    return "@" in ref or ref.startswith("mov_")


def model_lines(model: Model) -> list[str]:
    """Return what a person wants to know of a model."""
    lines = text.facts(
        {
            "model": model.name,
            "id": model.id,
            "risk": model.risk,
            "protected": "yes" if model.governed else "no",
            "versions": model.versions,
            "aliases": ", ".join(f"{alias} v{number}" for alias, number in model.aliases.items()),
            "description": model.description,
            "changed": text.when(model.changed_us),
        }
    )
    return lines + tag_lines(model.tags)


def said_of_version(version: ModelVersion) -> dict[str, text.Cell]:
    """Return what people said of a version, as far as they said anything."""
    said = {
        "aliases": ", ".join(version.aliases),
        "stage": "" if version.stage == "None" else version.stage,
        "deprecated": version.deprecated or "",
        "description": version.description,
        "source": version.source,
    }
    return {name: words for name, words in said.items() if words}


def tag_lines(tags: dict[str, str]) -> list[str]:
    """Return tags as a block of their own; nothing where there are none."""
    return ["", "tags", *text.indented(text.facts(dict(sorted(tags.items()))))] if tags else []


def _version_lines(version: ModelVersion) -> list[str]:
    head: dict[str, text.Cell] = {
        "model": f"{version.name}@v{version.version}",
        "id": version.id,
        "changed": text.when(version.changed_us),
    }
    return text.facts(head | said_of_version(version)) + tag_lines(version.tags)


def _govern(name: str, *, governed: bool, reason: str, dry_run: bool) -> None:
    here = session()
    with here.door() as door:
        model = door.models.find(name=name).model
        if dry_run:
            here.would("models.govern", name=model.name, governed=governed, reason=reason)
            return
        door.models.govern(name=name, governed=governed, reason=reason)
        model = door.models.find(name=name).model
    here.answer(model, lambda: model_lines(model))


VERBS = (describe, tag, rename, deprecate, delete, restore, purge, protect, unprotect)
