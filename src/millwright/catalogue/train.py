"""The step that fits a model of trees on columns of any kind."""

from __future__ import annotations

from typing import Any

import polars as pl

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean
from millwright.pipelines.context import StepContext
from millwright.pipelines.step import step

KINDS = ("forest", "boosting")


def feature_names(rows: pl.DataFrame, excluded: list[str]) -> list[str]:
    """Return the columns to learn from; raises Invalid when none is left."""
    names = [name for name in rows.columns if name not in excluded]
    if not names:
        raise Invalid("no column is left to learn from", why=f"excluded: {', '.join(excluded)}")
    return names


@step
def train(
    rows: pl.DataFrame,
    target: str,
    excluded: list[str],
    kind: str,
    max_depth: int,
    trees: int,
    seed: int,
    ctx: StepContext,
) -> Any:
    """Return a fitted scikit-learn pipeline: numbers imputed, texts one-hot encoded, then trees.

    `kind` is `forest` (which converts to ONNX) or `boosting` (histogram gradient boosting,
    which does not). `excluded` columns, the target among them, are not learnt from. The same
    rows and parameters give the same fit.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    names = feature_names(rows, excluded)
    texts = [name for name in names if rows.schema[name] == pl.String]
    numbers = [name for name in names if name not in texts]
    makers = {
        "forest": lambda: RandomForestClassifier(
            n_estimators=trees, max_depth=max_depth, random_state=seed, n_jobs=1
        ),
        "boosting": lambda: HistGradientBoostingClassifier(
            max_iter=trees, max_depth=max_depth, random_state=seed, early_stopping=False
        ),
    }
    if kind not in makers:
        raise Invalid(
            f"no model is called {kind!r}",
            why=f"there are: {', '.join(KINDS)}",
            fix=did_you_mean(kind, KINDS),
        )
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [
            *([("numbers", SimpleImputer(strategy="median"), numbers)] if numbers else []),
            *([("texts", encoder, texts)] if texts else []),
        ]
    )
    model = Pipeline([("columns", columns), ("model", makers[kind]())])
    fitted = model.fit(rows.select(names), rows.get_column(target).to_numpy())
    for key, value in {
        "kind": kind,
        "max_depth": max_depth,
        "trees": trees,
        "seed": seed,
        "features": len(names),
        "rows": rows.height,
    }.items():
        ctx.log_param(key, value)
    return fitted
