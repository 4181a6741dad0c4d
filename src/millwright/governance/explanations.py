"""Explains a captured decision with the very model that took it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millwright.core.errors import Unsupported
from millwright.core.ids import DecisionId
from millwright.explain.contributions import Contributions
from millwright.explain.estimators import Explainer
from millwright.governance.decisions import Decisions
from millwright.metadata.tables.models import VersionRow
from millwright.records.events import Act
from millwright.records.serving import Cell
from millwright.registry.examples import read_examples
from millwright.registry.package import load_package
from millwright.registry.packages import Packages
from millwright.registry.signature import Array, check_columns

TRAINED = "sklearn"


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision's score, shared out over the raw input columns."""

    decision: DecisionId
    version: VersionRow
    contributions: Contributions


class Explanations:
    """Explains decisions of all projects of a home."""

    def __init__(self, decisions: Decisions, packages: Packages) -> None:
        self._decisions = decisions
        self._packages = packages

    def explain(self, act: Act, decision: DecisionId) -> Explained:
        """Return what each raw column added to the score, compared with rows trained on.

        The contributions and the base, the mean over those rows, add up to the score of the
        trained model, of which a served ONNX form differs by less than its measured parity.
        Raises NotFound for an unknown decision and Unsupported for a model nobody can explain.
        """
        found = self._decisions.find(act.project_key, decision)
        version = self._decisions.version_of(act, found, how="explain")
        folder = self._packages.fetch(version.package_digest)
        model = load_package(folder, flavor=TRAINED)
        estimator: Any = getattr(model.predictor, "estimator", None)
        if estimator is None:
            raise Unsupported(f"{version.name}@v{version.version} has no trained form to explain")
        columns = {name: _array(value) for name, value in found.decision.inputs.items()}
        explainer = Explainer(estimator, read_examples(folder, model.signature))
        row = check_columns(model.signature, columns)
        return Explained(decision, version, explainer.explain(row))


def _array(value: Cell) -> Array:
    if value is None:
        return np.array([None], dtype=object)
    return np.array([value], dtype=object) if isinstance(value, str) else np.array([value])
