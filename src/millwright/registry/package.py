"""Model packages: an MLmodel folder that MLflow's tools can read and ours can trust.

    MLmodel             what is here: flavours, signature, digest (JSON, which is YAML too)
    model.skops         the model as trained
    model.onnx          the model as served, where it converts and answers the same
    parity.json         how that was measured; where it is not served so, MLmodel says why
    requirements.txt    what loading needs, pinned
    python_env.yaml     the same, as MLflow's tools want it
    input_example.json  rows it was trained on, by which parity was measured

The **model digest** covers weights, signature and requirements: what decides the answers. The
same fit has the same digest wherever and whenever it is packaged. Times, ids and examples count
only for the package's own digest, that of the folder as an artifact tree.
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
from msgspec import Struct

from millwright.core.digest import Digest, digest_file
from millwright.core.errors import Corrupt, Failed, Invalid, NotFound, Refused, Unsupported
from millwright.core.ids import RunId
from millwright.core.version import VERSION
from millwright.records.events import JsonValue
from millwright.records.schema import Signature
from millwright.registry.fitted import Estimator, answer, forget_frames, split_pipeline
from millwright.registry.flavor import Dumped, Predictor, load_flavor
from millwright.registry.mlmodel import (
    EXAMPLE,
    FORMAT,
    MLMODEL,
    PYTHON_ENV,
    REQUIREMENTS,
    Facts,
    Package,
    mlmodel_text,
    model_digest,
    parse_package,
)
from millwright.registry.parity import Parity, measure, mix
from millwright.registry.signature import (
    PREDICTION,
    PROBABILITY,
    Array,
    Columns,
    Frame,
    Label,
    check_columns,
    columns_of,
    infer_signature,
    row_count,
)

PARITY = "parity.json"

MAX_EXAMPLE_ROWS = 256
TRAINED = "sklearn"
SERVED = "onnx"

# A package is itself the proof that it answers as the model in memory did; scikit-learn sums in
# an order that may depend on the shape of its input.
_SAME = 1e-9


class _Examples(Struct, frozen=True):
    columns: list[str]
    data: list[list[str | int | float | bool | None]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that answers."""

    digest: Digest
    signature: Signature
    flavor: str
    classes: tuple[Label, ...]
    predictor: Predictor

    def predict(self, rows: Frame | Columns) -> dict[str, Array]:
        """Answer rows; raises Invalid, naming each column that does not fit."""
        return self.predictor.predict(check_columns(self.signature, columns_of(rows)))


def write_package(
    model: Estimator,
    *,
    example: Frame | Columns,
    folder: Path,
    now_us: int,
    run: RunId | None = None,
    signature: Signature | None = None,
) -> Package:
    """Write a fitted scikit-learn model into the empty `folder` as a package.

    `example` holds rows it was trained on, at least 200 where there are as many; the first 256
    are kept in the package. The columns must be those it was fitted on. Without a `signature`
    one is inferred from them; give one to say that a column may lack values although no
    example does.

    The model is converted to ONNX, and kept so where it converts and `parity` accepts it.
    Raises Unsupported when the model cannot be written without pickle, Invalid when the
    examples do not fit it, and Failed when what was written does not answer as the model does.
    """
    rows = _example_rows(model, columns_of(example))
    classes = _classes(model)
    trained = _answer_in_memory(model, example, rows)
    signature = signature or infer_signature(rows, trained)
    examples = check_columns(signature, rows)

    dumped = {
        TRAINED: load_flavor(TRAINED).dump(
            model, signature=signature, classes=classes, folder=folder
        )
    }
    native = load_flavor(TRAINED).load(folder, signature=signature, section=dumped[TRAINED].section)
    _check_same(trained, native.predict(examples))
    probes = mix(examples, signature)
    _check_answers(native, probes)
    refusal, parity = "", None
    try:
        dumped[SERVED], parity = _convert(
            model, native, probes, row_count(examples), signature, classes, folder
        )
    except Unsupported as error:
        refusal = f"{error.what}: {error.why}" if error.why else error.what
    if parity is not None:
        (folder / PARITY).write_bytes(msgspec.json.format(msgspec.json.encode(parity)) + b"\n")
        if not parity.accepted:
            refusal = _describe(parity)
            for path in dumped.pop(SERVED).weights:
                (folder / path).unlink()

    requirements = _requirements(dumped.values())
    _write(folder, REQUIREMENTS, requirements)
    _write(folder, PYTHON_ENV, _python_env())
    _write(folder, EXAMPLE, _example_text(examples))
    weights = {name: list(flavor.weights) for name, flavor in dumped.items()}
    digest = model_digest(
        signature,
        requirements=requirements,
        weights={path: digest_file(folder / path) for paths in weights.values() for path in paths},
    )
    facts = Facts(
        format=FORMAT,
        version=VERSION,
        digest=digest,
        signature=signature,
        classes=classes,
        weights=weights,
        serve=SERVED if SERVED in dumped else TRAINED,
        not_served_as={SERVED: refusal} if refusal else {},
    )
    sections = {name: dict(flavor.section) for name, flavor in dumped.items()}
    path = cast("str", sections[TRAINED]["pickled_model"])
    text = mlmodel_text(facts, sections, model_path=path, now_us=now_us, run=run)
    _write(folder, MLMODEL, text)
    return Package(digest, facts, sections)


