"""Aliases: names such as `champion` that point at one version of a model, and how they moved.

Every move is an event and a row of history in the transaction that makes it, so that who was
champion at any moment, by whose hand and why, can always be told. A rollback is such a move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import UNSET, UnsetType

from millwright.core.clock import Clock
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.refs import LATEST, check_alias
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import models as tables
from millwright.records.events import Act, AliasMoved, Subject
from millwright.records.models import AliasChange, ModelVersion
from millwright.registry.models import Recorder, find_model, find_version

Guard: TypeAlias = Callable[[Writer, Act, ModelVersion, str], None]
"""Called before an alias is pointed at a version; raises NeedsApproval or Refused to stop it.

It runs in the same transaction, so that an approval is used up by the move it allowed.
"""


def allow(tx: Writer, act: Act, version: ModelVersion, alias: str) -> None:
    """Let every move pass: the guard of a home without a policy."""
    del tx, act, version, alias


class Aliases:
    """The aliases of the models of all projects of a home."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        clock: Clock,
        *,
        guard: Guard = allow,
        guard_way_back: Guard = allow,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock
        self._guard = guard
        self._guard_way_back = guard_way_back

    def set_alias(
        self,
        act: Act,
        *,
        name: str,
        alias: str,
        version: int,
        expected_previous: int | UnsetType | None = UNSET,
    ) -> AliasChange:
        """Point an alias at a version; one that points there already stays, unrecorded.

        With `expected_previous` (None: nothing) the alias moves only when it points there now.
        Raises NotFound, Conflict when it points elsewhere, and what the guard raises.
        """
        _check(alias)
        with self._database.write() as tx:
            model = find_model(tx, act.project_key, name)
            tables.lock_model(tx, model.pk)
            target = find_version(tx, act.project_key, f"{name}@v{version}")
            current = tables.find_alias(tx, model_pk=model.pk, alias=alias)
            points_at = None if current is None else current.version
            if expected_previous is not UNSET and points_at != expected_previous:
                raise Conflict(
                    f"{name}@{alias} points at {_spelled(points_at)}",
                    why=f"it was expected to point at {_spelled(expected_previous)}",
                    fix=f"look at `mill model history {name}` and decide again",
                )
            if points_at == version:
                return _last(tx, model, alias)
            self._guard(tx, act, target.model_version(), alias)
            return self._move(tx, act, model, alias, target=target, current=current)

    def point_in(self, tx: Writer, act: Act, version: tables.VersionRow, alias: str) -> AliasChange:
        """Point an alias at a version in the caller's transaction, without asking the guard.

        For who has asked already, or may go back without asking; one that points there stays.
        """
        _check(alias)
        model = find_model(tx, act.project_key, version.name)
        tables.lock_model(tx, model.pk)
        current = tables.find_alias(tx, model_pk=model.pk, alias=alias)
        if current is not None and current.pk == version.pk:
            return _last(tx, model, alias)
        return self._move(tx, act, model, alias, target=version, current=current)

    def remove_alias(self, act: Act, *, name: str, alias: str) -> AliasChange:
        """Let an alias point at nothing; raises NotFound when it does already."""
        _check(alias)
        with self._database.write() as tx:
            model = find_model(tx, act.project_key, name)
            tables.lock_model(tx, model.pk)
            current = find_version(tx, act.project_key, f"{name}@{alias}")
            return self._move(tx, act, model, alias, target=None, current=current)

    def rollback(self, act: Act, *, name: str, alias: str) -> AliasChange:
        """Point an alias back at the version it pointed at before the present one.

        Going back is itself undone by going forward again by hand: a second rollback goes
        one further back, never to the version just left. Whoever rolls back may have no time to
        wait: asked is only whether the version has ever been let pass.

        Raises NotFound when nothing was ever set, Conflict when there is nothing before, and
        Invalid without a reason, and what the guard of the way back raises.
        """
        _check(alias)
        if not act.reason.strip():
            raise Invalid("a rollback needs a reason", fix="say it with --reason")
        with self._database.write() as tx:
            model = find_model(tx, act.project_key, name)
            tables.lock_model(tx, model.pk)
            earlier = way_back(_history(tx, model, alias))
            current = tables.find_alias(tx, model_pk=model.pk, alias=alias)
            if not earlier:
                raise NotFound(
                    f"{name} has no alias {alias}, and never had",
                    fix=f"`mill model history {name}` shows what it has",
                )
            before = [version for version in earlier[:-1] if version is not None]
            if not before:
                raise Conflict(
                    f"{name}@{alias} cannot be rolled back",
                    why=f"{_spelled(earlier[-1])} is the first version it pointed at",
                    fix=f"mill model promote {name}@vN --alias {alias}",
                )
            target = find_version(tx, act.project_key, f"{name}@v{before[-1]}")
            self._guard_way_back(tx, act, target.model_version(), alias)
            return self._move(tx, act, model, alias, target=target, current=current)

    def history(self, project_key: int, name: str, alias: str | None = None) -> list[AliasChange]:
        """Return every move of a model's aliases, or of one of them, oldest first."""
        with self._database.read() as tx:
            return _history(tx, find_model(tx, project_key, name), alias)

    def move_before(
        self, project_key: int, name: str, alias: str, time_us: int
    ) -> AliasChange | None:
        """Return the move by which an alias came to point where it did then; None before any."""
        moves = [m for m in self.history(project_key, name, alias) if m.time_us <= time_us]
        return moves[-1] if moves else None

    def _move(
        self,
        tx: Writer,
        act: Act,
        model: tables.ModelRow,
        alias: str,
        *,
        target: tables.VersionRow | None,
        current: tables.VersionRow | None,
    ) -> AliasChange:
        version = None if target is None else target.version
        previous = None if current is None else current.version
        now_us = self._clock.now_us()
        detail = AliasMoved(name=model.name, alias=alias, version=version, previous=previous)
        subjects = [Subject(kind="model", id=model.id)]
        subjects += [
            Subject(kind="model_version", id=row.id, digest=row.digest)
            for row in (target, current)
            if row is not None
        ]
        event = self._recorder.append(tx, act, detail, subjects)
        tables.put_alias(
            tx,
            model_pk=model.pk,
            alias=alias,
            version_pk=None if target is None else target.pk,
        )
        tables.insert_alias_change(
            tx,
            model_pk=model.pk,
            alias=alias,
            version_pk=None if target is None else target.pk,
            previous_pk=None if current is None else current.pk,
            time_us=now_us,
            actor=act.actor,
            reason=act.reason,
            event=event,
        )
        return AliasChange(
            alias=alias,
            version=version,
            previous=previous,
            time_us=now_us,
            actor=act.actor,
            reason=act.reason,
            event=event,
        )


def way_back(moves: list[AliasChange]) -> list[int | None]:
    """Return the versions from the first an alias pointed at to the present one (None: nothing).

    Moving to a version on the way takes back all that came after it, so that one rollback
    behind another goes on backwards, and never returns to what was just left.
    """
    path: list[int | None] = []
    for move in moves:
        if move.version in path:
            del path[path.index(move.version) + 1 :]
        else:
            path.append(move.version)
    return path


def _check(alias: str) -> None:
    check_alias(alias)
    if alias == LATEST:
        raise Invalid(
            f"{LATEST!r} cannot be set as an alias",
            why="it always names the newest version",
            fix="choose another name",
        )


def _history(tx: Reader, model: tables.ModelRow, alias: str | None) -> list[AliasChange]:
    moves = tables.list_alias_changes(tx, model_pk=model.pk)
    return [move for move in moves if alias is None or move.alias == alias]


def _last(tx: Reader, model: tables.ModelRow, alias: str) -> AliasChange:
    return _history(tx, model, alias)[-1]


def _spelled(version: int | None) -> str:
    return "nothing" if version is None else f"v{version}"
