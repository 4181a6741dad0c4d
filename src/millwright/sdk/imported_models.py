"""Registered models on their way into the home: versions with their numbers, tags and aliases.

A version is known by its key, a tag made from what the store says of it, so that a second import
finds it again. Numbers are kept where that can be: those of deleted versions are given out and
taken away again. Moves of aliases go the way of everybody's, past whatever guards the model.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from millwright.core.clock import to_text
from millwright.core.digest import Digest, digest_bytes, digest_file
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Failed,
    Invalid,
    NotFound,
    Refused,
)
from millwright.core.ids import LoggedModelId, RunId, to_hex
from millwright.core.refs import MAX_NAME_CHARS, check_model_name
from millwright.doors.door import Door
from millwright.records.models import ModelVersion, Stage
from millwright.records.runs import ArtifactFile
from millwright.sdk.imported_logged import LoggedModelTaker, folder_of, put_files
from millwright.sdk.imported_start import ID, NAME, PLACE, SOURCE, name_digits
from millwright.tracking.sources.found import (
    Files,
    FoundModel,
    FoundVersion,
    Source,
    Unread,
)

KEY = "import.key"
CREATED = "import.created"
GAP = "import.gap"
"""Of a version that only stands for a number whose version was deleted there."""
IS_PROMPT = "mlflow.prompt.is_prompt"
MAX_GAP = 100
"""So many numbers of deleted versions are given out and taken away again, at most."""

Note: TypeAlias = Callable[[Unread], None]
_BAD = (
    Invalid,
    NotFound,
    Conflict,
    Corrupt,
    Refused,
    Failed,
    Denied,
    OSError,
    ValueError,
    OverflowError,
)
_STAGES: dict[str, Stage] = {
    "Staging": "Staging",
    "Production": "Production",
    "Archived": "Archived",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a version's files lie among the artifacts by path, and how clients name that."""

    address: str
    folder: str
    logged_model: LoggedModelId | None = None


