from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.foreign import T0_S, T0_US, put_doubles
from millwright.core.errors import Corrupt
from millwright.records.runs import MetricPoint
from millwright.tracking.sources import events
from millwright.tracking.sources.events import EventReader
from millwright.tracking.sources.found import (
    FoundBytes,
    FoundEnd,
    FoundParams,
    FoundRow,
    Item,
    Unread,
)
from millwright.tracking.sources.wire import (
    put_bytes,
    put_double,
    put_float,
    put_integer,
)

PNG = b"\x89PNG\r\n\x1a\n rest"


def read(*summaries: bytes, step: int = 3) -> list[Item]:
    """Return what a run's events with these summaries say."""
    reader = EventReader()
    found: list[Item] = []
    for summary in summaries:
        found += reader.read(events.event(T0_S, step=step, summary=summary), "here")
    return found


def tagged(tag: str, plugin: str | None, *fields: bytes) -> bytes:
    """Return a summary of one value, with the plugin it is for where one is named."""
    metadata = b"" if plugin is None else put_bytes(9, put_bytes(1, put_bytes(1, plugin)))
    return put_bytes(1, put_bytes(1, tag) + b"".join(fields) + metadata)


def tensor(kind: int, shape: tuple[int, ...], *values: bytes) -> bytes:
    dims = b"".join(put_bytes(2, put_integer(1, size)) for size in shape)
    return put_bytes(8, put_integer(1, kind) + put_bytes(2, dims) + b"".join(values))


def test_a_scalar_is_a_point_in_both_dialects() -> None:
    expected = [MetricPoint(key="loss", value=0.5, step=3, time_us=T0_US)]
    assert read(events.scalar("loss", 0.5)) == expected
    assert read(tagged("loss", "scalars", tensor(1, (), put_float(5, 0.5)))) == expected
    assert read(tagged("loss", None, tensor(2, (1,), put_double(6, 0.5)))) == expected


def test_what_is_no_number_is_none_and_infinite_ones_are_kept() -> None:
    found = read(events.scalar("a", math.nan), events.scalar("b", -math.inf))
    assert [point.value for point in found if isinstance(point, MetricPoint)] == [None, -math.inf]


def test_the_plugin_of_a_tag_is_remembered_when_only_the_first_event_names_it() -> None:
    table = tensor(2, (1, 3), put_doubles(6, [0.0, 1.0, 5.0]))
    found = read(tagged("w", "histograms", table), tagged("w", None, table))
    row = FoundRow(
        table="histograms/w", row={"step": 3, "time_us": T0_US, "buckets": [[0.0, 1.0, 5.0]]}
    )
    assert found == [row, row]


def test_an_old_histogram_has_its_buckets_between_its_extremes() -> None:
    histogram = (
        put_double(1, -1.0)
        + put_double(2, 4.0)
        + put_double(3, 3.0)
        + put_double(4, 2.0)
        + put_doubles(6, [0.0, 1.0, 1e300])
        + put_doubles(7, [1.0, 0.0, 2.0])
    )
    assert read(tagged("w", None, put_bytes(5, histogram))) == [
        FoundRow(
            table="histograms/w",
            row={
                "step": 3,
                "time_us": T0_US,
                "buckets": [[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 4.0, 2.0]],
                "count": 3.0,
                "sum": 2.0,
            },
        )
    ]


def test_texts_are_rows() -> None:
    assert read(events.text("note", "hello")) == [
        FoundRow(table="texts/note", row={"step": 3, "time_us": T0_US, "text": "hello"})
    ]
    two = tensor(7, (2,), put_bytes(8, "a"), put_bytes(8, "b"))
    assert read(tagged("note", "text", two)) == [
        FoundRow(table="texts/note", row={"step": 3, "time_us": T0_US, "texts": ["a", "b"]})
    ]


def test_images_and_sounds_are_files() -> None:
    image = events.image("digits", PNG, width=2, height=2)
    assert read(image) == [FoundBytes(path="images/digits/3.png", data=PNG)]
    held = [put_bytes(8, one) for one in (b"2", b"2", PNG, b"\xff\xd8\xff")]
    assert read(tagged("digits", "images", tensor(7, (4,), *held))) == [
        FoundBytes(path="images/digits/3-0.png", data=PNG),
        FoundBytes(path="images/digits/3-1.jpg", data=b"\xff\xd8\xff"),
    ]
    clips = [put_bytes(8, one) for one in (b"RIFF1", b"label")]
    assert read(tagged("voice", "audio", tensor(7, (1, 2), *clips))) == [
        FoundBytes(path="audio/voice/3.wav", data=b"RIFF1")
    ]
    old = tagged("voice", None, put_bytes(6, put_bytes(4, b"????")))
    assert read(old) == [FoundBytes(path="audio/voice/3.bin", data=b"????")]


