from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.core.digest import digest_bytes
from millwright.records.data import Dataset, DatasetVersion, ValidationReport

LOANS = "amount,region\n10,north\n20,south\n30,\n"

ADDED = """\
dataset  loans@v1
id  dsv_ID
digest  DIGEST
rows  3
columns  2
size  36 B
format  csv
source  loans.csv
created  TIME
"""


def test_a_file_becomes_a_version_and_the_same_bytes_stay_it(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    ended = mill.ok("data", "add", "loans.csv", "--reason", "first")
    assert ended.plain == ADDED
    assert ended.err == "Look at it: mill data profile loans@v1\n"
    again = mill.ok("data", "add", "loans.csv", "--json").record(DatasetVersion)
    assert again.version == 1
    mill.write("loans.csv", LOANS + "40,east\n")
    assert mill.ok("data", "add", "loans.csv", "--json").record(DatasetVersion).version == 2
    events = mill.ok("audit", "list", "--kind", "DatasetVersionCreated").out.splitlines()
    assert len(events) == 3


def test_an_empty_listing_says_how_to_fill_it(mill: Mill) -> None:
    ended = mill.ok("data", "list")
    assert (ended.out, ended.err) == (
        "",
        "There are no datasets yet. Add one: mill data add FILE\n",
    )
    assert mill.ok("data", "list", "--json").out == "[]\n"


def test_what_was_added_is_listed_shown_and_profiled(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    added = mill.ok("data", "add", "loans.csv", "--name", "credit", "--json").record(DatasetVersion)
    assert mill.ok("data", "list").plain == "name  newest  created  id\ncredit  v1  TIME  dat_ID\n"
    assert [one.name for one in mill.ok("--json", "data", "list").record(list[Dataset])] == [
        "credit"
    ]
    shown = mill.ok("data", "show", "credit@latest", "--json").record(DatasetVersion)
    assert shown == added
    assert mill.ok("data", "show", added.id[:12]).plain.endswith(
        "\n\ncolumn  kind  missing\namount  integer  none\nregion  text  some\n"
    )
    assert mill.ok("data", "show", "credit", "--versions").plain == (
        "version  rows  size  created  digest  id\nv1  3  36 B  TIME  DIGEST  dsv_ID\n"
    )
    assert mill.ok("data", "profile", "credit").plain == (
        "column  kind  present  missing  distinct  looks like\n"
        "amount  numeric  3  0  3  10 to 30, mean 20\n"
        "region  text  2  1  2  'north' 1, 'south' 1\n"
    )


def test_a_checkout_gives_the_bytes_back_and_overwrites_nothing(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    mill.ok("data", "add", "loans.csv")
    ended = mill.ok("data", "checkout", "loans", "back.csv")
    assert ended.plain == "back.csv  36 B  DIGEST\n"
    assert (mill.folder / "back.csv").read_text() == LOANS
    mill.ok("data", "checkout", "loans", "back.csv")
    mill.write("back.csv", "mine")
    ended = mill("data", "checkout", "loans", "back.csv")
    assert ended.code == 6
    assert ended.err.startswith("error: back.csv exists and is not loans@v1\n")
    assert (mill.folder / "back.csv").read_text() == "mine"


def test_expectations_that_are_not_met_exit_5_with_rows_as_examples(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    mill.ok("data", "add", "loans.csv")
    mill.write(
        "expect.yaml",
        "- {type: range, column: amount, high: 25}\n- {type: not_null, column: amount}\n",
    )
    said = (
        "FAIL  amount at most 25: 1 of 3 rows fail\n"
        "  row 2: value 30\n"
        "PASS  amount is never missing: all 3 rows\n"
        "1 of 2 expectations failed on 3 rows\n"
    )
    for what in ("loans@v1", "loans.csv"):
        ended = mill("data", "validate", what, "--expect", "expect.yaml")
        assert (ended.code, ended.plain) == (5, said)
    ended = mill("data", "validate", "loans", "--expect", "expect.yaml", "--json")
    assert ended.code == 5
    assert [one.passed for one in ended.record(ValidationReport).results] == [False, True]
    mill.write("expect.yaml", "- {type: not_null, column: amount}\n")
    assert mill.ok("data", "validate", "loans", "--expect", "expect.yaml").out.endswith(
        "1 expectation met on 3 rows\n"
    )


def test_a_dry_run_looks_and_changes_nothing(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    ended = mill.ok("data", "add", "loans.csv", "--dry-run")
    assert ended.plain == (
        "would add data\n  name  loans\n  format  csv\n  source  loans.csv\n"
        "loans.csv holds 3 rows in 2 columns\n"
    )
    assert ended.err == "Nothing was changed. Leave --dry-run out to do it.\n"
    assert mill.ok("data", "list", "--json").out == "[]\n"
    assert mill.ok("data", "add", "loans.csv", "--dry-run", "--json").record(dict[str, object]) == {
        "dry_run": True,
        "operation": "data.add",
        "arguments": {"name": "loans", "format": "csv", "source": "loans.csv"},
        "found": ["loans.csv holds 3 rows in 2 columns"],
    }


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("gone.csv", None, 3, "there is no file gone.csv"),
        ("empty.csv", b"", 2, "empty.csv is empty"),
        ("head.csv", b"a,b\n", 2, "head.csv"),
        ("twice.csv", b"a,b,a\n1,2,3\n", 2, "twice"),
        ("garbage.csv", bytes(range(256)) * 40, 2, "garbage.csv"),
        ("cut.parquet", b"PAR1 and no more", 2, "cut.parquet"),
        ("notes.txt", b"hello", 2, "notes.txt has no format that is known"),
    ],
)
def test_a_bad_file_is_refused_in_words_and_nothing_is_lost(
    mill: Mill, name: str, content: bytes | None, code: int, said: str
) -> None:
    mill.write("loans.csv", LOANS)
    before = mill.ok("data", "add", "loans.csv", "--json").record(DatasetVersion)
    if content is not None:
        mill.write(name, content)
    ended = mill("data", "add", name, "--name", "loans")
    assert ended.code == code, ended.err
    assert said in ended.err.splitlines()[0]
    assert len(ended.err.splitlines()) >= 2
    assert mill.ok("data", "show", "loans", "--json").record(DatasetVersion) == before
    assert mill.ok("audit", "verify", "-q").code == 0


def test_a_folder_is_no_file(mill: Mill) -> None:
    (mill.folder / "d.csv").mkdir()
    assert mill("data", "add", "d.csv").code == 2


def test_the_stored_bytes_are_the_files(mill: Mill) -> None:
    mill.write("loans.csv", LOANS)
    version = mill.ok("data", "add", str(Path("loans.csv").absolute()), "--json").record(
        DatasetVersion
    )
    assert version.digest == digest_bytes(LOANS.encode())
