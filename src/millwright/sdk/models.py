"""Models by reference: fetched through the door, verified, ready to answer."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millwright.registry.package import LoadedModel
    from millwright.workspace.config import Config


def load_model(model: str | Path, *, flavor: str | None = None) -> LoadedModel:
    """Return a model: a version of the registry, or the package in a folder.

    `model` is a reference such as `churn@champion`, `churn@v7` or an id; a `Path`, or a text
    with a slash in it, is a folder. It is loaded as it is served, or in another `flavor` that
    the package has, after its digest was verified.

    Raises NotFound when there is none, Corrupt or Refused when it is not what it was, and Refused
    when it is a pickle, which would run code, unless that was allowed of this very version.

    >>> load_model("churn@champion").predict({"age": [31], "plan": ["basic"]})  # doctest: +SKIP
    {'prediction': array([0]), 'probability': array([0.12])}
    """
    if isinstance(model, Path) or "/" in model or os.sep in model:
        from millwright.registry.package import load_package

        return load_package(Path(model), flavor=flavor)
    from millwright.sdk.connection import find_config

    return load_from(find_config(), model, flavor=flavor)


def load_from(config: Config, ref: str, *, flavor: str | None = None) -> LoadedModel:
    """Return a version of the registry, with settings that were read already."""
    from millwright.registry.package import load_package
    from millwright.registry.pickles import PicklePermission
    from millwright.sdk.connection import open_door

    door = open_door(config)
    try:
        version = door.models.show(ref=ref)
        ruling = door.models.pickle_ruling(ref=version.id)
        permission = PicklePermission(version.digest, ruling.reason) if ruling.allowed else None
        with tempfile.TemporaryDirectory(prefix="mill-model-") as folder:
            package = Path(folder) / "package"
            door.artifacts.fetch_folder(version.package_digest, package)
            return load_package(
                package, flavor=flavor, expected=version.digest, permission=permission
            )
    finally:
        door.close()
