"""Who may load a pickle, which runs whatever code is in it: nobody, until somebody says so.

A permission is for one model by its digest, since the same words would let in any other file.
`governance.pickles` keeps who gave one, in the journal with its reason.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass

from millwright.core.digest import Digest
from millwright.core.errors import Failed, Invalid, Refused


@dataclass(frozen=True, slots=True)
class PicklePermission:
    """An explicit yes to running the code in one model's files."""

    digest: Digest
    """Of the model, as `Package.digest`; no other is loaded by it."""
    reason: str
    """Why, in the words of whoever gave it; never empty."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise Invalid("a permission to load a pickle needs a reason")


class PickleRefused(Refused):
    """A model is a pickle, and nobody allowed to load it."""


def refuse_pickle(flavor: str, file: str) -> PickleRefused:
    """Return the refusal to load `file`, which says what to do instead."""
    return PickleRefused(
        f"{file} is a pickle, and loading it would run whatever code is in it",
        why=f"the model was logged as {flavor} in a format that holds code, and nobody allowed it",
        fix="log it with serialization_format='skops'; or, when you trust whoever made it, "
        "`mill model allow-pickle REF --reason WHY`, and mw.load_model(REF) where it may run",
    )


def check_permission(permission: PicklePermission, digest: Digest) -> None:
    """Raise Refused unless the permission is for the model `digest`."""
    if permission.digest != digest:
        raise Refused(
            "the permission to load a pickle is for another model",
            why=f"it is for {permission.digest}, and this is {digest}",
            fix="look at this model's origin, and give a permission for its own digest",
        )


def unpickle(data: bytes, file: str, permission: PicklePermission) -> object:
    """Return what the pickle `data` holds, running whatever code is in it.

    The caller has held `permission` against the model's digest, and the digest against the
    file. Raises Failed when it does not load here.
    """
    del permission  # asked for so that nobody comes here without one
    try:
        # cloudpickle's files are pickles that import cloudpickle themselves.
        return pickle.loads(data)  # noqa: S301 (permitted)
    except Exception as error:
        raise Failed(
            f"{file} cannot be loaded here",
            why=f"{type(error).__name__}: {error}"[:300],
            fix="install what the model's requirements.txt lists, or restore its environment",
        ) from error
