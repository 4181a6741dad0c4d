"""Model packages: an MLmodel folder that MLflow's tools can read and ours can trust.

    MLmodel             what is here: flavours, signature, digest (JSON, which is YAML too)
    model.skops         the model as trained (model.ubj, model.lgb ... for other libraries)
    model.onnx          the model as served, where it converts and answers the same
    parity.json         how that was measured; where it is not served so, MLmodel says why
    requirements.txt    what loading needs, pinned
    python_env.yaml     the same, as MLflow's tools want it
    input_example.json  rows it was trained on, by which parity was measured
    output_example.json what it answered to them, held against what it answers later

The **model digest** covers weights, signature and requirements: what decides the answers. The
same fit has the same digest wherever and whenever it is packaged. Times, ids and examples count
only for the package's own digest, that of the folder as an artifact tree.

Folders that MLflow wrote are read as well (`foreign`), as far as their formats run no code.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from millwright.artifacts.paths import join, parse_artifact_path
from millwright.core.digest import Digest, digest_file
from millwright.core.errors import (
    MillwrightError,
    NotFound,
    Refused,
    Unsupported,
)
from millwright.core.ids import RunId, to_hex
from millwright.core.version import VERSION
from millwright.records.schema import Signature
from millwright.registry.examples import answers_text, example_text, read_example_columns
from millwright.registry.facts import (
    ANSWERS,
    EXAMPLE,
    FORMAT,
    MLMODEL,
    PYTHON_ENV,
    REQUIREMENTS,
    Facts,
    Package,
    model_digest,
    said_of,
)
from millwright.registry.flavor import (
    Dumped,
    Labelled,
    PickleFlavor,
    Predictor,
    TrainedFlavor,
    flavor_names,
    load_flavor,
)
from millwright.registry.mlmodel import mlmodel_text, parse_package
from millwright.registry.parity import mix
from millwright.registry.pickles import PicklePermission, check_permission
from millwright.registry.proof import (
    ask,
    check_answers,
    check_same,
    convert,
    describe,
    example_rows,
    without_infinite,
)
from millwright.registry.signature import (
    PREDICTION,
    Array,
    Columns,
    Frame,
    Label,
    Matrix,
    check_columns,
    columns_of,
    infer_columns,
    infer_signature,
    row_count,
)

PARITY = "parity.json"

SERVED = "onnx"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that answers."""

    digest: Digest
    signature: Signature
    flavor: str
    classes: tuple[Label, ...]
    predictor: Predictor

    def predict(self, rows: Frame | Columns | Matrix) -> dict[str, Array]:
        """Answer rows; raises Invalid, naming each column that does not fit.

        The columns of a matrix (rows, columns) are taken in the signature's order. A model that
        MLflow logged without a signature takes the rows as they are.
        """
        names = [column.name for column in self.signature.inputs] or None
        columns = columns_of(rows, names)
        if not self.signature.inputs:
            return self.predictor.predict(columns)
        return self.predictor.predict(check_columns(self.signature, columns))


def write_package(
    model: object,
    *,
    example: Frame | Columns,
    folder: Path,
    now_us: int,
    run: RunId | None = None,
    signature: Signature | None = None,
) -> Package:
    """Write a fitted model into the empty `folder` as a package.

    The model is scikit-learn's, or one of the library of another installed flavour (XGBoost,
    LightGBM, CatBoost, PyTorch). `example` holds rows it was trained on, at least 200 where
    there are as many; the first 256 are kept in the package. The columns must be those it was
    fitted on. Without a `signature` one is inferred from them; give one to say that a column
    may lack values although no example does.

    A scikit-learn model is converted to ONNX, and kept so where it converts and `parity`
    accepts it. Raises Unsupported when the model cannot be written without pickle, Invalid when
    the examples do not fit it, and Failed when what was written does not answer as the model
    does.
    """
    trained = _trained_flavor(model)
    known = trained.know(model)
    rows = example_rows(known, columns_of(example))
    classes = known.classes
    rows, memory = without_infinite(rows, ask(trained, model, example, rows))
    signature = signature or infer_signature(rows, memory)
    examples = check_columns(signature, rows)

    first = trained.dump(model, signature=signature, classes=classes, folder=folder)
    dumped = {trained.name: first}
    native = trained.load(folder, signature=signature, section=first.section)
    check_same(memory, native.predict(examples), tolerance=known.tolerance)
    probes = mix(examples, signature)
    check_answers(native, probes)
    refusal, parity = "", None
    converter = load_flavor(SERVED)
    try:
        if converter.handles(model) and converter.name != trained.name:
            dumped[SERVED], parity = convert(
                converter, model, native, probes, row_count(examples), signature, classes, folder
            )
    except Unsupported as error:
        refusal = f"{error.what}: {error.why}" if error.why else error.what
    if parity is not None:
        (folder / PARITY).write_bytes(msgspec.json.format(msgspec.json.encode(parity)) + b"\n")
        if not parity.accepted:
            refusal = describe(parity)
            for path in dumped.pop(SERVED).weights:
                (folder / path).unlink()

    requirements = _requirements(dumped.values())
    _write(folder, REQUIREMENTS, requirements)
    _write(folder, PYTHON_ENV, _python_env())
    _write(folder, EXAMPLE, example_text(examples))
    _write(folder, ANSWERS, answers_text(memory))
    weights = {name: list(flavor.weights) for name, flavor in dumped.items()}
    sections = {name: dict(flavor.section) for name, flavor in dumped.items()}
    serve = SERVED if SERVED in dumped else trained.name
    digest = model_digest(
        signature,
        requirements=requirements,
        weights={path: digest_file(folder / path) for paths in weights.values() for path in paths},
        said=said_of(classes, serve, sections),
    )
    facts = Facts(
        format=FORMAT,
        version=VERSION,
        digest=digest,
        signature=signature,
        classes=list(classes),
        weights=weights,
        serve=serve,
        not_served_as={SERVED: refusal} if refusal else {},
    )
    text = mlmodel_text(facts, sections, pyfunc=first.pyfunc, now_us=now_us, run=run)
    _write(folder, MLMODEL, text)
    return Package(digest, facts, sections, run_hex=None if run is None else to_hex(run))


