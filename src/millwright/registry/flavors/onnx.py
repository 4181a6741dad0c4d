"""scikit-learn models as ONNX graphs: a thousand times faster for one row than scikit-learn.

Columns are gathered into at most three tensors, since each tensor handed to the runtime costs
as much as a small model: `numbers` (float32: trees compare in that precision anyway),
`integers` (int64, where an encoder knows whole-number categories) and `texts`. Which columns
stand where is written into the graph's own metadata, so the file can be read without us.

A graph computes in float32 what scikit-learn computes in float64. Whether it answers the same
is not assumed but measured, in `parity`, before a package keeps it.

A graph that another tool made, without our layout, is read as well: its inputs are fed by
their names, or one table with all columns in their order. Nothing in a graph is code of its
maker's; one that keeps weights in other files is refused, since it could name any file.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from millwright.core.errors import Corrupt, Unsupported
from millwright.records.events import JsonValue
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
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.onnxfile import LAYOUT_KEY, Layout, spell
from millwright.registry.onnxgraph import answers_of, feed_of
from millwright.registry.signature import PREDICTION, PROBABILITY, Array, Columns, Frame, Label

if TYPE_CHECKING:
    from onnx import ModelProto

FILE = "model.onnx"
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


class GraphPredictor:
    """A graph of another tool's that answers plain columns."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._inputs = [(node.name, node.type) for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        feed = feed_of(self._inputs, columns)
        try:
            return answers_of(self._session.run(self._outputs, feed))
        except _UNRUNNABLE as error:
            raise Unsupported(
                "the ONNX graph does not take these rows", why=_short(error)
            ) from error


class OnnxFlavor:
    """Converts scikit-learn models to `model.onnx`, keeps graphs, and runs both."""

    name = "onnx"

    def handles(self, model: object) -> bool:
        """Tell whether `model` is a graph, or a conversion can be tried."""
        return _is_graph(model) or (class_name(model) != "" and hasattr(model, "predict"))

    def know(self, model: object) -> Known:
        """Return nothing about columns: a graph names tensors, and no classes."""
        del model
        return Known(tolerance=1e-6)

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what a graph in memory answers."""
        del frame  # a graph takes tensors alone
        if not _is_graph(model):
            raise Unsupported("only a graph can be asked as ONNX before it is written")
        return GraphPredictor(_session(_graph_bytes(model), FILE)).predict(rows)

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Write `model.onnx` into `folder`: a graph as it is, another model converted.

        Raises Unsupported, with the reason, when it does not convert.
        """
        section: dict[str, JsonValue] = {
            "data": FILE,
            "onnx_version": version("onnx"),
            "providers": ["CPUExecutionProvider"],
        }
        if _is_graph(model):
            data = _graph_bytes(model)
        else:
            prepared, layout = _prepare(model, signature)
            data = spell(_convert(prepared, layout, is_classifier=bool(classes)), layout)
            section["converted_with"] = f"skl2onnx {version('skl2onnx')}"
        (folder / FILE).write_bytes(data)
        return Dumped(
            weights=(FILE,),
            distributions={name: version(name) for name in ("numpy", "onnxruntime")},
            section=section,
            pyfunc={"loader_module": "mlflow.onnx", "data": FILE},
        )

    def load(
        self, folder: Path, *, signature: Signature, section: Section
    ) -> OnnxPredictor | GraphPredictor:
        """Return the graph in `folder`, ready for plain columns."""
        file = str(section.get("data") or FILE)
        session = _session(read_weight(folder, file), file)
        text = session.get_modelmeta().custom_metadata_map.get(LAYOUT_KEY)
        if text is None:
            return GraphPredictor(session)
        try:
            layout = msgspec.json.decode(text, type=Layout)
        except msgspec.DecodeError as error:
            raise Corrupt(f"{file} cannot be read", why=_short(error)) from error
        return OnnxPredictor(session, layout=layout, signature=signature)


def _session(data: bytes, file: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One request, one thread: throughput comes from requests side by side, and a sum over
    # trees split among threads would not always round the same way.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    except _UNRUNNABLE as error:
        raise Corrupt(f"{file} cannot be read", why=_short(error)) from error


def _is_graph(model: object) -> bool:
    kind = type(model)
    return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"


def _graph_bytes(model: object) -> bytes:
    return cast("ModelProto", model).SerializeToString(deterministic=True)


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
