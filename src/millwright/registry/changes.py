"""What is said about models and versions, and putting them away: all of it journaled.

A deleted model or version keeps its row, and so its history, until it is purged; its name is free
at once. The weights and numbers of a version never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from millwright.core.clock import Clock
from millwright.core.errors import Conflict, NotFound
from millwright.core.refs import check_model_name
from millwright.journal.leaves import short_texts
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import deployments as deployment_tables
from millwright.metadata.tables import model_changes as tables
from millwright.metadata.tables import models as model_tables
from millwright.metadata.tables.deployments import DeploymentRow
from millwright.metadata.tables.models import ModelRow, VersionRow
from millwright.records.events import (
    Act,
    Detail,
    ModelChanged,
    ModelDeleted,
    ModelGoverned,
    ModelRenamed,
    StageMoved,
    Subject,
)
from millwright.records.models import ModelVersion, Stage
from millwright.registry.models import Recorder, find_model, find_version

ONE_AT_A_TIME: frozenset[Stage] = frozenset({"Staging", "Production"})

StageGuard: TypeAlias = Callable[[Writer, Act, ModelVersion, Stage], None]
"""Called before a version is moved to a stage; raises Refused or NeedsApproval to stop it."""
NameGuard: TypeAlias = Callable[[Writer, ModelRow], None]
"""Called before a model gives up its name; raises Refused to stop it."""


class NameTaken(Conflict):
    """There is a model of that name already."""

    def __init__(self, name: str, fix: str = "choose another name") -> None:
        super().__init__(f"there is a model {name} already", fix=fix)
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return NameTaken, (self.name, self.fix)


class Changes:
    """Changes what is said about the models of all projects of a home."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        clock: Clock,
        *,
        guard: StageGuard,
        guard_name: NameGuard,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        self._guard = guard
        self._guard_name = guard_name

    def describe(self, act: Act, name: str, description: str) -> None:
        """Say what a model is for."""
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            now_us = self._clock.now_us()
            tables.describe_model(tx, pk=row.pk, description=description, now_us=now_us)
            self._note(tx, act, row, ModelChanged(name=row.name, what="description"))

    def rename(self, act: Act, name: str, new_name: str) -> None:
        """Give a model another name; raises NameTaken."""
        check_model_name(new_name)
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            if new_name == row.name:
                return
            if model_tables.find_model(tx, project=act.project_key, name=new_name) is not None:
                raise NameTaken(new_name)
            self._guard_name(tx, row)
            tables.rename_model(tx, pk=row.pk, name=new_name, now_us=self._clock.now_us())
            self._note(tx, act, row, ModelRenamed(name=new_name, previous=row.name))

    def set_tags(self, act: Act, name: str, tags: Mapping[str, str]) -> None:
        """Set tags of a model, replacing earlier values."""
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            tables.upsert_tags(tx, pk=row.pk, tags=tags, of_version=False)
            self._touch(tx, row)
            what = f"tags {', '.join(sorted(tags))}"
            detail = ModelChanged(name=row.name, what=what, tags=short_texts(tags))
            self._note(tx, act, row, detail)

    def delete_tag(self, act: Act, name: str, key: str) -> None:
        """Remove a tag of a model; one that is not there is no error."""
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            if tables.delete_tag(tx, pk=row.pk, key=key, of_version=False):
                self._touch(tx, row)
                detail = ModelChanged(name=row.name, what=f"tag {key} removed", removed=[key])
                self._note(tx, act, row, detail)

    def delete(self, act: Act, name: str) -> None:
        """Put a model away with its versions and aliases; its name is free.

        Raises Conflict while a deployment answers by it, and what the guard of names raises.
        """
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            _check_idle(
                row.name,
                [one for one in _deployments(tx, act) if one.model_pk == row.pk],
                fix="put the versions away that nobody is answered by: mill model delete NAME@vN",
            )
            self._guard_name(tx, row)
            tables.delete_model(tx, row, now_us=self._clock.now_us())
            self._note(tx, act, row, ModelDeleted(name=row.name))

    def restore(self, act: Act, name: str) -> None:
        """Take back the model of that name that was deleted last.

        Raises NotFound when there is none, and NameTaken when another has its name.
        """
        with self._database.write() as tx:
            row = tables.find_deleted(tx, project=act.project_key, name=name)
            if row is None:
                raise NotFound(
                    f"no deleted model {name}", fix="`mill model list` shows those that are there"
                )
            if model_tables.find_model(tx, project=act.project_key, name=name) is not None:
                raise NameTaken(
                    name, fix=f"call that one otherwise first: mill model rename {name} NEW"
                )
            tables.restore_model(tx, pk=row.pk, name=name)
            self._note(tx, act, row, ModelDeleted(name=name, restored=True))

    def govern(self, act: Act, name: str, *, governed: bool) -> None:
        """Have a model's protected aliases ask gate and approval, or no longer."""
        with self._database.write() as tx:
            row = find_model(tx, act.project_key, name)
            if bool(row.governed) != governed:
                tables.set_governed(tx, pk=row.pk, governed=governed)
                self._note(tx, act, row, ModelGoverned(name=row.name, governed=governed))

    def describe_version(self, act: Act, ref: str, description: str) -> None:
        """Say what is special about a version."""
        self._change_version(act, ref, "description", description=description)

    def deprecate(self, act: Act, ref: str, reason: str) -> None:
        """Say why nobody should use a version any more; an empty reason takes that back."""
        self._change_version(act, ref, "deprecation", deprecated=reason)

    def set_version_tags(self, act: Act, ref: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version, replacing earlier values."""
        with self._database.write() as tx:
            row = find_version(tx, act.project_key, ref)
            tables.upsert_tags(tx, pk=row.pk, tags=tags, of_version=True)
            what = f"tags {', '.join(sorted(tags))}"
            self._note_version(tx, act, row, what, tags=short_texts(tags))

    def delete_version_tag(self, act: Act, ref: str, key: str) -> None:
        """Remove a tag of a version; one that is not there is no error."""
        with self._database.write() as tx:
            row = find_version(tx, act.project_key, ref)
            if tables.delete_tag(tx, pk=row.pk, key=key, of_version=True):
                self._note_version(tx, act, row, f"tag {key} removed", removed=[key])

    def delete_version(self, act: Act, ref: str) -> None:
        """Put a version away; raises Conflict while an alias points at it, or it is deployed."""
        with self._database.write() as tx:
            row = find_version(tx, act.project_key, ref)
            aliases = tables.read_aliases(tx, version_pks=[row.pk]).get(row.pk, [])
            if aliases:
                raise Conflict(
                    f"{row.name}@v{row.version} cannot be deleted: "
                    f"{', '.join(aliases)} points at it",
                    fix="point it elsewhere first: "
                    + " and ".join(
                        f"mill model promote {row.name}@vN --alias {alias}" for alias in aliases
                    ),
                )
            _check_idle(
                f"{row.name}@v{row.version}",
                [
                    one
                    for one in _deployments(tx, act)
                    if row.id in {variant.model_version for variant in one.variants}
                ],
                fix=f"let another answer first: mill deploy promote DEPLOYMENT {row.name}@vN",
            )
            now_us = self._clock.now_us()
            tables.set_version_deleted(tx, pk=row.pk, deleted_us=now_us, now_us=now_us)
            self._note(tx, act, row, ModelDeleted(name=row.name, version=row.version))

    def restore_version(self, act: Act, name: str, version: int) -> None:
        """Take a deleted version back; raises NotFound and Conflict."""
        with self._database.write() as tx:
            model = find_model(tx, act.project_key, name)
            row = model_tables.find_version(tx, model_pk=model.pk, version=version)
            if row is None:
                raise NotFound(
                    f"no model version {name}@v{version}",
                    why=f"the newest version of model {name} was v{model.last_version}",
                )
            if row.deleted_us is None:
                raise Conflict(f"{name}@v{version} is not deleted")
            now_us = self._clock.now_us()
            tables.set_version_deleted(tx, pk=row.pk, deleted_us=None, now_us=now_us)
            detail = ModelDeleted(name=name, version=version, restored=True)
            self._note(tx, act, row, detail)

    def move_stage(self, act: Act, ref: str, stage: Stage, *, archive_others: bool) -> None:
        """Move a version to another stage, as clients that know no aliases do.

        With `archive_others` those that stand there are archived. Raises what the guard raises.
        """
        with self._database.write() as tx:
            row = find_version(tx, act.project_key, ref)
            model_tables.lock_model(tx, row.model_pk)
            self._guard(tx, act, row.model_version(), stage)
            if archive_others and stage in ONE_AT_A_TIME:
                for other in model_tables.list_versions(tx, model_pk=row.model_pk):
                    if other.stage == stage and other.pk != row.pk:
                        self._move(tx, act, other, "Archived")
            self._move(tx, act, row, stage)

    def _move(self, tx: Writer, act: Act, row: VersionRow, stage: Stage) -> None:
        tables.change_version(tx, pk=row.pk, now_us=self._clock.now_us(), stage=stage)
        detail = StageMoved(name=row.name, version=row.version, stage=stage, previous=row.stage)
        self._note(tx, act, row, detail)

    def _change_version(
        self,
        act: Act,
        ref: str,
        what: str,
        *,
        description: str | None = None,
        deprecated: str | None = None,
    ) -> None:
        with self._database.write() as tx:
            row = find_version(tx, act.project_key, ref)
            tables.change_version(
                tx,
                pk=row.pk,
                now_us=self._clock.now_us(),
                description=description,
                deprecated=deprecated,
            )
            self._note_version(tx, act, row, what)

    def _touch(self, tx: Writer, row: ModelRow) -> None:
        tables.touch_model(tx, pk=row.pk, now_us=self._clock.now_us())

    def _note_version(
        self,
        tx: Writer,
        act: Act,
        row: VersionRow,
        what: str,
        *,
        tags: dict[str, str | None] | None = None,
        removed: list[str] | None = None,
    ) -> None:
        detail = ModelChanged(
            name=row.name,
            version=row.version,
            what=what,
            tags=tags or {},
            removed=removed or [],
        )
        self._note(tx, act, row, detail)

    def _note(self, tx: Writer, act: Act, row: ModelRow | VersionRow, detail: Detail) -> None:
        if isinstance(row, VersionRow):
            subject = Subject(kind="model_version", id=row.id, digest=row.digest)
        else:
            subject = Subject(kind="model", id=row.id)
        self._recorder.append(tx, act, replace(detail, reason=act.reason), [subject])


def _deployments(tx: Writer, act: Act) -> list[DeploymentRow]:
    return deployment_tables.list_deployments(tx, project=act.project_key)


def _check_idle(what: str, answering: list[DeploymentRow], *, fix: str) -> None:
    if answering:
        names = ", ".join(one.name for one in answering)
        raise Conflict(
            f"{what} cannot be deleted: the deployment {names} answers by it",
            fix=fix,
        )
