"""The MLmodel file: what a package says about itself, and how that is held against its files.

It is written as JSON, which is YAML too: MLflow's tools read it, and ours are read without a
YAML parser. What they have no key for lies under `metadata.millwright`; a file without that was
written by MLflow, and is read by `foreign`.
"""

from __future__ import annotations

import platform
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from millwright.core.clock import to_datetime
from millwright.core.errors import Corrupt, Unsupported
from millwright.core.ids import RunId, new_uuid7, to_hex
from millwright.records.events import JsonValue
from millwright.records.schema import ColumnKind
from millwright.registry.facts import (
    EXAMPLE,
    FORMAT,
    MLMODEL,
    PYTHON_ENV,
    REQUIREMENTS,
    DigestOf,
    Facts,
    Package,
    ReadBytes,
    model_digest,
    said_of,
)
from millwright.registry.foreign import parse_foreign
from millwright.registry.signature import PREDICTION

_MLFLOW_TYPES: dict[ColumnKind, str] = {
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
    "text": "string",
    "timestamp": "datetime",
}


class _Metadata(Struct, frozen=True, kw_only=True):
    millwright: Facts | None = None


class _MLmodel(Struct, frozen=True, kw_only=True):
    flavors: dict[str, dict[str, Any]]
    run_id: str | None = None
    metadata: _Metadata | None = None


def parse_package(read: ReadBytes, digest_of: DigestOf, paths: Iterable[str]) -> Package:
    """Return a package of which files can be read and their digests asked for, wherever it lies.

    `paths` are all its files. Raises Corrupt when the model digest it states is not that of its
    files, Invalid when it is no MLmodel folder, and Unsupported when a later version of
    Millwright wrote it.
    """
    data = read(MLMODEL)
    try:
        written = msgspec.json.decode(data, type=_MLmodel)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return parse_foreign(data, read, digest_of, paths)
    facts = written.metadata.millwright if written.metadata else None
    if facts is None:
        return parse_foreign(data, read, digest_of, paths)
    if facts.format > FORMAT:
        raise Unsupported(
            f"the package has format {facts.format}; this version reads up to {FORMAT}",
            fix=f"use Millwright {facts.version} or newer",
        )
    sections = {name: written.flavors.get(name, {}) for name in facts.weights}
    _check_named(facts, written.flavors, set(paths))
    found = model_digest(
        facts.signature,
        requirements=read(REQUIREMENTS).decode(),
        weights={path: digest_of(path) for kept in facts.weights.values() for path in kept},
        said=said_of(facts.classes, facts.serve, sections) if facts.format > 1 else None,
    )
    if found != facts.digest:
        raise Corrupt(
            f"the package is not the model {facts.digest} that it says it is",
            why=f"weights, signature and requirements together have the digest {found}",
            fix="fetch or package it again",
        )
    return Package(found, facts, sections, run_hex=written.run_id)


def _check_named(facts: Facts, flavors: Mapping[str, Mapping[str, Any]], paths: set[str]) -> None:
    """Return when each file that MLmodel has a loader read is one that the digest covers."""
    every = [path for kept in facts.weights.values() for path in kept]
    for flavor, section in flavors.items():
        covered = facts.weights.get(flavor, every)
        for key, value in section.items():
            if not isinstance(value, str) or value in covered:
                continue
            if posixpath.normpath(value) in paths:
                raise Corrupt(
                    f"MLmodel names {value!r}, which its digest does not cover",
                    why=f"flavors.{flavor}.{key} has it read; metadata.millwright.weights has "
                    f"{', '.join(covered)}",
                    fix="fetch or package it again",
                )


def mlmodel_text(
    facts: Facts,
    sections: Mapping[str, Mapping[str, JsonValue]],
    *,
    pyfunc: Mapping[str, JsonValue],
    now_us: int,
    run: RunId | None,
) -> str:
    """Return the text of MLmodel; `pyfunc` says how MLflow's loader finds the trained form."""
    flavors: dict[str, object] = dict(sections)
    flavors["python_function"] = dict(pyfunc) | {
        "env": {"virtualenv": PYTHON_ENV},
        "python_version": platform.python_version(),
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
