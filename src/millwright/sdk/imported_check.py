"""What the home holds of an imported run, compared with what was found in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from millwright.core.digest import Digest
from millwright.core.ids import RunId
from millwright.doors.door import Door
from millwright.records.runs import MetricPoint
from millwright.sdk.imported_run import RunTaker, on_the_wire, refusal
from millwright.tracking.sources.found import Source

_CURVES_AT_ONCE = 500
_LONG = 10_000


def differences(door: Door, taker: RunTaker, source: Source) -> Iterator[str]:
    """Iterate over what the home holds otherwise than it was found; nothing when all is well.

    A point that the store holds twice counts once from then on.
    """
    shown, taken = door.runs.show(ref=taker.id), taker.taken
    for noun, wanted, held in (
        ("parameter", taken.params, shown.params),
        ("tag", taken.tags, shown.tags),
    ):
        for key, value in wanted.items():
            if held.get(key) != value:
                yield f"{noun} {key!r} is {held.get(key)!r:.80} and was {value!r:.80}"
    files = dict(_files_of(door, taker.id))
    for path, digest in taken.files.items():
        if files.get(path) != digest:
            yield f"artifact {path} has the digest {files.get(path)} and had {digest}"
    for key, count in _counted(door, taker.id, taken.points):
        if count != taken.points[key]:
            yield from _missing_points(door, taker, source, key)


def _counted(door: Door, run: RunId, expected: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Iterate over how many points of each metric are kept."""
    short = [key for key, count in expected.items() if count <= _LONG]
    for at in range(0, len(short), _CURVES_AT_ONCE):
        some = short[at : at + _CURVES_AT_ONCE]
        curves = door.runs.curves(runs=[run], keys=some, limit=4)
        counts = {curve.key: curve.count for curve in curves}
        yield from ((key, counts.get(key, 0)) for key in some)
    for key in expected.keys() - set(short):
        # A curve is made of all points at once; so many are better read page by page.
        yield key, sum(len(page) for page in _pages(door, run, key))


def _missing_points(door: Door, taker: RunTaker, source: Source, key: str) -> Iterator[str]:
    """Compare one metric point by point: the store may hold the same point twice."""
    wanted = {
        _known_by(on_the_wire(item))
        for item in source.items(taker.found)
        if isinstance(item, MetricPoint)
        and item.key == key
        and refusal(item.key, item.step, item.time_us) is None
    }
    taker.taken.points[key] = len(wanted)
    for page in _pages(door, taker.id, key):
        wanted.difference_update(_known_by(on_the_wire(point)) for point in page)
    if wanted:
        yield f"{len(wanted)} points of metric {key!r} are missing"


def _pages(door: Door, run: RunId, key: str) -> Iterator[list[MetricPoint]]:
    token: str | None = None
    while True:
        page = door.runs.history_page(ref=run, key=key, token=token)
        yield page.points
        token = page.next_token
        if token is None:
            return


def _known_by(point: MetricPoint) -> tuple[float | str | None, int, int]:
    return point.value, point.step, point.time_us


def _files_of(door: Door, run: RunId) -> Iterator[tuple[str, Digest]]:
    waiting = [""]
    while waiting:
        for entry in door.runs.artifacts(ref=run, folder=waiting.pop()):
            if entry.digest is None:
                waiting.append(entry.path)
            else:
                yield entry.path, entry.digest