class ModelTaker:
    """Takes registered models in, naming what cannot be."""

    def __init__(self, door: Door, source: Source, logged: LoggedModelTaker, note: Note) -> None:
        self._door = door
        self._source = source
        self._logged = logged
        self._note = note
        self._reason = f"imported from {source.place}"

    def take(self, found: FoundModel, runs: Mapping[str, RunId]) -> Counter[str]:
        """Take a model with its versions and aliases; return how much of it is kept."""
        name = model_name(found.name)
        if name != found.name:
            found = replace(found, tags=found.tags | {NAME: found.name})
            why = f"a model cannot have that name; here it is called {name!r}"
            self._note(Unread(where=f"model {found.name!r}", why=why))
        last = self._begin(name, found)
        kept: Counter[str] = Counter(models=1)
        numbers: dict[int, int] = {}
        for version in found.versions:
            where = f"model {found.name!r} version {version.version}"
            try:
                made = self._version(name, found, version, runs, last)
            except _BAD as error:
                self._note(Unread(where=where, why=explained(error)))
                continue
            if made is None:
                continue
            last = max(last, made.version)
            numbers[version.version] = made.version
            kept["versions"] += 1
            if made.version != version.version:
                self._note(Unread(where=where, why=f"here it is version {made.version}"))
        self._empty(name)
        for alias, number in found.aliases.items():
            where = f"alias {alias!r} of model {found.name!r}"
            if number not in numbers:
                self._note(Unread(where=where, why=f"version {number} could not be taken"))
                continue
            try:
                self._promote(name, numbers[number], alias)
                kept["aliases"] += 1
            except _BAD as error:
                self._note(Unread(where=where, why=explained(error)))
        return kept

    def _begin(self, name: str, found: FoundModel) -> int:
        """Make the model, or say about it what nobody has said yet; return its last number."""
        try:
            there = self._door.models.find(name=name).model
        except NotFound:
            # As one that a client of MLflow's makes: governed when somebody has it so.
            self._door.models.create(
                name=name,
                reason=self._reason,
                description=found.description,
                governed=False,
                tags=found.tags,
            )
            return 0
        if found.description and not there.description:
            self._door.models.describe(
                name=name, description=found.description, reason=self._reason
            )
        tags = {key: value for key, value in found.tags.items() if key not in there.tags}
        if tags:
            self._door.models.set_tags(name=name, tags=tags, reason=self._reason)
        versions = self._door.models.history(name=name).versions
        return max((one.version for one in versions), default=0)

    def _version(
        self,
        name: str,
        model: FoundModel,
        found: FoundVersion,
        runs: Mapping[str, RunId],
        last: int,
    ) -> ModelVersion | None:
        """Take a version, unless it is there; `last` is the last number that was given out."""
        key = version_key(self._source, model.name, found)
        there = self._door.models.search_versions(filter=f"tags.`{KEY}` = '{key}'", limit=1)
        if there.versions and there.versions[0].name == name:
            return there.versions[0]
        is_prompt = model.tags.get(IS_PROMPT) == "true"
        digest: Digest | None = None
        place: _Place | None = None
        run = None if found.run is None else runs.get(found.run)
        if not is_prompt:
            with tempfile.TemporaryDirectory(prefix="mill-import-") as aside:
                package = Path(aside, "package")
                package.mkdir()
                where = f"model {model.name!r} version {found.version}"
                if not self._fetch(found.files, package, where):
                    return None
                digest = self._door.artifacts.put_folder(package)
                place = self._place(found, run, key, package)
        self._fill(name, last, found.version)
        # Not replayed: what is taken over is what was there, also what answers no longer.
        made = self._door.models.register_source(
            name=name,
            address=found.source if place is None else place.address,
            folder=None if place is None else place.folder,
            run=run,
            logged_model=None if place is None else place.logged_model,
            description=found.description,
            tags=found.tags
            | {
                SOURCE: self._source.kind,
                ID: f"{model.name}/{found.version}",
                PLACE: self._source.place,
                KEY: key,
                CREATED: to_text(found.created_us),
            },
            reason=self._reason,
        )
        if digest is not None and made.package_digest != digest:
            raise Corrupt(
                f"{name}@v{made.version} is not what was found",
                why=f"its files have the digest {made.package_digest}, and had {digest}",
            )
        if found.stage in _STAGES:
            self._move(made, _STAGES[found.stage], model.name)
        return made

    def _place(self, found: FoundVersion, run: RunId | None, key: str, package: Path) -> _Place:
        """Return where the files lie that were imported already, or give them a place."""
        if found.logged_model is not None:
            model = self._logged.find(found.logged_model)
            if model is not None:
                address = f"models:/m-{to_hex(model.id)}"
                return _Place(address, folder_of(model), model.id)
        above = "imported"
        if run is not None:
            experiment = self._door.runs.show(ref=run).experiment_number
            above = f"{experiment}/imported"
            below = found.source.partition(f"/{found.run}/artifacts/")[2].strip("/")
            if below and self._door.runs.artifacts(ref=run, folder=below):
                return _Place(
                    f"runs:/{to_hex(run)}/{below}", f"{experiment}/{to_hex(run)}/artifacts/{below}"
                )
        folder = f"{above}/{key}"
        stored = [
            ArtifactFile(
                path=f"{folder}/{path.relative_to(package).as_posix()}",
                digest=digest_file(path),
                size_bytes=path.stat().st_size,
            )
            for path in sorted(package.rglob("*"))
            if path.is_file()
        ]
        put_files(self._door, stored)
        return _Place(f"mlflow-artifacts:/{folder}", folder)

    def _fill(self, name: str, last: int, number: int) -> None:
        """Give out the numbers between two versions.

        They are taken away when the version behind them is there: of an import that is stopped
        between the two, the next one sees how far it came.
        """
        if number - last - 1 > MAX_GAP:
            return
        while last + 1 < number:
            last = self._door.models.register_source(
                name=name,
                address="",
                tags={SOURCE: self._source.kind, GAP: "yes"},
                reason=f"{self._reason}: it was deleted there",
            ).version

    def _empty(self, name: str) -> None:
        """Take the numbers away again that were only given out."""
        gaps = f"tags.`{GAP}` = 'yes'"
        for one in self._door.models.search_versions(filter=gaps, limit=1000).versions:
            if one.name == name:
                ref = f"{name}@v{one.version}"
                self._door.models.delete_version(ref=ref, reason="it was deleted there")

    def _fetch(self, files: Files, folder: Path, where: str) -> bool:
        """Write a package's files to a folder; tell whether it is whole."""
        count = 0
        for one in files():
            if isinstance(one, Unread):
                self._note(Unread(where=f"{where}, {one.where}", why=one.why))
                return False
            target = folder.joinpath(*one.path.split("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            path = one.fetch(target)
            if path != target:
                shutil.copyfile(path, target)
            count += 1
        if not count:
            self._note(Unread(where=where, why="it has no files"))
        return count > 0

    def _move(self, version: ModelVersion, stage: Stage, model: str) -> None:
        ref = f"{version.name}@v{version.version}"
        try:
            self._door.models.move_stage(ref=ref, stage=stage, reason=self._reason)
        except _BAD as error:
            where = f"stage {stage} of model {model!r} version {version.version}"
            self._note(Unread(where=where, why=explained(error)))

    def _promote(self, name: str, number: int, alias: str) -> None:
        """Point an alias at a version; raises Conflict when somebody here has moved it."""
        history = self._door.models.history(name=name)
        held = history.model.aliases.get(alias)
        if held == number:
            return
        moves = [one for one in history.aliases if one.alias == alias]
        if held is not None and moves[-1].reason != self._reason:
            raise Conflict(
                f"here it points at v{held}, and stays there",
                why=f"it was moved here since: {moves[-1].reason}" if moves[-1].reason else "",
            )
        self._door.models.promote(ref=f"{name}@v{number}", alias=alias, reason=self._reason)


def model_name(text: str) -> str:
    """Return what can name a model here, as near to `text` as may be.

    A name that had to be changed ends in digits of what it was: two never become one.
    """
    try:
        return check_model_name(text)
    except Invalid:
        plain = "".join("-" if char in "/\\:@" else char for char in text if char.isprintable())
        end = f"-{name_digits(text)}"
        plain = plain.strip().lstrip(".~ ")[: MAX_NAME_CHARS - len(end)].strip()
        return f"{plain or 'imported'}{end}"


def version_key(source: Source, model: str, found: FoundVersion) -> str:
    """Return by what a version is known again: the store's own words, as digits."""
    said = (source.kind, source.scope, model, found.version, found.created_us, found.run)
    return digest_bytes("\0".join(map(str, said)).encode("utf-8", "surrogatepass"))[3:35]


def explained(error: Exception) -> str:
    """Return what happened and why, in one line."""
    what, why = getattr(error, "what", str(error)), getattr(error, "why", "")
    return f"{what}: {why}" if why else what
