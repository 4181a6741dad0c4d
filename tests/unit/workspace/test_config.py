from __future__ import annotations

from pathlib import Path

import pytest

from millwright.core.errors import Invalid
from millwright.governance.policy import Policy
from millwright.tracking.limits import Limits
from millwright.workspace.config import (
    FILE_NAME,
    Config,
    Settings,
    find_file,
    load_config,
    read_settings,
)

FULL = """
project = "loans"
home = "state"
database = "postgresql://mill@db/mill"
url = "http://mill.example"

[policy]
protected_aliases = ["champion", "live"]
needs_gate = false
approval_days = 2.5
gate = "gate.yaml"

[retention]
days = 7

[quota]
runs_per_experiment = 1000
points_per_run = 2_000_000
artifact_bytes = 50_000_000_000
"""


def write(folder: Path, text: str) -> Path:
    path = folder / FILE_NAME
    path.write_text(text)
    return path


class TestReading:
    def test_a_file_says_all_of_it(self, tmp_path: Path) -> None:
        write(tmp_path, FULL)
        (tmp_path / "gate.yaml").write_text("checks: [{check: signature}]\n")
        assert load_config(environment={}, folder=tmp_path) == Config(
            root=tmp_path,
            home=tmp_path / "state",
            database="postgresql://mill@db/mill",
            url="http://mill.example",
            token=None,
            project="loans",
            actor=None,
            policy=Policy(
                protected=frozenset({"champion", "live"}),
                needs_gate=False,
                approval_days=2.5,
                gate="checks: [{check: signature}]\n",
            ),
            limits=Limits(
                retention_days=7.0,
                runs_per_experiment=1000,
                points_per_run=2_000_000,
                artifact_bytes=50_000_000_000,
            ),
        )

    def test_without_a_file_there_are_defaults(self, tmp_path: Path) -> None:
        found = load_config(environment={}, folder=tmp_path)
        assert (found.home, found.project, found.url) == (tmp_path / ".millwright", "default", None)
        assert found.policy == Policy()
        assert found.limits == Limits()

    def test_the_nearest_file_above_counts_and_makes_the_root(self, tmp_path: Path) -> None:
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)
        write(tmp_path, 'project = "far"')
        assert find_file(deep) == tmp_path / FILE_NAME
        write(tmp_path / "a", 'project = "near"')
        found = load_config(environment={}, folder=deep)
        assert (found.project, found.root) == ("near", tmp_path / "a")
        assert found.home == tmp_path / "a" / ".millwright"

    def test_an_empty_file_is_all_defaults(self, tmp_path: Path) -> None:
        assert read_settings(write(tmp_path, "")) == Settings()


class TestRefusing:
    @pytest.mark.parametrize(
        ("text", "said", "fix"),
        [
            ('projct = "x"', "unknown key 'projct'", "did you mean 'project'?"),
            ("[policy]\nneed_gate = true", "unknown key 'policy.need_gate'", ""),
            ("zzzzz = 1", "unknown key 'zzzzz'", ""),
            ("project = 3", "value of the wrong kind", ""),
            ('[policy]\nneeds_gate = "yes"', "value of the wrong kind", ""),
            ('policy = "strict"', "value of the wrong kind", ""),
            ("[retention]\ndays = -1", "value of the wrong kind", ""),
            ("[quota]\npoints_per_run = -1", "value of the wrong kind", ""),
            ("[quota]\nruns = 1", "unknown key 'quota.runs'", ""),
            ("project = ", "not readable TOML", ""),
            ('[policy]\ngate = "nowhere.yaml"', r"nowhere\.yaml cannot be read", ""),
        ],
    )
    def test_what_is_wrong_is_named_with_its_file(
        self, tmp_path: Path, text: str, said: str, fix: str
    ) -> None:
        write(tmp_path, text)
        with pytest.raises(Invalid, match=said) as caught:
            load_config(environment={}, folder=tmp_path)
        assert str(tmp_path) in caught.value.what
        if fix:
            assert caught.value.fix == fix

    def test_the_known_keys_of_a_section_are_listed(self, tmp_path: Path) -> None:
        path = write(tmp_path, "[policy]\nneed_gate = true")
        with pytest.raises(Invalid) as caught:
            read_settings(path)
        assert "policy.needs_gate" in caught.value.why
        assert caught.value.fix == "did you mean 'needs_gate'?"

    def test_bytes_that_are_no_text_and_a_name_that_is_none(self, tmp_path: Path) -> None:
        write(tmp_path, "").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(Invalid, match="not readable TOML"):
            load_config(environment={}, folder=tmp_path)
        write(tmp_path, 'project = "../other"')
        with pytest.raises(Invalid, match="cannot be the name of a project"):
            load_config(environment={}, folder=tmp_path)


