"""Logging that nobody has to call: `mw.autolog()`.

Where MLflow is installed its own autolog does the work, for every library that it knows
(scikit-learn, XGBoost, LightGBM, PyTorch Lightning, Keras, transformers and more), and what it
logs arrives in our runs; see `mlflow_bridge`. Where it is not, fitting a scikit-learn estimator
is logged by hooks of our own; see `sklearn_hooks`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from millwright.core.errors import Unsupported


def autolog(*, disable: bool = False, log_models: bool = True) -> Literal["mlflow", "sklearn"]:
    """Log what libraries fit from now on, to the active run or to runs of their own.

    Parameters, metrics, the model and how long it took arrive without a call. A fit while a run
    is active goes to that run, each further one to a nested run; without an active run each fit
    begins and ends its own. Nothing that breaks here breaks the fit. `disable` undoes it all.

    Returns whose hooks are used. Raises Unsupported where neither MLflow nor scikit-learn is
    installed.
    """
    if find_spec("mlflow") is not None:
        from millwright.sdk import mlflow_bridge

        if disable:
            mlflow_bridge.disconnect()
        else:
            mlflow_bridge.connect(log_models=log_models)
        return "mlflow"
    if find_spec("sklearn") is not None:
        from millwright.sdk import sklearn_hooks

        sklearn_hooks.unhook()
        if not disable:
            sklearn_hooks.hook(log_models=log_models)
        return "sklearn"
    raise Unsupported(
        "there is nothing here whose fits could be logged",
        why="neither MLflow nor scikit-learn is installed",
        fix="install one of them, or call log_params and log_metric",
    )
