from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.homes import SOURCE, Place
from millwright.core.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Unreachable,
    Unsupported,
)
from millwright.journal.checkpoints import KEY_FILE
from millwright.metadata.database import Database
from millwright.records.access import ActorKind, Permission, Role
from millwright.testing.clock import FakeClock
from millwright.workspace.config import load_config
from millwright.workspace.open import (
    DATABASE_FILE,
    KEYS_FOLDER,
    Home,
    Workspace,
    system_user,
)

CREATE = """
import sys
from pathlib import Path
from millwright.workspace.open import Home

print("ready", flush=True)
sys.stdin.readline()
home = Home.create(Path(sys.argv[1]), database=sys.argv[2] or None)
print(home.id, len(home.journal.events()))
home.close()
"""


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path) -> Home:
    """A home on a SQLite file of its own, closed."""
    path = tmp_path / "home"
    path.mkdir()
    shutil.copy(sqlite_template, path / DATABASE_FILE)
    home = Home.create(path, clock=FakeClock())
    home.close()
    return home


class TestCreate:
    def test_a_new_home_tells_of_itself(self, place: Place) -> None:
        events = place.events()
        assert [one.kind for one in events] == [
            "ProjectCreated",
            "HomeCreated",
            "ActorCreated",
            "RoleGranted",
        ]
        made = events[1].detail or {}
        assert made["home"] == place.home.id
        assert str(made["key"]).startswith(f"millwright/{place.home.id}+")
        me = place.home.principal()
        assert (me.name, me.kind) == (system_user(), ActorKind.PERSON)
        assert me.grants == {0: frozenset({Role.ADMIN})}
        assert {one.actor for one in events} == {me.actor}
        assert place.home.verify().ok

    def test_made_again_it_is_the_same_home(self, place: Place) -> None:
        again = Home.create(place.home.path, database=place.address, clock=place.clock)
        assert again.id == place.home.id
        again.close()
        assert len(place.events()) == 4

    def test_another_folder_on_its_database_makes_no_second_key(
        self, place: Place, tmp_path: Path
    ) -> None:
        address = place.address or str(place.home.path / DATABASE_FILE)
        with pytest.raises(Conflict, match="signing key"):
            Home.create(tmp_path / "second", database=address)
        assert not (tmp_path / "second" / KEYS_FOLDER).exists()

    def test_two_processes_that_make_it_at_once_make_one(
        self, address: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "home"
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CREATE, str(path), address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        said = [child.communicate(timeout=60) for child in children]
        assert [
            (child.returncode, errors) for child, (_, errors) in zip(children, said, strict=True)
        ] == [(0, "")] * 2
        assert said[0][0] == said[1][0]
        assert said[0][0].split()[1] == "4"
        home = Home.open(path, database=address)
        assert home.verify().ok
        assert [one.kind for one in home.journal.events()].count("HomeCreated") == 1
        home.close()

    def test_the_key_is_closed_to_others_and_not_in_the_database(self, home: Home) -> None:
        key = home.path / KEYS_FOLDER / KEY_FILE
        assert key.stat().st_mode & 0o077 == 0
        secret = key.read_bytes().splitlines()[1]
        for path in home.path.glob(f"{DATABASE_FILE}*"):
            assert secret not in path.read_bytes()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_is_denied(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(Denied, match="no home can be made in"):
            Home.create(tmp_path / "home")

    def test_a_file_in_the_way_is_denied(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("not a folder")
        with pytest.raises(Denied, match="no home can be made in") as caught:
            Home.create(tmp_path / "home")
        assert caught.value.fix == "name a folder you may write to with --home"


def remove_database(path: Path) -> None:
    (path / DATABASE_FILE).unlink()


def remove_keys(path: Path) -> None:
    shutil.rmtree(path / KEYS_FOLDER)


def remove_key(path: Path) -> None:
    (path / KEYS_FOLDER / KEY_FILE).unlink()


def open_key(path: Path) -> None:
    (path / KEYS_FOLDER / KEY_FILE).chmod(0o644)


def spoil_key(path: Path) -> None:
    (path / KEYS_FOLDER / KEY_FILE).write_bytes(b"no key")


def spoil_database(path: Path) -> None:
    for wal in path.glob(f"{DATABASE_FILE}-*"):
        wal.unlink()
    (path / DATABASE_FILE).write_bytes(b"this is no database " * 1000)


def age_database(path: Path) -> None:
    database = Database.at(str(path / DATABASE_FILE))
    with database.write() as tx:
        tx.run("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def forget_home(path: Path) -> None:
    database = Database.at(str(path / DATABASE_FILE))
    with database.write() as tx:
        tx.run("DELETE FROM home")
    database.close()


class TestOpen:
    @pytest.mark.parametrize(
        ("harm", "error", "said"),
        [
            (remove_database, NotFound, "there is no home in"),
            (remove_keys, NotFound, "there is no home in"),
            (remove_key, NotFound, "there is no signing key at"),
            (open_key, Denied, "is open to other users"),
            (spoil_key, Corrupt, "signing key|key"),
            (spoil_database, Corrupt, "not a sound SQLite database"),
            (age_database, Unsupported, "schema 9999, newer than this Millwright knows"),
            (forget_home, NotFound, "was never finished"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_is_made_or_changed(
        self, home: Home, harm: Callable[[Path], None], error: type[Exception], said: str
    ) -> None:
        harm(home.path)
        before = sorted(path.name for path in home.path.iterdir() if "db-" not in path.name)
        with pytest.raises(error, match=said):
            Home.open(home.path)
        after = sorted(path.name for path in home.path.iterdir() if "db-" not in path.name)
        assert after == before

    def test_an_empty_folder_is_no_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NotFound, match="there is no home in") as caught:
            Home.open(tmp_path / "nowhere")
        assert (caught.value.exit_code, caught.value.fix) == (
            3,
            f"make one: mill init --home {tmp_path}/nowhere",
        )
        assert not (tmp_path / "nowhere").exists()

    def test_a_database_that_does_not_answer_is_unreachable(self, home: Home) -> None:
        with pytest.raises(Unreachable, match=r"PostgreSQL at 127\.0\.0\.1:1/mill"):
            Home.open(home.path, database="postgresql://mill:secret@127.0.0.1:1/mill")

    def test_an_unfinished_home_is_finished_by_making_it_again(self, home: Home) -> None:
        forget_home(home.path)
        # Its first transaction was undone as a whole.
        database = Database.at(str(home.path / DATABASE_FILE))
        with database.write() as tx:
            for table in ("role_grant", "actor"):
                tx.run(f"DELETE FROM {table}")
            tx.run("UPDATE project SET name = 'old'")
        database.close()
        again = Home.create(home.path)
        assert again.id != home.id
        again.close()
        opened = Home.open(home.path)
        assert opened.id == again.id
        opened.close()


class TestDoors:
    def test_a_door_opened_by_its_settings_closes_its_home(self, home: Home) -> None:
        config = load_config(environment={}, folder=home.path.parent, home=home.path)
        with Workspace.open(config) as workspace:
            assert workspace.home.id == home.id
            assert workspace.access.whoami().name == system_user()
        with pytest.raises(NotFound):
            Workspace.open(load_config(environment={}, folder=home.path.parent))

    def test_it_is_made_when_asked_for(self, tmp_path: Path) -> None:
        folder = tmp_path / "fresh"
        folder.mkdir()
        config = load_config(
            environment={"MILLWRIGHT_DATABASE": str(tmp_path / "new.db")}, folder=folder
        )
        with Workspace.open(config, create=True) as workspace:
            assert workspace.home.path == folder / ".millwright"

    def test_an_unknown_project_or_actor_is_not_found(self, home: Home) -> None:
        for given in ({"project": "defualt"}, {"actor": "nobody"}):
            config = load_config(environment={}, folder=home.path.parent, home=home.path, **given)
            with pytest.raises(NotFound):
                Workspace.open(config)

    def test_who_is_disabled_opens_no_door(self, sqlite_place: Place) -> None:
        sqlite_place.person("eve")
        sqlite_place.home.directory.disable("eve", act=sqlite_place.act)
        with pytest.raises(Denied, match="eve is disabled"):
            sqlite_place.home.principal("eve")

    def test_two_homes_open_at_once_see_each_other(self, place: Place) -> None:
        other = place.reopened()
        ref = place.passed()
        assert other.me.models.show(ref=ref) == place.me.models.show(ref=ref)
        assert other.events() == place.events()


class TestServices:
    def test_a_service_account_is_made_once(self, place: Place) -> None:
        session = place.me.session
        first = place.home.ensure_service("worker", session)
        assert (first.kind, first.grants) == (
            ActorKind.SERVICE,
            {session.key: frozenset({Role.SERVICE})},
        )
        assert place.reopened().home.ensure_service("worker", session) == first

    def test_an_unknown_kind_or_role_makes_nobody(self, sqlite_place: Place) -> None:
        before = sqlite_place.me.access.actors()
        for given in ({"kind": "robot"}, {"role": "king"}):
            with pytest.raises(Invalid):
                sqlite_place.me.access.create_actor(name="hal", **given)
        assert sqlite_place.me.access.actors() == before

    def test_a_denial_is_journaled_with_what_was_tried(self, sqlite_place: Place) -> None:
        place = sqlite_place
        eve = place.person("eve", "viewer").session.principal
        place.home.note_denial(eve, Permission.MODEL_PROMOTE, "default", path="/api/v1/x")
        found = place.events("AccessDenied")
        assert [(one.actor, one.detail) for one in found] == [
            (eve.actor, {"reason": "", "permission": "model.promote", "path": "/api/v1/x"})
        ]

    def test_an_event_is_proved_under_a_checkpoint_only_in_its_own_project(
        self, place: Place
    ) -> None:
        event = place.events()[-1]
        proof = place.me.audit.prove(id=event.id)
        assert (proof.event, proof.index) == (event.id, event.place)
        place.me.access.create_project(name="other")
        other = place.home.door(place.me.session.principal, "other")
        with pytest.raises(NotFound, match="there is no event"):
            other.audit.prove(id=event.id)

    def test_waiting_for_plans_ends_when_one_changes_or_the_time_is_up(
        self, sqlite_place: Place
    ) -> None:
        place = sqlite_place
        assert place.me.serving.plans(after=0, wait_s=3.0).revision == 0
        assert place.clock.monotonic_s() >= 3.0
        place.deployed()
        waited = place.clock.monotonic_s()
        assert place.me.serving.plans(after=0, wait_s=3.0).revision == 1
        assert place.clock.monotonic_s() == waited

    def test_a_run_without_steps_says_so(self, sqlite_place: Place) -> None:
        run = sqlite_place.me.runs.start(name="fit", source=SOURCE)
        with pytest.raises(NotFound, match="is not the run of a pipeline"):
            sqlite_place.me.runs.steps(ref=run.id)


def test_a_system_users_name_is_one_that_an_actor_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for given, wanted in {
        "ada": "ada",
        "CORP\\ada b": "CORP-ada-b",
        "_svc": "svc",
        "__": "local",
    }.items():
        monkeypatch.setenv("LOGNAME", given)
        assert system_user() == wanted
