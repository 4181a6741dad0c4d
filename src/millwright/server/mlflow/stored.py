"""The files of model versions, as they were when they were registered, at addresses of their own.

A version's source may be changed or deleted by whoever may write to the run it came from. So
clients that download a version are sent to `mlflow-artifacts:/model-versions/DIGITS`: a folder
that is read from the version's stored tree, and that nobody writes to.
"""

from __future__ import annotations

from collections.abc import Sequence

from millwright.core.errors import Invalid, NotFound
from millwright.core.ids import from_hex, to_hex
from millwright.records.models import ModelVersion
from millwright.records.runs import ArtifactEntry, ArtifactFile
from millwright.server.mlflow.call import Call
from millwright.server.mlflow.errors import MlflowError, invalid, missing
from millwright.server.mlflow.spelling import SCHEME

FOLDER = "model-versions"


def address_of(version: ModelVersion) -> str:
    """Return where a client finds the files of a version."""
    return f"{SCHEME}{FOLDER}/{to_hex(version.id)}"


def is_stored(path: str) -> bool:
    """Tell whether a path of the artifact proxy is one of a version's files, or above them."""
    return path == FOLDER or path.startswith(f"{FOLDER}/")


def version_at(path: str) -> str:
    """Return the id of the version whose files a path leads to; raises MlflowError."""
    digits = path.removeprefix(FOLDER).removeprefix("/").partition("/")[0]
    try:
        return from_hex(digits, "mov")
    except Invalid as error:
        raise missing(f"No such artifact: '{path}'") from error


def check_writable(path: str) -> str:
    """Return a path that a client may write to; raises MlflowError."""
    if is_stored(path):
        raise invalid(f"In '{FOLDER}' lie the files of model versions, which never change")
    return path


def find_stored(call: Call, path: str) -> ArtifactFile:
    """Return the file at a path below `FOLDER`; raises MlflowError when there is none."""
    files, below = _files(call, path)
    for one in files:
        if one.path == below:
            return one
    if not below or any(one.path.startswith(f"{below}/") for one in files):
        raise invalid(f"Artifact path refers to a directory, not a file: '{path}'")
    raise missing(f"No such artifact: '{path}'")


def list_stored(call: Call, path: str) -> list[ArtifactEntry]:
    """Return what lies in a folder of a version's files, by path."""
    files, below = _files(call, path)
    above = f"{below}/" if below else ""
    found: dict[str, ArtifactEntry] = {}
    for one in files:
        if not one.path.startswith(above):
            continue
        name, is_folder, _ = one.path[len(above) :].partition("/")
        place = f"{path}/{name}"
        found[place] = (
            ArtifactEntry(path=place)
            if is_folder
            else ArtifactEntry(path=place, digest=one.digest, size_bytes=one.size_bytes)
        )
    return [found[place] for place in sorted(found)]


def _files(call: Call, path: str) -> tuple[Sequence[ArtifactFile], str]:
    below = "/".join(path.split("/")[2:])
    try:
        return call.door.models.files(ref=version_at(path)), below
    except (MlflowError, NotFound):
        return [], below