def read_package(folder: Path) -> Package:
    """Return the package in `folder`, every weight file hashed; raises NotFound, Corrupt."""

    def path_to(name: str) -> Path:
        path = folder / name
        if not path.is_file():
            raise NotFound(f"the model package {folder} has no {name}")
        return path

    return parse_package(
        lambda name: path_to(name).read_bytes(), lambda name: digest_file(path_to(name))
    )


def read_examples(folder: Path, signature: Signature) -> dict[str, Array]:
    """Return the rows that a package keeps of those it was trained on, as the model takes them.

    Raises NotFound where there are none, and Corrupt when they cannot be read.
    """
    try:
        read = msgspec.json.decode((folder / EXAMPLE).read_bytes(), type=_Examples)
    except FileNotFoundError as error:
        raise NotFound(f"{folder} keeps no example rows") from error
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{folder / EXAMPLE} cannot be read", why=str(error)) from error
    columns: dict[str, Array] = {}
    for place, name in enumerate(read.columns):
        values = [row[place] for row in read.data]
        columns[name] = np.array(values, dtype=object if None in values else None)
    return check_columns(signature, columns)


def load_package(
    folder: Path, *, flavor: str | None = None, expected: Digest | None = None
) -> LoadedModel:
    """Return the model in `folder` after verifying its digest, in `flavor` or as it is served.

    Raises Refused when the folder holds another model than `expected`, NotFound when it has no
    such flavour, and what `read_package` and the flavour raise.
    """
    package = read_package(folder)
    if expected is not None and package.digest != expected:
        raise Refused(
            f"{folder} holds another model than asked for",
            why=f"asked for {expected}, found {package.digest}",
        )
    name = flavor or package.facts.serve
    if name not in package.facts.weights:
        raise NotFound(
            f"the model cannot be loaded as {name}",
            why=package.facts.not_served_as.get(name, ""),
            fix=f"it has: {', '.join(package.flavors)}",
        )
    predictor = load_flavor(name).load(
        folder, signature=package.facts.signature, section=package.sections[name]
    )
    return LoadedModel(
        digest=package.digest,
        signature=package.facts.signature,
        flavor=name,
        classes=tuple(package.facts.classes),
        predictor=predictor,
    )


def _example_rows(model: Estimator, columns: dict[str, Array]) -> dict[str, Array]:
    """Return the rows to keep, with the columns in the order in which the model saw them."""
    if not row_count(columns):
        raise Invalid("a package needs example rows, and there are none")
    known = cast("Sequence[str] | None", getattr(model, "feature_names_in_", None))
    if known is not None:
        seen = [str(name) for name in known]
        if set(seen) != set(columns):
            lacking = sorted(set(seen) - set(columns))
            extra = sorted(set(columns) - set(seen))
            raise Invalid(
                "the example rows do not have the columns the model was fitted on",
                why=f"lacking: {', '.join(lacking[:5]) or 'none'}; "
                f"not known to it: {', '.join(extra[:5]) or 'none'}",
            )
        columns = {name: columns[name] for name in seen}
    width = getattr(model, "n_features_in_", len(columns))
    if width != len(columns):
        raise Invalid(
            f"the model was fitted on {width} columns, and the examples have {len(columns)}"
        )
    return {name: values[:MAX_EXAMPLE_ROWS] for name, values in columns.items()}


