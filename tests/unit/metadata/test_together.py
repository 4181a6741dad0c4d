"""Calls that share a commit: each undone alone, none kept when the commit is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from millwright.core.errors import Conflict, TimedOut
from millwright.metadata.database import Database, WouldWait, Writer

INSERT = "INSERT INTO project (id, name, created_us) VALUES (:id, :name, 7)"


def add(database: Database, name: str, *, relaxed: bool = False) -> str:
    with database.write(relaxed=relaxed) as tx:
        tx.run(INSERT, id=f"prj_{name}", name=name)
    return name


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return tx.column(str, "SELECT name FROM project ORDER BY name")


def test_each_call_gives_what_it_returned_or_raised(database: Database) -> None:
    add(database, "a")

    def broken() -> str:
        with database.write() as tx:
            tx.run(INSERT, id="prj_x", name="x")
            raise ZeroDivisionError

    outcomes = database.together(
        [lambda: add(database, "b"), lambda: add(database, "a"), broken, lambda: add(database, "c")]
    )
    assert [type(one) for one in outcomes] == [str, Conflict, ZeroDivisionError, str]
    assert names(database) == ["a", "b", "c"]


def test_a_call_reads_what_it_wrote_and_others_do_not_before_the_commit(
    database: Database,
) -> None:
    outside = Database(database.dialect)
    seen: list[list[str]] = []

    def look() -> str:
        add(database, "b")
        seen.append(names(database))
        seen.append(names(outside))
        return "b"

    database.together([lambda: add(database, "a"), look])
    outside.close()
    assert seen == [["a", "b"], []]


def test_what_is_to_come_after_the_commit_comes_once_and_not_for_what_was_undone(
    database: Database,
) -> None:
    called: list[str] = []

    def kept() -> None:
        with database.write() as tx:
            tx.after_commit("kept", lambda: called.append("kept"))

    def undone() -> None:
        with database.write() as tx:
            tx.after_commit("undone", lambda: called.append("undone"))
            raise ZeroDivisionError

    def look() -> None:
        assert called == []

    assert database.together([kept, undone, kept, look])[3] is None
    assert called == ["kept"]


def test_when_the_commit_fails_nothing_is_kept(database: Database) -> None:
    end = {
        "sqlite": "ROLLBACK",
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    }[database.dialect.name]

    def wreck() -> None:
        with database.write() as tx:
            tx.run(end)

    outcomes = database.together(
        [lambda: add(database, "a"), wreck, lambda: add(database, "none of it")]
    )
    assert all(isinstance(one, Exception) for one in outcomes)
    assert names(database) == []
    add(database, "b")
    assert names(database) == ["b"]


def test_a_relaxed_call_that_must_be_durable_is_made_again(database: Database) -> None:
    made: list[bool] = []

    def journal(tx: Writer) -> None:
        made.append(tx.is_relaxed)
        tx.require_durable()

    def call() -> None:
        with database.write(relaxed=True) as tx:
            tx.run(INSERT, id="prj_a", name="a")
            journal(tx)

    database.once(call, relaxed=True)
    assert made == ([True, False] if database.dialect.can_relax else [False])
    assert names(database) == ["a"]


def test_a_durable_call_among_relaxed_ones_makes_all_durable(database: Database) -> None:
    outcomes = database.together(
        [lambda: add(database, "a", relaxed=True), lambda: add(database, "b")], relaxed=True
    )
    assert (outcomes, names(database)) == (["a", "b"], ["a", "b"])


def test_once_raises_what_the_call_raises(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        database.once(lambda: 1 // 0)


def test_what_a_call_raises_undoes_all_that_it_wrote_before(database: Database) -> None:
    called: list[str] = []

    def twice() -> None:
        add(database, "a")
        with database.write() as tx:
            tx.after_commit("undone", lambda: called.append("undone"))
        add(database, "b")
        raise ZeroDivisionError

    outcomes = database.together([lambda: add(database, "c"), twice, lambda: add(database, "d")])
    assert [type(one) for one in outcomes] == [str, ZeroDivisionError, str]
    assert (names(database), called) == (["c", "d"], [])


def test_a_call_may_go_on_after_one_of_its_writes_was_undone(database: Database) -> None:
    def goes_on() -> str:
        add(database, "a")
        with pytest.raises(Conflict):
            add(database, "a")
        return add(database, "b")

    assert database.together([goes_on, lambda: add(database, "c")]) == ["b", "c"]
    assert names(database) == ["a", "b", "c"]


@pytest.fixture
def crossed(database: Database) -> Iterator[Crossed]:
    if database.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    other = Database(database.dialect)
    for name in ("a", "b"):
        add(database, name)
    yield Crossed(database, other)
    other.close()


@dataclass
class Crossed:
    """Two servers that change two rows in opposite order, the first time at the same time."""

    database: Database
    other: Database
    both: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=30))
    met: set[str] = field(default_factory=set[str])

    def change(self, database: Database, first: str, second: str, to: int) -> int:
        with database.write() as tx:
            tx.run("SET LOCAL deadlock_timeout = '10ms'")
            self._set(tx, first, to)
            if first not in self.met:
                self.met.add(first)
                self.both.wait()
            self._set(tx, second, to)
        return to

    def _set(self, tx: Writer, name: str, to: int) -> None:
        tx.run("UPDATE project SET created_us = :to WHERE name = :name", to=to, name=name)


def test_of_two_servers_that_wait_for_each_other_none_fails(crossed: Crossed) -> None:
    with ThreadPoolExecutor(2) as threads:
        here = threads.submit(
            crossed.database.together,
            [
                lambda: crossed.change(crossed.database, "a", "b", 1),
                lambda: len(add(crossed.database, "c")),
            ],
        )
        there = threads.submit(
            crossed.other.together, [lambda: crossed.change(crossed.other, "b", "a", 2)]
        )
        assert (here.result(60), there.result(60)) == ([1, 1], [2])
    assert names(crossed.database) == ["a", "b", "c"]


def test_one_alone_is_told_that_it_may_try_again(crossed: Crossed) -> None:
    with ThreadPoolExecutor(2) as threads:
        here = threads.submit(crossed.change, crossed.database, "a", "b", 1)
        there = threads.submit(crossed.change, crossed.other, "b", "a", 2)
        (error,) = [one for one in (here.exception(60), there.exception(60)) if one is not None]
    assert isinstance(error, TimedOut)
    assert "two writers each waited" in error.what
    assert error.fix == "try again"


class TestAtOnce:
    @pytest.fixture
    def sqlite(self, sqlite_address: str) -> Iterator[Database]:
        database = Database.at(sqlite_address)
        yield database
        database.close()

    def test_a_database_elsewhere_is_always_waited_for(self, database: Database) -> None:
        with suppress(WouldWait):
            database.at_once(lambda: add(database, "a", relaxed=True))
        assert names(database) == (["a"] if database.dialect.name == "sqlite" else [])

    def test_it_is_committed_as_telemetry_is(self, sqlite: Database) -> None:
        outside = Database(sqlite.dialect)
        assert sqlite.at_once(lambda: add(sqlite, "a", relaxed=True)) == "a"
        assert names(outside) == ["a"]
        outside.close()

    def test_what_it_raises_undoes_all_of_it(self, sqlite: Database) -> None:
        def twice() -> None:
            add(sqlite, "a", relaxed=True)
            add(sqlite, "a", relaxed=True)

        with pytest.raises(Conflict):
            sqlite.at_once(twice)
        assert names(sqlite) == []

    def test_it_waits_for_no_other_writer(self, sqlite: Database) -> None:
        outside = Database(sqlite.dialect)
        for _ in range(3):
            with outside.write() as tx:
                tx.run(INSERT, id="prj_x", name="x")
                began = time.monotonic()
                with pytest.raises(WouldWait):
                    sqlite.at_once(lambda: add(sqlite, "a", relaxed=True))
                assert time.monotonic() - began < 5
                tx.run("DELETE FROM project")
        assert sqlite.at_once(lambda: add(sqlite, "a", relaxed=True)) == "a"
        assert names(outside) == ["a"]
        outside.close()

    def test_what_must_survive_a_power_cut_goes_another_way(self, sqlite: Database) -> None:
        def first_telemetry() -> None:
            add(sqlite, "a", relaxed=True)
            add(sqlite, "b")

        with pytest.raises(WouldWait):
            sqlite.at_once(first_telemetry)
        assert names(sqlite) == []
