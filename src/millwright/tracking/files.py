"""Artifacts by path: names for stored bytes, in folders of experiments, runs and models.

    3/0198…7f/artifacts/model/MLmodel     of a run: its experiment's number, its id in hexadecimal
    3/models/m-0198…7f/artifacts/MLmodel  of a logged model

The names lie in the metadata store and point at digests. No path of anybody's reaches a file
system: what a name means is looked up, never opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from millwright.artifacts.paths import parse_artifact_path
from millwright.artifacts.store import ArtifactStore
from millwright.artifacts.trees import Tree, TreeEntry, encode_manifest, make_tree
from millwright.core.clock import Clock
from millwright.core.digest import Digest, parse_digest
from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import LoggedModelId, RunId, from_hex, to_hex
from millwright.journal.log import Journal
from millwright.metadata.database import Database, Reader, Writer
from millwright.metadata.tables import artifact_files as tables
from millwright.metadata.tables import logged_models as model_tables
from millwright.records.events import Act, ArtifactsRemoved, LoggedModelChanged, RunAmended, Subject
from millwright.records.runs import ArtifactEntry, ArtifactFile, LoggedModel, Run
from millwright.tracking.handles import find_run, lock_handle
from millwright.tracking.limits import Limits
from millwright.tracking.quotas import check_files
from millwright.tracking.telemetry import digest_of

MAX_FILES_AT_ONCE = 10_000
ARTIFACTS = "artifacts"
MODEL_MARK = "m-"


def run_folder(run: Run) -> str:
    """Return the folder in which a run's artifacts lie."""
    return folder_of_run(run.experiment_number, run.id)


def folder_of_run(experiment: int, run: RunId) -> str:
    """Return the folder in which the artifacts of a run of that experiment lie."""
    return f"{experiment}/{to_hex(run)}/{ARTIFACTS}"


def model_folder(model: LoggedModel) -> str:
    """Return the folder in which a logged model's files lie."""
    return f"{model.experiment}/models/{model_name(model.id)}/{ARTIFACTS}"


def model_name(model: LoggedModelId) -> str:
    """Return a logged model's id as clients of MLflow's spell it."""
    return f"{MODEL_MARK}{to_hex(model)}"


class Files:
    """The artifacts by path of all projects of a home."""

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        journal: Journal,
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._journal = journal
        self._clock = clock
        self._limits = limits or Limits()

    def put(self, act: Act, files: Sequence[ArtifactFile]) -> None:
        """Give stored bytes their paths, all or none, in place of what had them.

        Raises Invalid for a path that cannot be, that is a folder, or that lies in a file, and for
        bytes that have another size, NotFound for bytes that are not stored, and Denied when the
        project's quota is used up.
        """
        if len(files) > MAX_FILES_AT_ONCE:
            raise Invalid(
                f"{len(files)} files at once are too many",
                fix=f"send {MAX_FILES_AT_ONCE} at a time",
            )
        rows: list[tuple[str, str, Digest, int]] = []
        for one in files:
            digest = parse_digest(one.digest)
            size_bytes = self._artifacts.size(digest)
            if size_bytes != one.size_bytes:
                raise Invalid(
                    f"{one.path!r} is said to have {one.size_bytes} bytes",
                    why=f"{digest} has {size_bytes}",
                )
            rows.append((*split(one.path), digest, size_bytes))
        with self._database.write() as tx:
            tables.put_files(tx, project=act.project_key, files=rows, now_us=self._clock.now_us())
            _check_no_file_is_a_folder(tx, act.project_key, [one.path for one in files])
            self._note_late(tx, act, files)
            check_files(tx, self._limits, project=act.project_key)

    def _note_late(self, tx: Writer, act: Act, files: Sequence[ArtifactFile]) -> None:
        """Journal what is put in the place of runs and models whose end is journaled already."""
        late: dict[tuple[str, str], dict[str, Digest]] = {}
        for one in files:
            owner = owner_of(one.path)
            if owner is not None:
                below = one.path.partition(f"/{ARTIFACTS}/")[2] or one.path
                late.setdefault((owner.kind, owner.id), {})[below] = Digest(one.digest)
        for (kind, id_), digests in late.items():
            owner = Subject(kind=kind, id=id_)
            name = _closed_name(tx, act.project_key, owner)
            if name is not None:
                made = RunAmended if kind == "run" else LoggedModelChanged
                digest = digest_of(points=(), params={}, tags={}, files=digests)
                self._journal.append(
                    tx, act, made(name=name), [Subject(kind=kind, id=id_, digest=digest)]
                )

    def put_below(self, act: Act, folder: str, files: Sequence[ArtifactFile]) -> None:
        """Give stored bytes their paths below a folder, all or none."""
        placed: list[ArtifactFile] = []
        for one in files:
            parse_artifact_path(one.path)
            placed.append(replace(one, path=f"{folder}/{one.path}"))
        self.put(act, placed)

    def list_below(self, project_key: int, root: str, folder: str) -> list[ArtifactEntry]:
        """Return what lies in a folder below `root`, by paths below it too."""
        if folder:
            parse_artifact_path(folder)
        entries = self.list(project_key, f"{root}/{folder}" if folder else root)
        return [replace(entry, path=entry.path[len(root) + 1 :]) for entry in entries]

    def find(self, project_key: int, path: str) -> ArtifactFile | None:
        """Return the file at a path, or None."""
        folder, name = split(path)
        with self._database.read() as tx:
            row = tables.find_file(tx, project=project_key, folder=folder, name=name)
        if row is None:
            return None
        return ArtifactFile(path=path, digest=row.digest, size_bytes=row.size_bytes)

    def get(self, project_key: int, path: str) -> ArtifactFile:
        """Return the file at a path; raises NotFound."""
        found = self.find(project_key, path)
        if found is None:
            raise NotFound(f"no artifact {path!r} in this project")
        return found

    def list(self, project_key: int, folder: str) -> list[ArtifactEntry]:
        """Return what lies in a folder ('' is the top), folders and files by name.

        A folder that is not there holds nothing.
        """
        if folder:
            parse_artifact_path(folder)
        with self._database.read() as tx:
            files = tables.list_files(tx, project=project_key, folder=folder)
            folders = tables.list_folders(tx, project=project_key, folder=folder)
        prefix = f"{folder}/" if folder else ""
        entries = [ArtifactEntry(path=prefix + name) for name in folders]
        entries += [
            ArtifactEntry(path=prefix + row.name, digest=row.digest, size_bytes=row.size_bytes)
            for row in files
        ]
        return sorted(entries, key=lambda entry: entry.path)

    def tree(self, project_key: int, folder: str) -> Tree:
        """Store and return the tree of all files below a folder; NotFound when there are none."""
        parse_artifact_path(folder)
        with self._database.read() as tx:
            rows = tables.list_below(tx, project=project_key, folder=folder)
        if not rows:
            raise NotFound(f"no artifacts lie in {folder!r}")
        tree = make_tree(
            TreeEntry(
                parse_artifact_path(f"{place}/{row.name}"[len(folder) + 1 :]),
                row.digest,
                row.size_bytes,
            )
            for place, row in rows
        )
        self._artifacts.put_bytes(encode_manifest(tree.entries))
        return tree

    def delete(self, act: Act, path: str) -> int:
        """Take the name of a file, or of all files in a folder, away; return how many.

        The bytes stay until nothing points at them any more.
        """
        folder, name = split(path)
        with self._database.write() as tx:
            count = tables.delete_file(
                tx, project=act.project_key, folder=folder, name=name
            ) or tables.delete_below(tx, project=act.project_key, folder=path)
            if count:
                detail = ArtifactsRemoved(reason=act.reason, path=path, count=count)
                owner = owner_of(path)
                self._journal.append(tx, act, detail, [] if owner is None else [owner])
            return count


