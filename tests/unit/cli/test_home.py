"""What can be wrong with a home or its settings, through commands that meet it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.cli.config import Setting
from millwright.doors.jobs import Status
from millwright.records.access import Actor
from millwright.workspace.doctor import Finding

STATUS = """\
project  default
home  hom_ID
version  VERSION
datasets  1
runs  0
models  0
deployments  0
open alerts  0
waiting approvals  0
jobs  0 queued, 0 running
events  5
last event  TIME
"""


NO_HOME = "why: it has no database and no keys\nfix: make one: mill init\n"


def database(mill: Mill) -> Path:
    return mill.folder / ".millwright/millwright.db"


def test_status_counts_and_says_what_comes_next(mill: Mill) -> None:
    assert mill.ok("status").err == "Add data: mill data add FILE\n"
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv")
    found = mill.ok("status", "--json").record(Status)
    ended = mill.ok("status")
    assert ended.plain == STATUS.replace("VERSION", found.version)
    assert ended.err == "Run a pipeline: mill run FILE.py\n"
    assert (found.datasets, found.events) == (1, 5)


def test_whoami_is_the_user_of_the_machine_or_who_is_named(mill: Mill) -> None:
    me = mill.ok("whoami", "--json").record(Actor)
    assert mill.ok("whoami").out.startswith(f"name     {me.name}\n")
    mill.ok("user", "create", "ada", "--role", "viewer")
    assert mill.ok("whoami", "--as", "ada", "--json").record(Actor).name == "ada"
    ended = mill("project", "create", "x", "--as", "ada")
    assert ended.code == 4
    assert mill("whoami", "--as", "nobody").code == 3


def test_a_sound_home_has_nothing_to_complain_of(mill: Mill) -> None:
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv")
    ended = mill.ok("doctor")
    lines = ended.plain.splitlines()
    assert lines[0] == f"PASS  home  {mill.folder}/.millwright"
    assert lines[-2:] == [
        "PASS  artifacts  2 of 2 stored objects read again",
        "8 checks: all is well",
    ]


def test_without_a_home_every_command_says_how_to_make_one(nowhere: Mill) -> None:
    for words in (["status"], ["data", "list"], ["audit", "verify"]):
        ended = nowhere(*words)
        assert (ended.code, ended.err) == (
            3,
            f"error: there is no home in {nowhere.folder}/.millwright\n" + NO_HOME,
        )
    ended = nowhere("doctor")
    assert ended.code == 5
    assert ended.out.splitlines()[-1] == "1 of 1 check found a problem"


def test_a_database_that_is_none_is_named_and_left_alone(mill: Mill) -> None:
    database(mill).write_bytes(b"this is no database " * 100)
    ended = mill("status")
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.splitlines()[0].endswith("millwright.db is not a sound SQLite database")
    assert ended.err.splitlines()[-1].startswith("fix: nothing was changed")
    ended = mill("doctor", "--json")
    assert ended.code == 5
    found = {one.name: one.ok for one in ended.record(list[Finding])}
    assert found["database"] is False
    assert found["key"] is True
    assert database(mill).read_bytes() == b"this is no database " * 100


def test_a_newer_schema_is_refused_and_left_alone(mill: Mill) -> None:
    with sqlite3.connect(database(mill)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    ended = mill("data", "list")
    assert (ended.code, ended.out) == (1, "")
    assert "has schema 9999, newer than this Millwright knows" in ended.err
    assert ended.err.splitlines()[-1].startswith("fix: upgrade Millwright")
    assert mill("doctor").code == 5


def test_a_changed_artifact_is_named_when_it_is_read(mill: Mill) -> None:
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv")
    stored = [path for path in (mill.folder / ".millwright/artifacts").rglob("*") if path.is_file()]
    for path in stored:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1])
    for words in (["data", "checkout", "loans", "back.csv"], ["data", "profile", "loans"]):
        ended = mill(*words)
        assert ended.code == 5
        assert ".millwright/artifacts/" in ended.err
    ended = mill("doctor")
    assert ended.code == 5
    assert "FAIL  artifacts" in ended.out
    assert not (mill.folder / "back.csv").exists()


def test_a_changed_event_is_found_with_its_place(mill: Mill) -> None:
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv")
    assert mill.ok("audit", "verify").plain.startswith("OK  5 events, root HASH\n")
    with sqlite3.connect(database(mill)) as connection:
        connection.execute("UPDATE event SET leaf = zeroblob(length(leaf)) WHERE place = 3")
    connection.close()
    ended = mill("audit", "verify")
    assert ended.code == 5
    assert "FAIL  place 3: " in ended.out
    ended = mill("doctor")
    assert ended.code == 5
    assert "FAIL  journal" in ended.out


def test_a_key_that_others_can_read_is_refused(mill: Mill) -> None:
    for path in (mill.folder / ".millwright/keys").iterdir():
        path.chmod(0o644)
    ended = mill("status")
    assert ended.code == 4
    assert ended.err.splitlines()[-1].startswith("fix: chmod 600 ")


def test_a_home_that_cannot_be_written_is_denied_and_says_what_to_do(mill: Mill) -> None:
    command = [sys.executable, "-m", "millwright", "audit", "list"]
    if os.geteuid() == 0:
        # Root may write everywhere, unless it gives that up.
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root may write everywhere, and there is no setpriv to give that up with")
        command = [setpriv, "--bounding-set=-dac_override,-dac_read_search", *command]
    home = mill.folder / ".millwright"
    everything = [home, *home.rglob("*")]
    for path in everything:
        path.chmod(0o500 if path.is_dir() else 0o400)
    done = subprocess.run(
        command, cwd=mill.folder, capture_output=True, text=True, check=False, timeout=60
    )
    for path in everything:
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"error: {home}/millwright.db cannot be ")
    assert lines[-1].startswith("fix: ")
    assert "--home" in lines[-1]
    mill.ok("audit", "verify")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('projet = "x"\n', "has the unknown key 'projet'"),
        ("[policy]\nneeds_gates = false\n", "has the unknown key 'policy.needs_gates'"),
        ("project = 3\n", "has a value of the wrong kind"),
        ("project = \n", "is not readable TOML"),
    ],
)
def test_settings_with_a_fault_are_refused_by_every_command(
    mill: Mill, content: str, said: str
) -> None:
    mill.write("millwright.toml", content)
    for words in (["status"], ["data", "list"], ["config"], ["init"], ["doctor"]):
        ended = mill(*words)
        assert ended.code == 2, words
        assert said in ended.err.splitlines()[0]


def test_config_says_where_each_setting_comes_from_and_hides_secrets(mill: Mill) -> None:
    mill.environment = {
        "MILLWRIGHT_TOKEN": "mw_secret",
        "MILLWRIGHT_DATABASE": "postgresql://ada:hunter2@db/mill",
        "MILLWRIGHT_PROJECT": "other",
    }
    ended = mill.ok("config", "--as", "ada", "--json")
    found = {one.name: (one.value, one.source) for one in ended.record(list[Setting])}
    assert found["home"] == (str(mill.folder / ".millwright"), str(mill.folder / "millwright.toml"))
    assert found["project"] == ("other", "MILLWRIGHT_PROJECT")
    assert found["actor"] == ("ada", "--as")
    assert found["token"] == ("(hidden)", "MILLWRIGHT_TOKEN")
    assert found["database"] == ("postgresql://ada:(hidden)@db/mill", "MILLWRIGHT_DATABASE")
    assert found["policy.needs_gate"] == (True, "default")
    for hidden in ("mw_secret", "hunter2"):
        assert hidden not in ended.out
        assert hidden not in mill.ok("config").out


def test_a_home_named_by_hand_beats_the_server_in_the_file(mill: Mill) -> None:
    mill.write("millwright.toml", 'url = "http://127.0.0.1:9"\n')
    assert mill("doctor").code == 1
    mill.ok("doctor", "--home", ".millwright")
