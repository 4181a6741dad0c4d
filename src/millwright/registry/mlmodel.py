"""The MLmodel file: what a package says about itself, and how that is held against its files.

It is written as JSON, which is YAML too: MLflow's tools read it, and we need no YAML parser.
What they have no key for lies under `metadata.millwright`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import msgspec
from msgspec import Struct

from millwright.core import canonical
from millwright.core.clock import to_datetime
from millwright.core.digest import Digest, digest_bytes
from millwright.core.errors import Corrupt, Unsupported
from millwright.core.ids import RunId, new_uuid7, to_hex
from millwright.records.events import JsonValue
from millwright.records.schema import ColumnKind, Signature
from millwright.registry.signature import PREDICTION, Label

FORMAT = 1
MLMODEL = "MLmodel"
REQUIREMENTS = "requirements.txt"
PYTHON_ENV = "python_env.yaml"
EXAMPLE = "input_example.json"

ReadBytes: TypeAlias = "Callable[[str], bytes]"
DigestOf: TypeAlias = "Callable[[str], Digest]"

_MLFLOW_TYPES: dict[ColumnKind, str] = {
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
    "text": "string",
    "timestamp": "datetime",
}


class Facts(Struct, frozen=True, kw_only=True):
    """What MLmodel says for our own use, under `metadata.millwright`."""

    format: int
    version: str
    """Of Millwright, which wrote it."""
    digest: Digest
    signature: Signature
    classes: list[Label]
    """A classifier's labels in the order of its probabilities; empty for others."""
    weights: dict[str, list[str]]
    """Flavour -> the files that decide its answers."""
    serve: str
    """The flavour to answer with."""
    not_served_as: dict[str, str]
    """Flavour -> why the model is not served in it."""


class _Metadata(Struct, frozen=True, kw_only=True):
    millwright: Facts | None = None


class _MLmodel(Struct, frozen=True, kw_only=True):
    flavors: dict[str, dict[str, Any]]
    metadata: _Metadata | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it lies in a folder or an artifact tree, its digest verified."""

    digest: Digest
    facts: Facts
    sections: Mapping[str, Mapping[str, JsonValue]]
    """What each flavour wrote about itself."""

    @property
    def flavors(self) -> list[str]:
        """The flavours the model can be loaded in, the one to answer with first."""
        return sorted(self.facts.weights, key=lambda name: (name != self.facts.serve, name))


def model_digest(
    signature: Signature, *, requirements: str, weights: Mapping[str, Digest]
) -> Digest:
    """Return the digest over what decides a model's answers."""
    return digest_bytes(
        canonical.encode(
            {
                "format": FORMAT,
                "signature": cast("canonical.Canonical", msgspec.to_builtins(signature)),
                "requirements": requirements,
                # A list, since keys of canonical JSON are plain ASCII and paths need not be.
                "weights": [[path, weights[path]] for path in sorted(weights)],
            }
        )
    )


def parse_package(read: ReadBytes, digest_of: DigestOf) -> Package:
    """Return a package of which files can be read and their digests asked for, wherever it lies.

    Raises Corrupt when its model digest is not that of its files, and Unsupported when another
    tool or a later version of Millwright wrote it.
    """
    try:
        written = msgspec.json.decode(read(MLMODEL), type=_MLmodel)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unsupported(
            "this MLmodel was not written by Millwright",
            why=str(error)[:300],
            fix="load the model with the tool that wrote it, and package it with Millwright",
        ) from error
    facts = written.metadata.millwright if written.metadata else None
    if facts is None:
        raise Unsupported("this MLmodel was not written by Millwright")
    if facts.format > FORMAT:
        raise Unsupported(
            f"the package has format {facts.format}; this version reads up to {FORMAT}",
            fix=f"use Millwright {facts.version} or newer",
        )
    found = model_digest(
        facts.signature,
        requirements=read(REQUIREMENTS).decode(),
        weights={path: digest_of(path) for paths in facts.weights.values() for path in paths},
    )
    if found != facts.digest:
        raise Corrupt(
            f"the package is not the model {facts.digest} that it says it is",
            why=f"weights, signature and requirements together have the digest {found}",
            fix="fetch or package it again",
        )
    sections = {name: written.flavors.get(name, {}) for name in facts.weights}
    return Package(found, facts, sections)


def mlmodel_text(
    facts: Facts,
    sections: Mapping[str, Mapping[str, JsonValue]],
    *,
    model_path: str,
    now_us: int,
    run: RunId | None,
) -> str:
    """Return the text of MLmodel."""
    python = platform.python_version()
    flavors: dict[str, object] = dict(sections)
    flavors["python_function"] = {
        "loader_module": "mlflow.sklearn",
        "model_path": model_path,
        "predict_fn": "predict",
        "env": {"virtualenv": PYTHON_ENV},
        "python_version": python,
    }
    inputs = [
        {"type": _MLFLOW_TYPES[c.kind], "name": c.name, "required": not c.nullable}
        for c in facts.signature.inputs
    ]
    # MLflow's loader answers with the labels alone; the probabilities are in our own signature.
    outputs = [
        {"type": _MLFLOW_TYPES[c.kind], "name": c.name, "required": True}
        for c in facts.signature.outputs
        if c.name == PREDICTION
    ]
    written = {
        "artifact_path": "model",
        "flavors": flavors,
        "metadata": {"millwright": facts},
        "model_uuid": f"{new_uuid7():032x}",
        "run_id": None if run is None else to_hex(run),
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "pandas_orient": "split",
            "type": "dataframe",
        },
        "signature": {
            "inputs": msgspec.json.encode(inputs).decode(),
            "outputs": msgspec.json.encode(outputs).decode(),
            "params": None,
        },
        "utc_time_created": to_datetime(now_us).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    encoded = msgspec.json.encode(written, order="deterministic")
    return msgspec.json.format(encoded).decode() + "\n"
