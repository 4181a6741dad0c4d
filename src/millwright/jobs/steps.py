"""Memoised steps: what a job has done stays done when another process takes the job up.

A step's result is stored as JSON, in one transaction with the check that the job is still
held. A step may be begun twice, when its process dies between the work and the storing, so
its work should be harmless to repeat; a change of our own database belongs in `transact`,
where change and memo are one transaction and so happen exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from millwright.core.clock import US_PER_S, Clock
from millwright.core.errors import Conflict, Invalid
from millwright.metadata.database import Database, Writer
from millwright.metadata.tables import jobs as table
from millwright.records.jobs import JobState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hold:
    """One claim of one job: what its owner shows with each report."""

    label: str
    """The job's id, for messages."""
    pk: int
    fence: int
    lease_s: float

    def until_us(self, now_us: int) -> int:
        """Return when a lease extended now runs out."""
        return now_us + round(self.lease_s * US_PER_S)

    def refusal(self) -> Conflict:
        """Return the error for a report by one who does not hold the job any more."""
        return Conflict(
            f"{self.label} is not held under fence {self.fence} any more",
            why="it ended, was cancelled, or its lease ran out and another may have taken it up",
            fix="stop working on it; nothing of this report was kept",
        )


class Steps:
    """The steps of one job, written under one hold."""

    def __init__(self, database: Database, clock: Clock, hold: Hold) -> None:
        self._database = database
        self._clock = clock
        self._hold = hold
        self._named: set[str] = set()

    def run(self, name: str, fn: Callable[[], object], shape: type[T]) -> T:
        """Return the stored result of step `name`, or call `fn` once and store what it returns.

        The result is what JSON makes of it (a tuple comes back as a list, NaN as null), parsed
        as `shape`: the same on the first run as on a later one. Raises Conflict when the job is
        held no more, and Invalid when a name is used twice or the result is not JSON.
        """
        self._take_name(name)
        with self._database.read() as tx:
            if table.read_hold(tx, self._hold.pk) != (self._hold.fence, JobState.RUNNING):
                raise self._hold.refusal()
            stored = table.find_step(tx, self._hold.pk, name)
        if stored is not None:
            return _parse(stored, shape, name)
        fresh = to_json(fn(), f"the result of step {name}")
        # Parsed before it is stored: what would not be understood later fails now.
        result = _parse(fresh, shape, name)
        with self._database.write() as tx:
            self._extend(tx)
            self._store(tx, name, fresh)
        return result

    def transact(self, name: str, fn: Callable[[Writer], object], shape: type[T]) -> T:
        """Like `run`, with `fn` writing in the very transaction that stores its result.

        What `fn` writes there happens exactly once, however often the job is taken up.
        """
        self._take_name(name)
        with self._database.write() as tx:
            # First, since this also locks the job's row: nobody can take it until the commit.
            self._extend(tx)
            stored = table.find_step(tx, self._hold.pk, name)
            if stored is None:
                stored = to_json(fn(tx), f"the result of step {name}")
                self._store(tx, name, stored)
            return _parse(stored, shape, name)

    def _extend(self, tx: Writer) -> None:
        until_us = self._hold.until_us(self._clock.now_us())
        if not table.extend_lease(tx, self._hold.pk, self._hold.fence, lease_until_us=until_us):
            raise self._hold.refusal()

    def _store(self, tx: Writer, name: str, result_json: str) -> None:
        now_us = self._clock.now_us()
        table.insert_step(tx, self._hold.pk, name, result_json=result_json, now_us=now_us)

    def _take_name(self, name: str) -> None:
        if name in self._named:
            raise Invalid(
                f"the step {name} was run twice in {self._hold.label}",
                why="a step's result is kept by its name, so the second would get the first's",
                fix="give each step of a job its own name, such as 'load 1', 'load 2'",
            )
        self._named.add(name)


def to_json(value: object, noun: str) -> str:
    """Return `value` as JSON text; raises Invalid naming `noun` when JSON cannot hold it."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError) as error:
        raise Invalid(f"{noun} cannot be stored as JSON", why=str(error)) from error


def _parse(stored: str, shape: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(stored, type=shape)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"the result of step {name} is not what was expected",
            why=str(error),
            fix="after a change of what a step returns, give it a new name",
        ) from error