def _check_no_file_is_a_folder(tx: Reader, project_key: int, paths: Sequence[str]) -> None:
    """Return when what lies at these paths can also lie on a disk; raises Invalid.

    A name that were both a file and a folder could be stored here, and never be downloaded.
    """
    folders: set[str] = set()
    for path in paths:
        # Two looks in the index; what reads all below a folder cannot be asked for each file.
        if tables.list_files(tx, project=project_key, folder=path) or tables.list_folders(
            tx, project=project_key, folder=path
        ):
            raise Invalid(
                f"{path!r} cannot be a file",
                why="it is a folder that holds files",
                fix="give the file another name, or delete the folder first",
            )
        above = path.rpartition("/")[0]
        while above and above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    for folder in folders:
        place, name = split(folder)
        if tables.find_file(tx, project=project_key, folder=place, name=name) is not None:
            raise Invalid(
                f"{folder!r} cannot be a folder",
                why="it is a file",
                fix="give the folder another name, or delete the file first",
            )


def _closed_name(tx: Writer, project_key: int, owner: Subject) -> str | None:
    """Return the name of an owner that is closed already, or None."""
    if owner.kind == "run":
        run = RunId(owner.id)
        try:
            # Held, so that an end either counts these files or is seen here.
            handle = lock_handle(tx, project_key, run)
        except NotFound:
            return None
        return None if handle.status == "running" else find_run(tx, project_key, run).name
    model = model_tables.find_model(tx, project=project_key, model_id=owner.id)
    return None if model is None or model.status == "pending" else model.name


def digests_below(tx: Reader, project_key: int, folder: str) -> dict[str, Digest]:
    """Return the digest of every file below a folder, by its path there."""
    return {
        f"{place}/{row.name}"[len(folder) + 1 :]: row.digest
        for place, row in tables.list_below(tx, project=project_key, folder=folder)
    }


def owner_of(path: str) -> Subject | None:
    """Return the run or the logged model whose folder a path lies in, as an event's subject.

    >>> owner_of("3/models/m-0198c5bd4a3e7b2f8a1c0d9e8f7a6b5c/artifacts/MLmodel").kind
    'logged_model'
    """
    _, _, below = path.partition("/")
    of_model = below.startswith(f"models/{MODEL_MARK}")
    digits = below.removeprefix(f"models/{MODEL_MARK}").partition("/")[0]
    try:
        if of_model:
            return Subject(kind="logged_model", id=from_hex(digits, "lgm"))
        return Subject(kind="run", id=from_hex(digits, "run"))
    except Invalid:
        return None


def split(path: str) -> tuple[str, str]:
    """Return the folder and the name of a path; raises Invalid for one that cannot be."""
    folder, _, name = parse_artifact_path(path).rpartition("/")
    return folder, name