class TestPrecedence:
    def test_the_command_line_beats_the_environment_which_beats_the_file(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path, 'project = "file"\nhome = "from-file"\ndatabase = "file.db"')
        environment = {
            "MILLWRIGHT_PROJECT": "env",
            "MILLWRIGHT_HOME": str(tmp_path / "from-env"),
            "MILLWRIGHT_DATABASE": "env.db",
            "MILLWRIGHT_ACTOR": "eve",
            "MILLWRIGHT_TOKEN": "secret",
        }
        by_file = load_config(environment={}, folder=tmp_path)
        by_env = load_config(environment=environment, folder=tmp_path)
        by_hand = load_config(
            environment=environment,
            folder=tmp_path,
            project="hand",
            home=tmp_path / "from-hand",
            actor="ada",
        )
        assert [one.project for one in (by_file, by_env, by_hand)] == ["file", "env", "hand"]
        assert [one.home.name for one in (by_file, by_env, by_hand)] == [
            "from-file",
            "from-env",
            "from-hand",
        ]
        assert [one.actor for one in (by_file, by_env, by_hand)] == [None, "eve", "ada"]
        assert (by_file.database, by_env.database) == ("file.db", "env.db")
        assert (by_file.token, by_env.token) == (None, "secret")

    def test_other_variables_and_empty_ones_say_nothing(self, tmp_path: Path) -> None:
        environment = {"MILLWRIGHT_PROJECT": "", "HOME": "/elsewhere", "URL": "http://x"}
        found = load_config(environment=environment, folder=tmp_path)
        assert (found.project, found.url) == ("default", None)

    def test_which_of_server_and_home_is_worked_on(self, tmp_path: Path) -> None:
        write(tmp_path, 'url = "http://file"')
        here = tmp_path / "here"

        def url(
            env: str | None = None,
            *,
            home_env: bool = False,
            home: bool = False,
            hand: str | None = None,
        ) -> str | None:
            environment = {"MILLWRIGHT_URL": env or "", "MILLWRIGHT_HOME": str(here) * home_env}
            return load_config(
                environment=environment, folder=tmp_path, home=here if home else None, url=hand
            ).url

        assert url() == "http://file"
        assert url("http://env") == "http://env"
        assert url("http://env", hand="http://hand") == "http://hand"
        # A home that was named is worked on, whatever server is named further away.
        assert url(home_env=True) is None
        assert url(home=True) is None
        assert url("http://env", home=True) is None
        assert url("http://env", home_env=True) == "http://env"
        assert url(home=True, hand="http://hand") == "http://hand"

    def test_origins_that_webhooks_may_lead_to_are_written_alike(self, tmp_path: Path) -> None:
        assert load_config(environment={}, folder=tmp_path).webhook_origins == ()
        write(tmp_path, '[webhooks]\nallow = ["http://127.0.0.1:9000", "HTTPS://Hooks.internal"]')
        found = load_config(environment={}, folder=tmp_path).webhook_origins
        assert found == ("http://127.0.0.1:9000", "https://hooks.internal")
        for wrong in ('allow = ["http://127.0.0.1/x"]', 'alow = ["x"]', 'allow = "x"'):
            write(tmp_path, f"[webhooks]\n{wrong}")
            with pytest.raises(Invalid):
                load_config(environment={}, folder=tmp_path)
