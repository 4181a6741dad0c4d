"""MLflow's routes of the artifacts of runs, and its old ones that hand out a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from millwright.core.errors import NotFound
from millwright.records.access import Permission
from millwright.records.runs import ArtifactEntry, ArtifactFile
from millwright.server.mlflow.call import Call, Endpoint, need, no_run, run_of
from millwright.server.mlflow.errors import MlflowError
from millwright.server.mlflow.spelling import Json, run_address
from millwright.server.mlflow.transfer import find_file, safe_path
from millwright.tracking.files import run_folder

BASE = "/2.0/mlflow/artifacts"


class _Listed(Struct, frozen=True):
    run_id: str = ""
    run_uuid: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """An answer that is a file."""

    file: ArtifactFile


def endpoints() -> Iterable[Endpoint]:
    """Return the routes of artifacts."""
    read = Permission.RUN_READ
    yield Endpoint("GET", f"{BASE}/list", read, "read", list_folder)
    yield Endpoint("POST", f"{BASE}/presigned-upload-url", Permission.RUN_WRITE, "read", presign)
    yield Endpoint("POST", f"{BASE}/presigned-download-url", read, "read", presign)
    yield Endpoint("GET", "/get-artifact", read, "read", fetch)


def list_folder(call: Call) -> Json:
    """Return what lies in a folder of a run's artifacts."""
    given = call.read(_Listed)
    digits = given.run_id or given.run_uuid
    run = run_of(digits)
    path = given.path.rstrip("/")
    try:
        shown = call.door.runs.show(ref=run)
    except NotFound as error:
        raise no_run(digits) from error
    root = run_folder(shown)
    found = call.door.files.list_folder(folder=f"{root}/{safe_path(path)}" if path else root)
    return {
        "root_uri": run_address(shown.experiment_number, shown.id),
        "files": entries_json(found, root),
    }


def fetch(call: Call) -> Fetch:
    """Hand out one file of a run."""
    given = call.read(_Listed)
    digits = given.run_id or given.run_uuid
    path = safe_path(need(given.path, "path"))
    try:
        shown = call.door.runs.show(ref=run_of(digits))
    except NotFound as error:
        raise no_run(digits) from error
    return Fetch(find_file(call, f"{run_folder(shown)}/{path}"))


def presign(call: Call) -> Json:
    """Refuse: artifacts that lie here are sent by us."""
    del call
    raise MlflowError(
        "NOT_IMPLEMENTED", "This server keeps artifacts itself; use mlflow-artifacts/artifacts"
    )


def entries_json(entries: Sequence[ArtifactEntry], root: str) -> list[Json]:
    """Return entries with their paths below `root`."""
    files: list[Json] = []
    for entry in entries:
        path = entry.path[len(root) + 1 :]
        if entry.digest is None:
            files.append({"path": path, "is_dir": True})
        else:
            files.append({"path": path, "is_dir": False, "file_size": entry.size_bytes})
    return files
