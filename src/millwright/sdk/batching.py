"""The queue of what is logged, and how batches are made of it.

Appending to a deque is atomic and costs a tenth of a microsecond, so that the threads which log
need no lock. Only who takes from it needs one.
"""

from __future__ import annotations

import threading
from collections import deque
from math import isfinite, isnan
from typing import TypeAlias

from millwright.records.runs import Infinite, MetricPoint
from millwright.sdk.items import MAX_BATCH_CHARS, Batch, Item, chars_in

MAX_BATCH_POINTS = 5000

Point: TypeAlias = tuple[str, float, int, int]
"""Key, value, step, time: what a call of `log_metric` leaves behind."""


class Mark:
    """Stands in the queue where somebody waits until all before it is delivered."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.delivered = False

    def settle(self, *, delivered: bool) -> None:
        """Let the one who waits go on."""
        self.delivered = delivered
        self.reached.set()


Queue: TypeAlias = deque[Point | Item | Mark]


def take(queue: Queue, marks: list[Mark]) -> Item | None:
    """Take a batch, or another item, from the queue's beginning; None when it is empty.

    What stands before another item, or before a mark, is a batch of its own. Marks that stood
    before what is returned go to `marks`.
    """
    points: list[MetricPoint] = []
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    chars = 0
    while queue and len(points) < MAX_BATCH_POINTS and chars < MAX_BATCH_CHARS:
        entry = queue[0]
        if isinstance(entry, tuple):
            key, value, step, time_us = entry
            kept = value if isfinite(value) else _spelled(value)
            points.append(MetricPoint(key=key, value=kept, step=step, time_us=time_us))
        elif isinstance(entry, Batch):
            chars += chars_in(entry.params) + chars_in(entry.tags)
            points += entry.points
            params |= entry.params
            tags |= entry.tags
        elif points or params or tags:
            break
        elif isinstance(entry, Mark):
            marks.append(entry)
        else:
            queue.popleft()
            return entry
        queue.popleft()
    if points or params or tags:
        return Batch(points=points, params=params, tags=tags)
    return None


def settle(marks: list[Mark], *, delivered: bool) -> None:
    """Let those who wait at the marks go on."""
    for mark in marks:
        mark.settle(delivered=delivered)
    marks.clear()


def _spelled(value: float) -> Infinite | None:
    """Return what stands for a number that JSON does not have."""
    if isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"
