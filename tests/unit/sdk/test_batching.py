from __future__ import annotations

import math
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from millwright.records.runs import MetricPoint
from millwright.sdk.batching import MAX_BATCH_POINTS, Mark, Point, Queue, settle, take
from millwright.sdk.items import MAX_BATCH_CHARS, Batch, Item, Resumed


def queue_of(*entries: Point | Item | Mark) -> Queue:
    return deque(entries)


def test_what_stands_together_is_one_batch() -> None:
    queue = queue_of(
        ("auc", 0.5, 1, 10),
        Batch(params={"a": "1"}),
        Batch(tags={"k": "old"}),
        ("auc", 0.6, 2, 20),
        Batch(tags={"k": "new"}),
    )
    assert take(queue, []) == Batch(
        points=[
            MetricPoint(key="auc", value=0.5, step=1, time_us=10),
            MetricPoint(key="auc", value=0.6, step=2, time_us=20),
        ],
        params={"a": "1"},
        tags={"k": "new"},
    )
    assert take(queue, []) is None


def test_long_texts_are_no_larger_together_than_a_server_takes() -> None:
    half = {"k": "x" * (MAX_BATCH_CHARS // 2)}
    queue = queue_of(*(Batch(tags={f"{n}": half["k"]}) for n in range(5)))
    taken: list[Item] = []
    while (part := take(queue, [])) is not None:
        taken.append(part)
    assert [len(part.tags) for part in taken if isinstance(part, Batch)] == [2, 2, 1]


def test_numbers_that_json_lacks_are_spelled() -> None:
    values = (math.nan, math.inf, -math.inf, 1e308)
    batch = take(queue_of(*(("a", value, 0, 1) for value in values)), [])
    assert isinstance(batch, Batch)
    assert [point.value for point in batch.points] == [None, "Infinity", "-Infinity", 1e308]


def test_another_item_keeps_its_place() -> None:
    queue = queue_of(("a", 1.0, 0, 1), Resumed(), ("a", 2.0, 0, 2))
    found = [take(queue, []) for _ in range(4)]
    assert [type(item).__name__ for item in found] == ["Batch", "Resumed", "Batch", "NoneType"]


def test_a_mark_is_handed_over_when_all_before_it_is_taken() -> None:
    mark, marks = Mark(), list[Mark]()
    queue = queue_of(("a", 1.0, 0, 1), mark, ("a", 2.0, 0, 2))
    take(queue, marks)
    assert marks == []
    take(queue, marks)
    assert marks == [mark]
    settle(marks, delivered=True)
    assert mark.reached.is_set()
    assert mark.delivered
    assert marks == []


@given(st.integers(0, 3 * MAX_BATCH_POINTS))
def test_a_batch_is_bounded_and_nothing_is_lost(count: int) -> None:
    queue = queue_of(*(("a", 1.0, step, 1) for step in range(count)))
    seen: list[int] = []
    while (batch := take(queue, [])) is not None:
        assert isinstance(batch, Batch)
        assert len(batch.points) <= MAX_BATCH_POINTS
        seen += [point.step for point in batch.points]
    assert seen == list(range(count))
