"""scikit-learn models as ONNX graphs: a thousand times faster for one row than scikit-learn.

Columns are gathered into at most three tensors, since each tensor handed to the runtime costs
as much as a small model: `numbers` (float32: trees compare in that precision anyway),
`integers` (int64, where an encoder knows whole-number categories) and `texts`. Which columns
stand where is written into the graph's own metadata, so the file can be read without us.

A graph computes in float32 what scikit-learn computes in float64. Whether it answers the same
is not assumed but measured, in `parity`, before a package keeps it.

Written with one spelling: nodes and values are numbered in graph order, attributes and
operator sets are sorted, and nothing tells the time.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from millwright.core.errors import Corrupt, NotFound, Unsupported
from millwright.records.schema import Signature
from millwright.registry.fitted import (
    Estimator,
    class_name,
    column_positions,
    fitted_parts,
    forget_frames,
    split_pipeline,
    walk,
)
from millwright.registry.flavor import Dumped, Section
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Columns, Label

if TYPE_CHECKING:
    from onnx import ModelProto

FILE = "model.onnx"
LAYOUT_KEY = "millwright.inputs"
# The newest that skl2onnx and the oldest runtime we accept both know.
OPSETS = {"": 18, "ai.onnx.ml": 3}
# ONNX has no missing text. An encoder that learnt None as a category learns this word in its
# place, and rows say it; to any other encoder it is as unknown as None is.
MISSING_TEXT = "\ue000missing"
_GRAPH_NAME = "model"
_MAX_REASON_CHARS = 300

# What converters raise on a model they do not know, having no error of their own in common.
_UNCONVERTIBLE = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NameError)
_UNRUNNABLE = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns each tensor holds, in order."""

    numbers: tuple[str, ...] = ()
    integers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All columns in the order in which the graph sees them."""
        return [*self.numbers, *self.integers, *self.texts]


class OnnxPredictor:
    """An ONNX graph that answers plain columns; one thread a call, the same bits each time."""

    def __init__(
        self, session: onnxruntime.InferenceSession, *, layout: Layout, signature: Signature
    ) -> None:
        self._session = session
        self._layout = layout
        self._outputs = [node.name for node in session.get_outputs()]
        kinds = {column.name: column.kind for column in signature.outputs}
        self._kind = kinds[PREDICTION]
        self._is_classifier = len(self._outputs) == 2
        self._has_probability = PROBABILITY in kinds

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        feed: dict[str, Array] = {}
        if self._layout.numbers:
            feed["numbers"] = _tensor(columns, self._layout.numbers, np.float32)
        if self._layout.integers:
            feed["integers"] = _tensor(columns, self._layout.integers, np.int64)
        if self._layout.texts:
            texts = _tensor(columns, self._layout.texts, np.object_)
            feed["texts"] = np.where(texts == None, MISSING_TEXT, texts)  # noqa: E711 (array)
        try:
            answers = self._session.run(self._outputs, feed)
        except _UNRUNNABLE as error:
            raise Unsupported(
                "the ONNX graph does not take these rows", why=_short(error)
            ) from error
        prediction = cast("Array", answers[0]).reshape(-1)
        if self._kind == "boolean":
            prediction = prediction.astype(np.bool_)
        elif self._kind == "float":
            prediction = prediction.astype(np.float64)
        if not self._is_classifier or not self._has_probability:
            return {PREDICTION: prediction}
        probabilities = cast("npt.NDArray[np.float32]", answers[1]).astype(np.float64)
        return {
            PREDICTION: prediction,
            PROBABILITY: probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities,
        }


class OnnxFlavor:
    """Converts scikit-learn models to `model.onnx`, and runs it."""

    name = "onnx"

    def handles(self, model: object) -> bool:
        """Tell whether a conversion can be tried."""
        return class_name(model) != "" and hasattr(model, "predict")

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Convert `model` and write `model.onnx` into `folder`.

        Raises Unsupported, with the reason, when it does not convert.
        """
        prepared, layout = _prepare(model, signature)
        graph = _convert(prepared, layout, is_classifier=bool(classes))
        (folder / FILE).write_bytes(spell(graph, layout))
        return Dumped(
            weights=(FILE,),
            distributions={name: version(name) for name in ("numpy", "onnxruntime")},
            section={
                "data": FILE,
                "onnx_version": version("onnx"),
                "converted_with": f"skl2onnx {version('skl2onnx')}",
                "providers": ["CPUExecutionProvider"],
            },
            pyfunc={"loader_module": "mlflow.onnx", "data": FILE},
        )

    def load(self, folder: Path, *, signature: Signature, section: Section) -> OnnxPredictor:
        """Return the graph in `folder`, ready for plain columns."""
        del section  # the graph says it all by itself
        path = folder / FILE
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"the package has no {FILE}", why=f"{path} is not there") from error
        options = onnxruntime.SessionOptions()
        # One request, one thread: throughput comes from requests side by side, and a sum over
        # trees split among threads would not always round the same way.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
            text = session.get_modelmeta().custom_metadata_map.get(LAYOUT_KEY, "")
            layout = msgspec.json.decode(text, type=Layout)
        except (*_UNRUNNABLE, msgspec.DecodeError) as error:
            raise Corrupt(f"{FILE} cannot be read", why=_short(error)) from error
        return OnnxPredictor(session, layout=layout, signature=signature)