def read_package(folder: Path) -> Package:
    """Return the package in `folder`, every weight file hashed.

    Raises NotFound when a file is not there, and what `parse_package` raises.
    """

    def path_to(name: str) -> Path:
        path = join(folder, parse_artifact_path(name))
        if not path.is_file():
            raise NotFound(f"the model package {folder} has no {name}")
        return path

    return parse_package(
        lambda name: path_to(name).read_bytes(),
        lambda name: digest_file(path_to(name)),
        [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ],
    )


def load_package(
    folder: Path,
    *,
    flavor: str | None = None,
    expected: Digest | None = None,
    permission: PicklePermission | None = None,
) -> LoadedModel:
    """Return the model in `folder` after verifying its digest, in `flavor` or as it is served.

    A format that runs code is loaded only with a `permission` for this model's digest. Raises
    Refused without one, or when the folder holds another model than `expected`, NotFound when
    it has no such flavour, and what `read_package` and the flavour raise.
    """
    package = read_package(folder)
    if expected is not None and package.digest != expected:
        raise Refused(
            f"{folder} holds another model than asked for",
            why=f"asked for {expected}, found {package.digest}",
        )
    if permission is not None:
        check_permission(permission, package.digest)
    name = flavor or package.facts.serve or _only(package)
    if name not in package.facts.weights:
        raise NotFound(
            f"the model cannot be loaded as {name}",
            why=package.facts.not_served_as.get(name, ""),
            fix=f"it has: {', '.join(package.flavors) or 'no flavour that is read here'}",
        )
    reader = load_flavor(name)
    signature, section = package.facts.signature, package.sections[name]
    if permission is not None and isinstance(reader, PickleFlavor):
        predictor = reader.load_pickle(
            folder, signature=signature, section=section, permission=permission
        )
    else:
        predictor = reader.load(folder, signature=signature, section=section)
    loaded = LoadedModel(
        digest=package.digest,
        signature=signature,
        flavor=name,
        classes=tuple(package.facts.classes),
        predictor=predictor,
    )
    return loaded if package.tool == "millwright" else _settle(loaded, folder)


def _only(package: Package) -> str:
    """Return the flavour to load a model in that is not served; raises Unsupported."""
    if package.flavors:
        return package.flavors[0]
    reasons = [f"{name}: {why}" for name, why in sorted(package.facts.not_served_as.items())]
    raise Unsupported(
        "the model cannot be loaded here",
        why="; ".join(reasons),
        fix="fetch it, and load it with the tool that wrote it in the environment it names",
    )


def _settle(loaded: LoadedModel, folder: Path) -> LoadedModel:
    """Return a model of MLflow's with the outputs it really has, tried on its own examples.

    Its signature names no probabilities, since its loader gives none. Without examples nobody
    knows what comes beside the prediction, and it is not answered.
    """
    classes = loaded.predictor.classes if isinstance(loaded.predictor, Labelled) else ()
    try:
        answers = loaded.predict(read_example_columns(folder))
        outputs = infer_columns({name: values.reshape(-1) for name, values in answers.items()})
    except (MillwrightError, ValueError, TypeError):
        stated = loaded.signature.outputs or infer_columns({PREDICTION: np.zeros(1)})
        signature = Signature(inputs=loaded.signature.inputs, outputs=stated)
        return replace(
            loaded,
            signature=signature,
            classes=classes,
            predictor=_PredictionAlone(loaded.predictor),
        )
    signature = Signature(inputs=loaded.signature.inputs, outputs=outputs)
    return replace(loaded, signature=signature, classes=classes)


class _PredictionAlone:
    """Answers with the prediction, whatever else the model knows."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, columns: Columns) -> dict[str, Array]:
        return {PREDICTION: self._predictor.predict(columns)[PREDICTION]}


def _trained_flavor(model: object) -> TrainedFlavor:
    """Return the flavour of the library that made the model's class.

    It is found by the names of the libraries its class comes from, so that no other library is
    imported: a LightGBM model is first LightGBM's and then scikit-learn's.
    """
    libraries = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    names = [_FLAVOR_OF.get(library, library) for library in libraries]
    for name in dict.fromkeys(names):
        if name in flavor_names():
            flavor = load_flavor(name)
            if isinstance(flavor, TrainedFlavor) and flavor.handles(model):
                return flavor
    raise Unsupported(
        f"no flavour here writes a {type(model).__module__}.{type(model).__name__}",
        why=f"installed: {', '.join(flavor_names())}",
        fix="package a fitted model of one of these libraries",
    )


_FLAVOR_OF = {"torch": "pytorch"}


def _requirements(flavors: Iterable[Dumped]) -> str:
    needed: dict[str, str] = {}
    for flavor in flavors:
        needed |= flavor.distributions
    return "".join(f"{name}=={needed[name]}\n" for name in sorted(needed))


def _python_env() -> str:
    return (
        f"python: {platform.python_version()}\n"
        "build_dependencies:\n- pip\n"
        f"dependencies:\n- -r {REQUIREMENTS}\n"
    )


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8", newline="\n")
