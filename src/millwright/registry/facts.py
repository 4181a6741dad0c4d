"""What is known of a package once its files were held against what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgspec
from msgspec import Struct

from millwright.core import canonical
from millwright.core.digest import Digest, digest_bytes
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.mlflowschema import Param
from millwright.registry.signature import Label

FORMAT = 2
"""From 2 on the digest covers what MLmodel says besides: labels, and each flavour's section."""
FOREIGN_FORMAT = 1
"""Of what MLflow wrote, whose digest covers its files."""
MLMODEL = "MLmodel"
REQUIREMENTS = "requirements.txt"
PYTHON_ENV = "python_env.yaml"
EXAMPLE = "input_example.json"
ANSWERS = "output_example.json"

ReadBytes: TypeAlias = "Callable[[str], bytes]"
DigestOf: TypeAlias = "Callable[[str], Digest]"


class Facts(Struct, frozen=True, kw_only=True):
    """What MLmodel says for our own use, under `metadata.millwright`."""

    format: int
    version: str
    """Of Millwright, which wrote it; of MLflow, where it did."""
    digest: Digest
    signature: Signature
    classes: list[Label]
    """A classifier's labels in the order of its probabilities; empty for others."""
    weights: dict[str, list[str]]
    """Flavour -> the files that decide its answers."""
    serve: str
    """The flavour to answer with; empty when the model cannot be served here."""
    not_served_as: dict[str, str]
    """Flavour -> why the model is not served in it."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it lies in a folder or an artifact tree, its digest verified."""

    digest: Digest
    facts: Facts
    sections: Mapping[str, Mapping[str, JsonValue]]
    """What each flavour wrote about itself."""
    tool: str = "millwright"
    """Who wrote it: `millwright` or `mlflow`."""
    run_hex: str | None = None
    """The run that MLmodel names, in 32 hexadecimal digits."""
    pickled: tuple[str, ...] = ()
    """The flavours whose files run code when they are loaded; none of ours does."""
    params: tuple[Param, ...] = ()
    """What a call may say beside its rows; ours take nothing."""

    @property
    def flavors(self) -> list[str]:
        """The flavours the model can be loaded in, the one to answer with first."""
        return sorted(self.facts.weights, key=lambda name: (name != self.facts.serve, name))


def model_digest(
    signature: Signature,
    *,
    requirements: str,
    weights: Mapping[str, Digest],
    said: str | None = None,
) -> Digest:
    """Return the digest over what decides a model's answers; `said` is as `said_of` returns it."""
    covered: dict[str, canonical.Canonical] = {
        "format": 1 if said is None else FORMAT,
        "signature": cast("canonical.Canonical", msgspec.to_builtins(signature)),
        "requirements": requirements,
        # A list, since keys of canonical JSON are plain ASCII and paths need not be.
        "weights": [[path, weights[path]] for path in sorted(weights)],
    }
    if said is not None:
        covered["said"] = said
    return digest_bytes(canonical.encode(covered))


def said_of(
    classes: Sequence[Label], serve: str, sections: Mapping[str, Mapping[str, JsonValue]]
) -> str:
    """Return what MLmodel says of how a model is loaded and what it answers, as one text."""
    said = {"classes": list(classes), "serve": serve, "sections": dict(sections)}
    return msgspec.json.encode(said, order="sorted").decode()