def spell(graph: ModelProto, layout: Layout) -> bytes:
    """Return the graph's bytes in their one spelling, with its layout in the metadata."""
    model = copy.deepcopy(graph)
    body = model.graph
    body.name = _GRAPH_NAME
    kept = {value.name for value in (*body.input, *body.output)}
    names: dict[str, str] = {"": ""} | {name: name for name in kept}
    # A graph inside a node sees the names around it; there the converter's own stay, which
    # are counted too.
    nested = any(attribute.HasField("g") for node in body.node for attribute in node.attribute)
    for node in body.node:
        for name in (*node.input, *node.output):
            names.setdefault(name, name if nested else f"v{len(names)}")
    for number, node in enumerate(body.node):
        node.name = f"n{number}"
        node.doc_string = ""
        inputs, outputs = list(node.input), list(node.output)
        del node.input[:], node.output[:]
        node.input.extend(names[name] for name in inputs)
        node.output.extend(names[name] for name in outputs)
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    weights = list(body.initializer)
    for weight in weights:
        weight.name = names.get(weight.name, weight.name)
    weights.sort(key=lambda weight: weight.name)
    del body.initializer[:]
    body.initializer.extend(weights)
    # Shapes of values in between are a help to viewers, under names that are gone.
    del body.value_info[:]
    body.doc_string = model.doc_string = ""
    domains = sorted(model.opset_import, key=lambda domain: domain.domain)
    del model.opset_import[:]
    model.opset_import.extend(domains)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key = LAYOUT_KEY
    entry.value = msgspec.json.encode(layout).decode()
    return model.SerializeToString(deterministic=True)


def _prepare(model: Estimator, signature: Signature) -> tuple[Estimator, Layout]:
    """Return a copy of the model that picks its columns from the tensors, and their layout."""
    names = [column.name for column in signature.inputs]
    kinds = {column.name: column.kind for column in signature.inputs}
    prepared: Estimator = copy.deepcopy(model)
    forget_frames(prepared)
    _say_missing_text(prepared)
    transformer = _first_transformer(prepared)
    if transformer is None:
        if "text" in kinds.values():
            raise Unsupported("the model takes text without a ColumnTransformer that says where")
        return prepared, Layout(numbers=tuple(names))
    integers = _integer_categories(transformer, names)
    layout = Layout(
        numbers=tuple(n for n in names if kinds[n] != "text" and n not in integers),
        integers=tuple(n for n in names if kinds[n] != "text" and n in integers),
        texts=tuple(n for n in names if kinds[n] == "text"),
    )
    place = {name: index for index, name in enumerate(layout.names)}
    transformer.transformers_ = [
        (name, part, [place[names[index]] for index in column_positions(picked, names)])
        for name, part, picked in fitted_parts(transformer)
    ]
    return prepared, layout


def _say_missing_text(model: Estimator) -> None:
    """Have the encoders of `model` know `MISSING_TEXT` where they know None."""
    for part in walk(model):
        categories = getattr(part, "categories_", None)
        if isinstance(categories, list):
            part.categories_ = [
                np.where(known == None, MISSING_TEXT, known)  # noqa: E711 (array)
                if known.dtype.kind == "O"
                else known
                for known in cast("list[Array]", categories)
            ]


def _first_transformer(model: Estimator) -> Estimator:
    """Return the `ColumnTransformer` that sees the named columns, or None."""
    transformers, last = split_pipeline(model)
    first = transformers[0] if transformers else last
    while class_name(first) == "Pipeline":
        first = first.steps[0][1]
    return first if class_name(first) == "ColumnTransformer" else None


def _integer_categories(transformer: Estimator, names: Sequence[str]) -> set[str]:
    """Return the columns whose encoder knows whole numbers as categories."""
    found: set[str] = set()
    for _, part, picked in fitted_parts(transformer):
        categories = cast("Sequence[Array] | None", getattr(part, "categories_", None))
        if categories is not None:
            positions = column_positions(picked, names)
            for position, known in zip(positions, categories, strict=True):
                if known.dtype.kind in "iub":
                    found.add(names[position])
    return found


def _convert(model: Estimator, layout: Layout, *, is_classifier: bool) -> ModelProto:
    # Imported here: only packaging converts, and a serving process should not pay for it.
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import (
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
        TensorType,
    )

    kinds: list[tuple[str, tuple[str, ...], type[TensorType]]] = [
        ("numbers", layout.numbers, FloatTensorType),
        ("integers", layout.integers, Int64TensorType),
        ("texts", layout.texts, StringTensorType),
    ]
    _, last = split_pipeline(model)
    plain = is_classifier and hasattr(last, "predict_proba")
    options = {id(last): {"zipmap": False}} if plain else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert_sklearn(
                model,
                name=_GRAPH_NAME,
                initial_types=[
                    (name, kind([None, len(columns)])) for name, columns, kind in kinds if columns
                ],
                target_opset=OPSETS,
                options=options,
            )
    except _UNCONVERTIBLE as error:
        raise Unsupported(
            f"skl2onnx {version('skl2onnx')} does not convert a {class_name(last)} here",
            why=_short(error),
        ) from error


def _tensor(columns: Columns, names: Sequence[str], kind: type[np.generic]) -> Array:
    if len(names) == 1:
        return columns[names[0]].astype(kind).reshape(-1, 1)
    out = np.empty((len(columns[names[0]]), len(names)), dtype=kind)
    for index, name in enumerate(names):
        out[:, index] = columns[name]
    return out


def _short(error: Exception) -> str:
    # The converter prints every node of a forest behind these words.
    said = str(error).partition(" and attributes=")[0]
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return " ".join(f"{type(error).__name__}: {said}{cause}".split())[:_MAX_REASON_CHARS]