def _classes(model: Estimator) -> list[Label]:
    _, last = split_pipeline(model)
    labels = getattr(last, "classes_", None)
    return [] if labels is None else cast("list[Label]", np.asarray(labels).tolist())


def _answer_in_memory(
    model: Estimator, example: Frame | Columns, rows: Columns
) -> dict[str, Array]:
    """Return what the model answers, asked in its own way where it was fitted on a frame."""
    try:
        if hasattr(model, "feature_names_in_") and not isinstance(example, Mapping):
            prediction, probabilities = _ask(model, example.head(MAX_EXAMPLE_ROWS))
        else:
            nameless: Estimator = copy.deepcopy(model)
            forget_frames(nameless)
            prediction, probabilities = answer(nameless, rows)
    except (ValueError, TypeError) as error:
        raise Invalid(
            "the model does not answer the example rows",
            why=f"{type(error).__name__}: {error}"[:300],
            fix="give rows like those it was trained on",
        ) from error
    if probabilities is None:
        return {PREDICTION: prediction}
    two = probabilities.shape[1] == 2
    return {PREDICTION: prediction, PROBABILITY: probabilities[:, 1] if two else probabilities}


def _ask(model: Estimator, frame: Frame) -> tuple[Array, Array | None]:
    prediction = np.asarray(model.predict(frame)).reshape(-1)
    if not hasattr(model, "predict_proba"):
        return prediction, None
    return prediction, np.asarray(model.predict_proba(frame))


def _check_same(memory: Mapping[str, Array], written: Mapping[str, Array]) -> None:
    for name, expected in memory.items():
        found = written[name]
        same = (
            np.allclose(found.astype(np.float64), expected.astype(np.float64), rtol=0, atol=_SAME)
            if expected.dtype.kind == "f"
            else bool((found == expected).all())
        )
        if not same:
            raise Failed(
                f"the package does not answer as the model in memory does ({name})",
                why="it holds state that its file format does not carry",
            )


def _check_answers(native: Predictor, probes: Columns) -> None:
    try:
        native.predict(probes)
    except ValueError as error:
        raise Invalid(
            "the model does not answer rows that its signature lets through",
            why=str(error)[:300],
            fix="impute missing values in the model's pipeline and let encoders ignore unknown "
            "ones, or say in the signature that no value may be missing",
        ) from error


def _convert(
    model: Estimator,
    native: Predictor,
    probes: Columns,
    n_examples: int,
    signature: Signature,
    classes: Sequence[Label],
    folder: Path,
) -> tuple[Dumped, Parity]:
    flavor = load_flavor(SERVED)
    dumped = flavor.dump(model, signature=signature, classes=classes, folder=folder)
    try:
        converted = flavor.load(folder, signature=signature, section=dumped.section)
        parity = measure(native, converted, probes, n_examples)
    except (Corrupt, Unsupported) as error:
        for path in dumped.weights:
            (folder / path).unlink()
        raise Unsupported(error.what, why=error.why) from error
    return dumped, parity


def _describe(parity: Parity) -> str:
    return (
        f"it does not answer the same: labels differ on {parity.example_labels_differ} of "
        f"{parity.example_rows} examples and {parity.mixed_labels_differ} of {parity.mixed_rows} "
        f"mixed rows, values by up to {parity.max_abs_difference:.2g} "
        f"(allowed {parity.tolerance:.2g})"
    )


def _requirements(flavors: Iterable[Dumped]) -> str:
    names = {name for flavor in flavors for name in flavor.distributions}
    return "".join(f"{name}=={version(name)}\n" for name in sorted(names))


def _python_env() -> str:
    return (
        f"python: {platform.python_version()}\n"
        "build_dependencies:\n- pip\n"
        f"dependencies:\n- -r {REQUIREMENTS}\n"
    )


def _example_text(examples: Columns) -> str:
    values = [_json_values(column) for column in examples.values()]
    rows = [list(row) for row in zip(*values, strict=True)]
    return msgspec.json.encode({"columns": list(examples), "data": rows}).decode() + "\n"


def _json_values(column: Array) -> list[JsonValue]:
    values = cast("list[JsonValue]", column.tolist())
    return [None if value != value else value for value in values]  # noqa: PLR0124 (NaN)


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8", newline="\n")
