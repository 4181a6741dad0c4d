"""What is tried before a package is kept: that its files answer as the model in memory does.

First the format the model's own library wrote, on the examples exactly; then, where a model is
converted, the other form by `parity`. A package that was written is itself the proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from millwright.core.errors import Corrupt, Failed, Invalid, Unsupported
from millwright.records.schema import Signature
from millwright.registry.flavor import Dumped, Flavor, Known, Predictor, TrainedFlavor
from millwright.registry.matrices import matched
from millwright.registry.parity import Parity, measure
from millwright.registry.signature import Array, Columns, Frame, Label, row_count

MAX_EXAMPLE_ROWS = 256


def example_rows(known: Known, columns: dict[str, Array]) -> dict[str, Array]:
    """Return the rows to keep, with the columns in the order in which the model saw them."""
    if not row_count(columns):
        raise Invalid("a package needs example rows, and there are none")
    if known.names:
        names = matched(known.names, list(columns))
        if names is None:
            lacking = sorted(set(known.names) - set(columns))
            extra = sorted(set(columns) - set(known.names))
            raise Invalid(
                "the example rows do not have the columns the model was fitted on",
                why=f"lacking: {', '.join(lacking[:5]) or 'none'}; "
                f"not known to it: {', '.join(extra[:5]) or 'none'}",
            )
        columns = {name: columns[name] for name in names}
    if known.width not in {None, len(columns)}:
        raise Invalid(
            f"the model was fitted on {known.width} columns, and the examples have {len(columns)}"
        )
    return {name: values[:MAX_EXAMPLE_ROWS] for name, values in columns.items()}


def ask(
    flavor: TrainedFlavor, model: object, example: Frame | Columns, rows: Columns
) -> dict[str, Array]:
    """Return what the model in memory answers; raises Invalid when it does not take the rows."""
    frame = None if isinstance(example, Mapping) else example.head(MAX_EXAMPLE_ROWS)
    try:
        return flavor.ask(model, rows, frame)
    except (ValueError, TypeError) as error:
        raise Invalid(
            "the model does not answer the example rows",
            why=f"{type(error).__name__}: {error}"[:300],
            fix="give rows like those it was trained on",
        ) from error


def without_infinite(
    rows: Columns, answers: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the rows, and what was answered to them, whose numbers a file of examples can hold.

    It has no number for infinity, and a value that lacks, which it has, is another row.
    """
    held = np.ones(row_count(rows), dtype=np.bool_)
    for values in rows.values():
        if values.dtype.kind == "f":
            held &= ~np.isinf(values)
    if not held.any():
        raise Invalid(
            "a package needs example rows without infinite values, and there are none",
            fix="give rows like those it was trained on, some of them finite",
        )
    return (
        {name: values[held] for name, values in rows.items()},
        {name: values[held] for name, values in answers.items()},
    )


def check_same(
    memory: Mapping[str, Array], written: Mapping[str, Array], *, tolerance: float
) -> None:
    """Raise Failed when what was written does not answer as the model in memory did."""
    for name, expected in memory.items():
        found = written[name]
        same = (
            np.allclose(
                found.astype(np.float64),
                expected.astype(np.float64),
                rtol=0,
                atol=tolerance,
                equal_nan=True,
            )
            if expected.dtype.kind == "f"
            else bool((found == expected).all())
        )
        if not same:
            raise Failed(
                f"the package does not answer as the model in memory does ({name})",
                why="it holds state that its file format does not carry",
            )


def check_answers(native: Predictor, probes: Columns) -> None:
    """Raise Invalid when the signature lets rows through that the model does not answer."""
    try:
        native.predict(probes)
    except ValueError as error:
        raise Invalid(
            "the model does not answer rows that its signature lets through",
            why=str(error)[:300],
            fix="impute missing values in the model's pipeline and let encoders ignore unknown "
            "ones, or say in the signature that no value may be missing",
        ) from error


def convert(
    flavor: Flavor,
    model: object,
    native: Predictor,
    probes: Columns,
    n_examples: int,
    signature: Signature,
    classes: Sequence[Label],
    folder: Path,
) -> tuple[Dumped, Parity]:
    """Convert a model, and measure how its two forms compare on `probes`.

    Raises Unsupported, with nothing left behind, when it does not convert or does not run.
    """
    dumped = flavor.dump(model, signature=signature, classes=classes, folder=folder)
    try:
        converted = flavor.load(folder, signature=signature, section=dumped.section)
        parity = measure(native, converted, probes, n_examples)
    except (Corrupt, Unsupported) as error:
        for path in dumped.weights:
            (folder / path).unlink()
        raise Unsupported(error.what, why=error.why) from error
    return dumped, parity


def describe(parity: Parity) -> str:
    """Return why a converted form is not kept."""
    return (
        f"it does not answer the same: labels differ on {parity.example_labels_differ} of "
        f"{parity.example_rows} examples and {parity.mixed_labels_differ} of {parity.mixed_rows} "
        f"mixed rows, values by up to {parity.max_abs_difference:.2g} "
        f"(allowed {parity.tolerance:.2g})"
    )
