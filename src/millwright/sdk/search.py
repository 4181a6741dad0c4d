"""`mw.search_runs`: runs by filter and order, as records or as a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from millwright.core.errors import Unsupported
from millwright.records.runs import Run
from millwright.sdk.connection import find_config, open_door
from millwright.tracking.columns import check_columns, fields_of

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    import polars as pl

    from millwright.doors.door import Door
    from millwright.records.runs import Lifecycle, RunKind
    from millwright.workspace.config import Config

PAGE = 1000
KINDS: tuple[RunKind, ...] = ("script", "pipeline")


class FoundRuns(list[Run]):
    """Runs that a search found, in its order."""

    def __init__(self, runs: Sequence[Run], columns: Sequence[str] | None = None) -> None:
        super().__init__(runs)
        self._columns = None if columns is None else list(columns)

    def to_polars(self) -> pl.DataFrame:
        """Return them as a Polars frame: a row a run, a column for each thing logged."""
        from millwright.tracking.export import frame_of

        return frame_of(self, self._columns)

    def to_pandas(self) -> pd.DataFrame:
        """Return them as a pandas frame; raises Unsupported where pandas is not installed."""
        try:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise Unsupported(
                "there is no pandas here", fix="install pandas, or use to_polars()"
            ) from error
        frame = self.to_polars()
        values: dict[str, object] = {name: frame[name].to_list() for name in frame.columns}
        for name in {"started", "ended"} & values.keys():
            # A column of times that is empty would come out as one of objects.
            values[name] = pd.to_datetime(frame[name].to_list(), utc=True)  # pyright: ignore[reportUnknownMemberType]
        return pd.DataFrame(values)


def search_runs(
    filter: str = "",  # noqa: A002 (the door's word)
    *,
    order: str | Sequence[str] = (),
    columns: str | Sequence[str] | None = None,
    experiments: str | Sequence[str] = (),
    kinds: Sequence[RunKind] = KINDS,
    lifecycle: Lifecycle = "active",
    limit: int | None = 1000,
    config: Config | None = None,
) -> FoundRuns:
    """Return the runs that fit a filter, as many as `limit` (None for all).

    `filter` is as `metrics.auc > 0.9 and params.max_depth = '3'`, `order` as `metrics.auc desc`.
    With `columns`, as `metrics.auc` and `status`, only these are read and shown. Raises Invalid,
    saying where, for what cannot be read, and NotFound for an unknown experiment.
    """
    with closing(open_door(find_config() if config is None else config)) as door:
        return _search(
            door,
            filter_=filter,
            order=_listed(order),
            columns=None if columns is None else _listed(columns),
            experiments=_listed(experiments),
            kinds=kinds,
            lifecycle=lifecycle,
            limit=limit,
        )


def _listed(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _search(
    door: Door,
    *,
    filter_: str,
    order: Sequence[str],
    columns: Sequence[str] | None,
    experiments: Sequence[str],
    kinds: Sequence[RunKind],
    lifecycle: Lifecycle,
    limit: int | None,
) -> FoundRuns:
    fields: list[str] | None = None
    if columns is not None:
        from millwright.tracking.export import ATTRIBUTES

        columns = check_columns(columns, ATTRIBUTES)
        fields = fields_of(columns)
    for name in experiments:
        door.experiments.show(ref=name)
    runs: list[Run] = []
    token: str | None = None
    while limit is None or len(runs) < limit:
        found = door.runs.search(
            filter=filter_,
            order=list(order),
            experiments=list(experiments),
            kinds=list(kinds),
            lifecycle=lifecycle,
            fields=fields,
            limit=PAGE if limit is None else min(PAGE, limit - len(runs)),
            token=token,
        )
        runs += found.runs
        token = found.next_token
        if token is None:
            break
    return FoundRuns(runs, columns)
