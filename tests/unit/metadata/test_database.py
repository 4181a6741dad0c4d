from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from millwright.core.errors import Conflict, Corrupt, Denied, Invalid, Unreachable, Unsupported
from millwright.metadata.database import Database
from millwright.metadata.migrations.upgrade import HEAD, revision_of, upgrade
from millwright.metadata.parameters import in_list

INSERT = "INSERT INTO project (id, name, created_us) VALUES (:id, :name, :now) RETURNING pk"


class Project(msgspec.Struct, frozen=True):
    id: str
    name: str
    created_us: int


def add(database: Database, name: str) -> int:
    with database.write() as tx:
        return tx.insert(INSERT, id=f"prj_{name}", name=name, now=7)


def names(database: Database) -> list[str]:
    with database.read() as tx:
        return tx.column(str, "SELECT name FROM project ORDER BY pk")


class TestTransactions:
    def test_rows_are_written_in_the_order_of_their_parameters(self, database: Database) -> None:
        with database.write() as tx:
            tx.run_placed(
                "INSERT INTO project (name, id, created_us) VALUES (:name, '100%' || :id, :now)",
                [("a", "prj_a", 1), ("b", "prj_b", 2)],
            )
            tx.run_placed("INSERT INTO nowhere (id) VALUES (:id)", [])
        with pytest.raises(Conflict), database.write() as tx:
            tx.run_placed(INSERT.removesuffix(" RETURNING pk"), [("prj_c", "a", 3)])
        with database.read() as tx:
            assert tx.rows(Project, "SELECT id, name, created_us FROM project ORDER BY name") == [
                Project("100%prj_a", "a", 1),
                Project("100%prj_b", "b", 2),
            ]

    def test_what_was_written_is_read_back_in_the_shape_asked_for(self, database: Database) -> None:
        add(database, "a")
        with database.read() as tx:
            assert tx.rows(Project, "SELECT id, name, created_us FROM project") == [
                Project("prj_a", "a", 7)
            ]
            assert tx.first(tuple[str, int], "SELECT name, created_us FROM project") == ("a", 7)
            assert tx.value(int, "SELECT count(*) FROM project WHERE name = :n", n="b") == 0
            assert tx.first(Project, "SELECT * FROM project WHERE name = :n", n="b") is None

    def test_an_error_undoes_the_whole_transaction(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError), database.write() as tx:
            tx.insert(INSERT, id="prj_x", name="x", now=1)
            raise ZeroDivisionError
        assert names(database) == []

    def test_a_refused_row_is_a_conflict_and_undoes_the_rest(self, database: Database) -> None:
        add(database, "a")
        with pytest.raises(Conflict, match="refused a row"), database.write() as tx:
            tx.insert(INSERT, id="prj_b", name="b", now=1)
            tx.insert(INSERT, id="prj_c", name="a", now=1)
        assert names(database) == ["a"]

    def test_a_reader_keeps_its_snapshot(self, database: Database) -> None:
        add(database, "a")
        with database.read() as tx:
            assert tx.value(int, "SELECT count(*) FROM project") == 1
            add(database, "b")
            assert tx.value(int, "SELECT count(*) FROM project") == 1
        assert names(database) == ["a", "b"]

    def test_writers_in_threads_lose_nothing(self, database: Database) -> None:
        def work(worker: int) -> None:
            for number in range(5):
                add(database, f"w{worker}n{number}")

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(names(database))) == 20

    def test_after_commit_is_called_once_and_only_after_a_commit(self, database: Database) -> None:
        called: list[str] = []
        with database.write() as tx:
            tx.after_commit("x", lambda: called.append("kept"))
            tx.after_commit("x", lambda: called.append("asked again"))
            assert called == []
        with pytest.raises(ZeroDivisionError), database.write() as tx:
            tx.after_commit("x", lambda: called.append("undone"))
            raise ZeroDivisionError
        assert called == ["kept"]

    def test_bytes_percent_signs_and_lists_travel_unchanged(self, database: Database) -> None:
        add(database, "100 % sure")
        add(database, "b")
        fragment, params = in_list("name", ["100 % sure", "c"])
        with database.read() as tx:
            assert tx.column(
                str, f"SELECT name FROM project WHERE name IN {fragment}", **params
            ) == ["100 % sure"]
            assert tx.column(str, "SELECT name FROM project WHERE name LIKE '%sure'") == [
                "100 % sure"
            ]
            empty, none = in_list("name", [])
            assert tx.column(str, f"SELECT name FROM project WHERE name IN {empty}", **none) == []

    def test_a_value_of_the_wrong_kind_is_named(self, database: Database) -> None:
        add(database, "a")
        with database.read() as tx, pytest.raises(Corrupt, match=r"Expected `int`, got `str`"):
            tx.rows(tuple[int], "SELECT name FROM project")


class TestSchema:
    def test_an_empty_store_is_brought_to_head_and_then_left_alone(self, tmp_path: Path) -> None:
        database = Database.at(str(tmp_path / "m.db"))
        assert revision_of(database) is None
        assert upgrade(database) is None
        assert upgrade(database) == HEAD

    def test_a_newer_schema_is_refused_and_untouched(self, database: Database) -> None:
        with database.write() as tx:
            tx.run("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(Unsupported, match="schema 9999, newer"):
            upgrade(database)
        assert revision_of(database) == "9999"

    def test_two_that_upgrade_at_once_both_end_at_head(self, tmp_path: Path) -> None:
        databases = [Database.at(str(tmp_path / "m.db")) for _ in range(2)]
        threads = [threading.Thread(target=upgrade, args=(database,)) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [revision_of(database) for database in databases] == [HEAD, HEAD]

    def test_many_that_open_a_new_file_at_once_wait_for_each_other(self, tmp_path: Path) -> None:
        together = threading.Barrier(6)
        seen: list[int | None] = []

        def look(database: Database) -> None:
            together.wait()
            with database.read() as tx:
                seen.append(tx.value(int, "SELECT 1"))

        for number in range(40):
            database = Database.at(str(tmp_path / f"{number}.db"))
            threads = [threading.Thread(target=look, args=(database,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            database.close()
        assert seen == [1] * 240


class TestBadStores:
    def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "m.db"
        path.write_bytes(b"this is not a database, it only looks a little like a file" * 50)
        with pytest.raises(Corrupt, match=r"m\.db is not a sound SQLite database"):
            revision_of(Database.at(str(path)))
        assert path.read_bytes().startswith(b"this is not")

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Denied, match="cannot be opened"):
            revision_of(Database.at(str(tmp_path / "none" / "m.db")))

    def test_a_write_to_a_read_only_file_is_denied(self, sqlite_address: str) -> None:
        database = Database.at(sqlite_address)
        with pytest.raises(Denied, match="cannot be written"), database.write() as tx:
            tx.run("PRAGMA query_only = ON")
            tx.insert(INSERT, id="prj_a", name="a", now=1)

    @pytest.mark.sockets
    def test_a_server_that_does_not_answer_is_unreachable_and_its_password_unsaid(self) -> None:
        with pytest.raises(Unreachable) as caught:
            revision_of(Database.at("postgresql://mill:secret@127.0.0.1:9/nothing"))
        assert "127.0.0.1:9/nothing does not answer" in caught.value.what
        assert "secret" not in str(caught.value)

    def test_an_unknown_scheme_is_invalid(self) -> None:
        with pytest.raises(Invalid, match="'mysql' is not a database"):
            Database.at("mysql://x/y")