def test_a_tag_cannot_lead_out_of_the_artifacts() -> None:
    found = read(events.image("../../../etc/cron", PNG, width=1, height=1))
    assert found == [FoundBytes(path="images/%2E%2E/%2E%2E/%2E%2E/etc/cron/3.png", data=PNG)]


def test_hyperparameters_are_parameters() -> None:
    def value(number: int, field: bytes) -> bytes:
        return put_bytes(1, put_bytes(1, f"p{number}") + put_bytes(2, field))

    inner = put_bytes(1, put_bytes(1, "k") + put_bytes(2, put_double(2, 1.5)))
    entries = (
        value(0, put_double(2, 32.0))
        + value(1, put_double(2, 0.1))
        + value(2, put_bytes(3, "adam"))
        + value(3, put_integer(4, 1))
        + value(4, put_integer(1, 0))
        + value(5, put_bytes(5, inner))
        + value(6, put_bytes(6, put_bytes(1, put_double(2, 1.0)) + put_bytes(1, put_double(2, 2))))
    )
    started = put_bytes(
        9, put_bytes(1, put_bytes(1, "hparams") + put_bytes(2, put_bytes(3, entries)))
    )
    ended = put_bytes(4, put_integer(1, 2) + put_double(2, T0_S + 9))
    closing = put_bytes(9, put_bytes(1, put_bytes(1, "hparams") + put_bytes(2, ended)))
    found = read(
        put_bytes(1, put_bytes(1, "_hparams_/session_start_info") + started),
        put_bytes(1, put_bytes(1, "_hparams_/session_end_info") + closing),
    )
    params = {
        "p0": "32",
        "p1": "0.1",
        "p2": "adam",
        "p3": "true",
        "p4": "null",
        "p5": '{"k":1.5}',
        "p6": "[1,2]",
    }
    assert found == [
        FoundParams(params=params),
        FoundEnd(status="failed", end_us=T0_US + 9_000_000),
    ]


def test_our_own_hyperparameters_come_back() -> None:
    assert read(events.hparams({"depth": "3"}, start_s=T0_S)) == [
        FoundParams(params={"depth": "3"})
    ]


def test_a_value_nested_without_end_is_refused() -> None:
    value = put_double(2, 1.0)
    for _ in range(40):
        value = put_bytes(6, put_bytes(1, value))
    entry = put_bytes(1, put_bytes(1, "p") + put_bytes(2, value))
    metadata = put_bytes(1, put_bytes(1, "hparams") + put_bytes(2, put_bytes(3, entry)))
    with pytest.raises(Corrupt, match="nested too deeply"):
        read(put_bytes(1, put_bytes(9, metadata)))


def test_a_tensor_of_another_plugin_is_kept_as_rows() -> None:
    found = read(
        tagged("pr", "pr_curves", tensor(1, (2, 2), *[put_float(5, one) for one in range(4)]))
    )
    row = {"step": 3, "time_us": T0_US, "shape": [2, 2], "values": [0.0, 1.0, 2.0, 3.0]}
    assert found == [FoundRow(table="pr_curves/pr", row=row)]


def test_what_has_no_place_is_named_once() -> None:
    reader = EventReader()
    session = put_double(1, T0_S) + put_bytes(7, b"")
    graph = put_double(1, T0_S) + put_bytes(4, b"graph")
    found = [*reader.read(session, "a"), *reader.read(session, "b"), *reader.read(graph, "c")]
    assert found == [
        Unread(where="a", why="a session log has no place here; others are passed over"),
        FoundBytes(path="graph.pb", data=b"graph"),
    ]
    assert read(tagged("x", None)) == [
        Unread(where="here", why="the value of 'x' is of no known kind")
    ]


@pytest.mark.parametrize("wall_time", [0.0, -1.0, math.nan, math.inf, 1e200])
def test_a_time_that_is_none_is_the_beginning_of_time(wall_time: float) -> None:
    reader = EventReader()
    found = list(reader.read(events.event(wall_time, summary=events.scalar("a", 1.0)), "here"))
    assert found == [MetricPoint(key="a", value=1.0, step=0, time_us=1)]


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for one in (data, put_bytes(5, data), put_bytes(5, put_bytes(1, data))):
        with suppress(Corrupt):
            list(EventReader().read(one, "here"))
