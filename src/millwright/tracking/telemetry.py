"""What is logged to a run: what may be, how it is stored, and the digest over all of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from millwright.core.digest import Digest, Hasher
from millwright.core.errors import Conflict, Invalid
from millwright.core.ids import RunId
from millwright.metadata.database import Reader, Writer
from millwright.metadata.tables import inputs as input_tables
from millwright.metadata.tables import runs as run_tables
from millwright.metadata.tables import telemetry as tables
from millwright.metadata.tables.telemetry import Keys
from millwright.records.runs import LoggedDataset, MetricPoint, ModelUse, RunLink

MAX_KEY_CHARS = 250
MAX_VALUE_CHARS = 8000
MAX_STEP = 2**63 - 1


class ParamChanged(Conflict):
    """A parameter has another value already; `changes` holds key, stored and new value."""

    def __init__(self, owner: str, changes: Sequence[tuple[str, str, str]]) -> None:
        key, stored, given = changes[0]
        super().__init__(
            f"{owner}: parameter {key!r} already has another value",
            why=f"it is {stored[:80]!r}, and {given[:80]!r} was given; a parameter of a run is "
            "written once, so that the run can be repeated",
            fix="start another run, or log what changes as a metric or a tag",
        )
        self.owner = owner
        self.changes = list(changes)

    def __reduce__(self) -> tuple[object, ...]:
        return ParamChanged, (self.owner, self.changes)


def check_texts(noun: str, texts: Mapping[str, str]) -> None:
    """Return when these can be parameters or tags; raises Invalid naming the first that cannot."""
    for key, value in texts.items():
        check_key(noun, key)
        if len(value) > MAX_VALUE_CHARS:
            raise Invalid(
                f"{noun} {key!r} has {len(value)} characters; {MAX_VALUE_CHARS} are allowed",
                fix="log long text as an artifact",
            )


def check_key(noun: str, key: str) -> None:
    """Return when `key` can name a metric, parameter or tag; raises Invalid."""
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise Invalid(
            f"{key[:80]!r} cannot be the name of a {noun}",
            why=f"it has 1 to {MAX_KEY_CHARS} printable characters",
        )


def stored_points(points: Sequence[MetricPoint], *, now_us: int) -> list[MetricPoint]:
    """Return the points as they are stored: a time of 0 is the present, NaN is None.

    Raises Invalid for a key that cannot be, or a step or time that no database holds.
    """
    found: list[MetricPoint] = []
    checked: set[str] = set()
    for point in points:
        if point.key not in checked:
            check_key("metric", point.key)
            checked.add(point.key)
        if not -MAX_STEP <= point.step <= MAX_STEP or not -MAX_STEP <= point.time_us <= MAX_STEP:
            raise Invalid(
                f"metric {point.key!r}: step {point.step} at {point.time_us} µs is out of range",
                why="both are whole numbers of 64 bits",
            )
        value = None if point.value is None else float(point.value)
        if value is not None and math.isnan(value):
            value = None
        if point.time_us and value is point.value:
            found.append(point)
        else:
            found.append(
                MetricPoint(
                    key=point.key, value=value, step=point.step, time_us=point.time_us or now_us
                )
            )
    return found


def store(
    tx: Writer,
    keys: Keys,
    run: RunId,
    handle: run_tables.RunHandle,
    *,
    points: Sequence[MetricPoint],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Write what was checked already; raises ParamChanged."""
    changed = tables.insert_params(tx, keys, run_pk=handle.pk, params=params)
    if changed:
        raise ParamChanged(f"run {run}", [(key, stored, params[key]) for key, stored in changed])
    tables.upsert_tags(tx, keys, run_pk=handle.pk, tags=tags)
    tables.append_points(
        tx, keys, run_pk=handle.pk, experiment_pk=handle.experiment_pk, points=points
    )


def digest_of(
    *,
    points: Iterable[MetricPoint],
    params: Mapping[str, str],
    tags: Mapping[str, str],
    links: Sequence[RunLink] = (),
    datasets: Sequence[LoggedDataset] = (),
    models: Sequence[ModelUse] = (),
    files: Mapping[str, Digest] = MappingProxyType({}),
) -> Digest:
    """Return the digest over something logged; points are taken one at a time.

    It covers the bytes of one JSON object with sorted keys, so that anybody can compute it again;
    `datasets`, `files` (path -> digest) and `models` stand in it where there are any.
    """
    hasher = Hasher()
    encode = msgspec.json.Encoder(order="sorted").encode
    hasher.update(b"{")
    if datasets:
        hasher.update(b'"datasets":' + encode(datasets) + b",")
    if files:
        hasher.update(b'"files":' + encode(dict(files)) + b",")
    hasher.update(b'"links":' + encode(links) + b',"metrics":[')
    for number, point in enumerate(points):
        hasher.update((b"," if number else b"") + encode(on_the_wire(point)))
    hasher.update(b"],")
    if models:
        hasher.update(b'"models":' + encode(models) + b",")
    hasher.update(b'"params":' + encode(params) + b',"tags":' + encode(tags) + b"}")
    return hasher.digest()


def digest_of_run(tx: Reader, run_pk: int, *, files: Mapping[str, Digest]) -> Digest:
    """Return the digest over all that was logged to a run; `files` are its artifacts."""
    return digest_of(
        points=tables.iterate_points(tx, run_pk=run_pk),
        params=tables.read_params(tx, run_pks=[run_pk]).get(run_pk, {}),
        tags=tables.read_tags(tx, run_pks=[run_pk]).get(run_pk, {}),
        links=run_tables.read_links(tx, run_pks=[run_pk]).get(run_pk, []),
        datasets=input_tables.read_datasets(tx, run_pks=[run_pk]).get(run_pk, []),
        models=input_tables.read_uses(tx, run_pks=[run_pk]).get(run_pk, []),
        files=files,
    )


def on_the_wire(point: MetricPoint) -> MetricPoint:
    """Return a point with an infinite value spelled, since JSON has no number for it."""
    if isinstance(point.value, float) and math.isinf(point.value):
        spelled = "Infinity" if point.value > 0 else "-Infinity"
        return msgspec.structs.replace(point, value=spelled)
    return point
