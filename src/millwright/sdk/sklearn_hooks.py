"""Hooks that log the fits of scikit-learn's estimators, where MLflow is not installed.

Each estimator class has its `fit` wrapped. A fit inside a fit, that of a step in a pipeline or
of a trial in a search, is part of the outer one and not logged.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from importlib import import_module
from multiprocessing.dummy import DummyProcess
from typing import Protocol, cast

from millwright.core.errors import MillwrightError
from millwright.sdk.checks import MAX_KEY_CHARS, MAX_VALUE_CHARS
from millwright.sdk.fits import FitRun, run_for_fit
from millwright.sdk.losses import LoggingWarning
from millwright.sdk.outcomes import outcome_of

SCORE = "training_score"
BEST_SCORE = "best_cv_score"
DURATION = "fit_seconds"
EXAMPLE_ROWS = 256
_ORIGINAL = "__millwright_original__"

_INSIDE: ContextVar[bool] = ContextVar("millwright_inside_fit", default=False)


class Estimator(Protocol):
    """What we use of an estimator of scikit-learn's."""

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return its parameters."""
        ...


class _Progress:
    """How many outer fits go on in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self) -> bool:
        """Note a fit that begins here; False when it is part of one that goes on."""
        if _INSIDE.get():
            return False
        with self._lock:
            # joblib's threads do not inherit the context of the fit that they work for.
            if self._count and isinstance(threading.current_thread(), DummyProcess):
                return False
            self._count += 1
            return True

    def end(self) -> None:
        """Note that it is over."""
        with self._lock:
            self._count -= 1


def hook(*, log_models: bool = True) -> int:
    """Wrap the `fit` of every estimator class; return how many there are."""
    count, progress = 0, _Progress()
    for kind in estimator_classes():
        original = kind.__dict__.get("fit")
        if callable(original) and not hasattr(original, _ORIGINAL):
            setattr(kind, "fit", _wrapped(original, progress, log_models=log_models))  # noqa: B010
            count += 1
    return count


def unhook() -> None:
    """Put the `fit` of every class back as it was."""
    for kind in estimator_classes():
        original = getattr(kind.__dict__.get("fit"), _ORIGINAL, None)
        if original is not None:
            setattr(kind, "fit", original)  # noqa: B010


def estimator_classes() -> Iterator[type]:
    """Iterate over the classes that define a `fit` which users call, each once."""
    utils = import_module("sklearn.utils")
    seen: set[type] = set()
    for _, kind in cast("list[tuple[str, type]]", utils.all_estimators()):
        # Where a class inherits its fit, as a grid search does, the one it has it from is wrapped.
        for owner in kind.__mro__:
            if "fit" in owner.__dict__ and owner not in seen:
                seen.add(owner)
                yield owner
                break
    pipeline = import_module("sklearn.pipeline").Pipeline
    if pipeline not in seen:
        yield pipeline


def params_of(estimator: Estimator) -> dict[str, str]:
    """Return an estimator's parameters as text, those of its parts too, as far as they are short.

    >>> class Ridge:
    ...     def get_params(self, deep=True):
    ...         return {"alpha": 1.0, "solver": "auto"}
    >>> params_of(Ridge())
    {'alpha': '1.0', 'solver': 'auto'}
    """
    texts: dict[str, str] = {}
    for key, value in estimator.get_params(deep=True).items():
        # A part of a pipeline stands there with its own parameters; its text says them again.
        if not hasattr(value, "get_params") and len(key) <= MAX_KEY_CHARS:
            texts[key] = str(value)[:MAX_VALUE_CHARS]
    return texts


def _wrapped(
    original: Callable[..., object], progress: _Progress, *, log_models: bool
) -> Callable[..., object]:
    @functools.wraps(original)
    def fit(self: Estimator, *args: object, **kwargs: object) -> object:
        if not progress.begin():
            return original(self, *args, **kwargs)
        token = _INSIDE.set(True)
        try:
            return _logged(original, self, args, kwargs, log_models=log_models)
        finally:
            _INSIDE.reset(token)
            progress.end()

    setattr(fit, _ORIGINAL, original)
    return fit


def _logged(
    original: Callable[..., object],
    estimator: Estimator,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    *,
    log_models: bool,
) -> object:
    run = _begin(estimator)
    began_s = time.perf_counter()
    try:
        fitted = original(estimator, *args, **kwargs)
    except BaseException as error:
        if run is not None:
            status, problem = outcome_of(error)
            _quietly(lambda: run.end(status, error=problem))
        raise
    if run is not None:
        seconds = time.perf_counter() - began_s
        given = _arguments(original, estimator, args, kwargs)
        _quietly(lambda: run.run.log_metric(DURATION, seconds))
        _quietly(lambda: _log_score(run, estimator, given))
        if log_models:
            _quietly(lambda: _log_model(run, estimator, given))
        _quietly(run.end)
    return fitted


def _begin(estimator: Estimator) -> FitRun | None:
    try:
        run = run_for_fit(type(estimator).__name__)
    except (MillwrightError, OSError) as error:
        _warn(error)
        return None
    _quietly(lambda: run.run.set_tag("estimator", _full_name(estimator)))
    _quietly(lambda: run.run.log_params(params_of(estimator)))
    return run


def _log_score(run: FitRun, estimator: Estimator, given: dict[str, object]) -> None:
    score = getattr(estimator, "score", None)
    if score is not None and given.get("y") is not None:
        weights = given.get("sample_weight")
        more = {} if weights is None else {"sample_weight": weights}
        run.run.log_metric(SCORE, score(given["X"], given["y"], **more))
    best = cast("dict[str, object] | None", getattr(estimator, "best_params_", None))
    if best is not None:
        run.run.log_params({f"best_{key}": value for key, value in best.items()})
        run.run.log_metric(BEST_SCORE, cast("float", getattr(estimator, "best_score_")))  # noqa: B009


def _log_model(run: FitRun, estimator: Estimator, given: dict[str, object]) -> None:
    if hasattr(estimator, "predict"):
        run.run.log_model(estimator, example=_head(given["X"]))


def _head(rows: object) -> object:
    head = getattr(rows, "head", None)
    if head is not None:
        return head(EXAMPLE_ROWS)
    return cast("Sequence[object]", rows)[:EXAMPLE_ROWS]


def _arguments(
    original: Callable[..., object],
    estimator: Estimator,
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> dict[str, object]:
    return dict(inspect.signature(original).bind(estimator, *args, **kwargs).arguments)


def _full_name(estimator: Estimator) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def _quietly(action: Callable[[], object]) -> None:
    """Do what concerns the log only: what breaks in it becomes a warning."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 (no fit may fail because it is logged)
        _warn(error)


def _warn(error: Exception) -> None:
    warnings.warn(f"autolog: {type(error).__name__}: {error}", LoggingWarning, stacklevel=5)
