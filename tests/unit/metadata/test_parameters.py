"""Lists of values in a statement: one parameter, on both databases the same."""

from __future__ import annotations

import pytest

from millwright.core.errors import Invalid
from millwright.metadata.database import Database
from millwright.metadata.parameters import in_list

NAMES = ["plain", 'it\'s "quoted"', "żółć 😀", "100%", "back\\slash", ":name", "", "1"]


def fill(database: Database, names: list[str]) -> dict[str, int]:
    with database.write() as tx:
        tx.run_many(
            "INSERT INTO telemetry_key (name) VALUES (:name)", [{"name": name} for name in names]
        )
        return dict(tx.rows(tuple[str, int], "SELECT name, pk FROM telemetry_key"))


def by_name(database: Database, names: list[str]) -> set[str]:
    fragment, given = in_list("name", names)
    with database.read() as tx:
        sql = f"SELECT name FROM telemetry_key WHERE name IN {fragment}"
        return set(tx.column(str, sql, **given))


def by_key(database: Database, pks: list[int]) -> set[int]:
    fragment, given = in_list("pk", pks)
    with database.read() as tx:
        sql = f"SELECT pk FROM telemetry_key WHERE pk IN {fragment}"
        return set(tx.column(int, sql, **given))


@pytest.mark.parametrize("count", range(len(NAMES) + 1))
def test_a_list_of_texts_or_keys_finds_what_is_in_it(database: Database, count: int) -> None:
    pks = fill(database, NAMES)
    wanted = NAMES[:count]
    assert by_name(database, [*wanted, "absent"]) == set(wanted)
    assert by_name(database, wanted) == set(wanted)
    assert by_key(database, [pks[name] for name in wanted]) == {pks[name] for name in wanted}


def test_what_is_not_in_a_list_is_found_as_well(database: Database) -> None:
    fill(database, NAMES)
    fragment, given = in_list("name", NAMES[:3])
    with database.read() as tx:
        sql = f"SELECT name FROM telemetry_key WHERE name NOT IN {fragment}"
        assert set(tx.column(str, sql, **given)) == set(NAMES[3:])


def test_a_list_is_one_parameter_and_one_statement_however_long_it_is(database: Database) -> None:
    pks = fill(database, NAMES)
    fragment, given = in_list("pk", [*pks.values(), *range(10**6, 10**6 + 70_000)])
    assert (fragment, len(given)) == (in_list("pk", [1, 2])[0], 1)
    assert by_key(database, [*pks.values(), *range(10**6, 10**6 + 70_000)]) == set(pks.values())


def test_a_text_is_not_cut_at_its_nul(database: Database) -> None:
    fill(database, ["cut", "other"])
    if database.dialect.name == "sqlite":
        assert by_name(database, ["cut\0short", "other"]) == {"other"}
        return
    with pytest.raises(Invalid, match="cannot hold a value"):
        by_name(database, ["cut\0short", "other"])


def test_a_list_with_half_a_character_is_refused(database: Database) -> None:
    with pytest.raises(Invalid, match="cannot hold a value"):
        by_name(database, ["\ud83d", "other"])
