"""PyTorch modules as exported programs: graphs of plain operations, never pickles.

A module is exported with any number of rows; it takes all columns as one table of float32 and
gives one number a row, or labels and probabilities. What is loaded goes through `ptfile` first,
since PyTorch's own loader would run code that stands in a file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import torch

from millwright.core.errors import Corrupt, Unsupported
from millwright.records.schema import Signature
from millwright.registry.flavor import Dumped, Known, Section, read_weight
from millwright.registry.matrices import matrix_of
from millwright.registry.onnxgraph import answers_of
from millwright.registry.ptfile import plain_program
from millwright.registry.signature import Array, Columns, Frame, Label

FOLDER = "data"
FILE = "model.pt2"
# Exported with one row it would take one row for ever.
_ROWS = 3
# What PyTorch raises on a program it cannot read, having no error of its own.
_BROKEN = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError)


class PytorchPredictor:
    """A program that answers plain columns."""

    def __init__(self, module: Callable[[torch.Tensor], object]) -> None:
        self._module = module

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Answer rows that `check_columns` has let through."""
        matrix = matrix_of(columns, list(columns), np.float32)
        try:
            with torch.inference_mode():
                return answers_of(_arrays(self._module(torch.from_numpy(matrix))))
        except _BROKEN as error:
            raise Unsupported(
                "the program does not take these rows", why=" ".join(str(error).split())[:300]
            ) from error


class PytorchFlavor:
    """Reads and writes `data/model.pt2`."""

    name = "pytorch"

    def handles(self, model: object) -> bool:
        """Tell whether `model` is a module of PyTorch's, or a program exported from one."""
        return isinstance(model, torch.nn.Module | torch.export.ExportedProgram)

    def know(self, model: object) -> Known:
        """Return nothing about columns: a module takes a table, and names no classes."""
        del model
        # Another order of additions, in float32.
        return Known(tolerance=1e-5)

    def ask(self, model: object, rows: Columns, frame: Frame | None) -> dict[str, Array]:
        """Return what the module answers in memory, as it does when it is not training."""
        del frame  # a module takes tensors alone
        if isinstance(model, torch.export.ExportedProgram):
            return PytorchPredictor(model.module()).predict(rows)
        return PytorchPredictor(cast("torch.nn.Module", model).eval()).predict(rows)

    def dump(
        self, model: object, *, signature: Signature, classes: Sequence[Label], folder: Path
    ) -> Dumped:
        """Export `model`, and write `data/model.pt2` into `folder`."""
        del classes  # a module names none
        program = (
            model
            if isinstance(model, torch.export.ExportedProgram)
            else _export(cast("torch.nn.Module", model), len(signature.inputs))
        )
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        (folder / FOLDER).mkdir()
        # With its sample inputs, which are zeros: other tools ask for them.
        data = plain_program(buffer.getvalue(), keep_sample=True)
        (folder / FOLDER / FILE).write_bytes(data)
        # Without the kind of machine behind the plus sign.
        release = str(torch.__version__).partition("+")[0]
        return Dumped(
            weights=(f"{FOLDER}/{FILE}",),
            distributions={"numpy": version("numpy"), "torch": release},
            section={
                "model_data": FOLDER,
                "pytorch_version": release,
                "code": None,
            },
            pyfunc={"loader_module": "mlflow.pytorch", "data": FOLDER},
        )

    def load(self, folder: Path, *, signature: Signature, section: Section) -> PytorchPredictor:
        """Return the program in `folder`, ready for plain columns."""
        del signature
        file = f"{section.get('model_data') or FOLDER}/{FILE}"
        plain = plain_program(read_weight(folder, file))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return PytorchPredictor(torch.export.load(io.BytesIO(plain)).module())
        except _BROKEN as error:
            reason = " ".join(str(error).split())[:300]
            raise Corrupt(f"PyTorch cannot read {file}", why=reason) from error


def _export(module: torch.nn.Module, width: int) -> torch.export.ExportedProgram:
    sample = torch.zeros((_ROWS, width))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                module.eval(), (sample,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)
            )
    except Exception as error:
        # Its exporter raises whatever the module's own code does, and a dozen errors of its own.
        raise Unsupported(
            f"a {type(module).__name__} cannot be exported",
            why=" ".join(str(error).split())[:300],
            fix="let it take one table of numbers with any number of rows",
        ) from error


def _arrays(answer: object) -> list[object]:
    if isinstance(answer, torch.Tensor):
        return [answer.numpy()]
    if isinstance(answer, tuple | list):
        parts = cast("Sequence[object]", answer)
        return [part.numpy() if isinstance(part, torch.Tensor) else part for part in parts]
    raise TypeError(f"it gives a {type(answer).__name__}, not tensors")
