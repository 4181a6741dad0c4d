"""Every verb over HTTP: against a server whose operations answer with examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.example_host import ExampleHost, serving
from millwright.core.digest import digest_bytes
from millwright.core.ids import new_id
from millwright.metadata.database import Database
from millwright.records.access import Role

pytestmark = pytest.mark.sockets

READING = [
    "alert list",
    "alert show ID",
    "audit list",
    "audit prove ID",
    "audit checkpoint",
    "data list",
    "data show REF",
    "data show REF --versions",
    "data profile REF",
    "decision show ID",
    "decision explain ID",
    "deploy list",
    "deploy show NAME",
    "deploy show NAME --rollouts",
    "experiment list",
    "gate show ID",
    "gate list REF",
    "job list",
    "job show ID",
    "model list",
    "model show REF",
    "model history NAME",
    "model approvals",
    "monitor list",
    "monitor show NAME",
    "project list",
    "rule list",
    "runs list",
    "runs show REF",
    "runs steps REF",
    "status",
    "token list",
    "user list",
    "whoami",
]
CHANGING = {
    "alert close ID --reason why": "alerts.close",
    "deploy create NAME REF": "deployments.create",
    "deploy promote NAME REF": "deployments.roll_out",
    "deploy abort NAME --reason why": "deployments.abort",
    "deploy rollback NAME --reason why": "deployments.rollback",
    "job cancel ID": "jobs.cancel",
    "labels add NAME labels.csv": "labels.add",
    "model attest REF": "models.attest",
    "model allow-pickle REF --reason why": "models.allow_pickle",
    "model refuse-pickle REF": "models.refuse_pickle",
    "model promote REF": "models.promote",
    "model rollback NAME --reason why": "models.rollback",
    "model approve REF": "models.approve",
    "model reject REF --reason why": "models.reject",
    "monitor create NAME --deployment d": "monitors.create",
    "project create NAME": "access.create_project",
    "rule set NAME rule.yaml": "rules.put",
    "token create NAME": "access.create_token",
    "token revoke ID": "access.revoke_token",
    "user create NAME": "access.create_actor",
    "user grant NAME viewer": "access.grant",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ExampleHost]:
    folder = tmp_path_factory.mktemp("host")
    path = folder / "millwright.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.at(str(path))
    yield ExampleHost(database, folder)
    database.close()


@pytest.fixture(scope="module")
def address(host: ExampleHost) -> Iterator[str]:
    with serving(host) as address:
        yield address


@pytest.fixture
def remote(nowhere: Mill, address: str, host: ExampleHost) -> Mill:
    nowhere.write("labels.csv", f"decision,value\n{new_id('dec')},1\n")
    nowhere.write("rule.yaml", "event: AlertRaised\njob: pipeline.run\n")
    nowhere.environment = {
        "MILLWRIGHT_URL": address,
        "MILLWRIGHT_TOKEN": host.token("ada", ["*"]),
    }
    host.calls.clear()
    return nowhere


@pytest.mark.parametrize("words", READING)
def test_every_verb_that_reads_prints_what_a_server_answers(remote: Mill, words: str) -> None:
    ended = remote.ok(*words.split())
    assert ended.out
    ended = remote.ok(*words.split(), "--json")
    assert ended.out.startswith(("{", "["))
    assert ended.out.count("\n") == 1
    assert ended.err == ""


@pytest.mark.parametrize("words", CHANGING)
def test_every_verb_that_changes_something_does_it_and_not_in_a_dry_run(
    remote: Mill, host: ExampleHost, words: str
) -> None:
    ended = remote.ok(*words.split(), "--dry-run")
    assert ended.out.startswith("would ")
    ended = remote.ok(*words.split(), "--dry-run", "--json")
    assert ended.record(dict[str, object])["operation"] == CHANGING[words]
    assert CHANGING[words] not in [name for name, _, _ in host.calls]
    remote.ok(*words.split())
    assert [name for name, _, _ in host.calls].count(CHANGING[words]) == 1


def test_a_gate_is_asked_over_http(remote: Mill, host: ExampleHost) -> None:
    words = ["gate", "check", "REF", "--data", "DATA", "--target"]
    assert remote(*words, "k", "--dry-run").code == 3
    column = "a b/ç?&"
    assert remote.ok(*words, column, "--dry-run").out.startswith("would check gate\n")
    assert "gates.check" not in [name for name, _, _ in host.calls]
    ended = remote(*words, column)
    assert (ended.code, ended.out[:4]) == (5, "FAIL")
    assert host.calls[-1][1]["target"] == column


def test_a_monitors_look_that_drifted_exits_5(remote: Mill) -> None:
    ended = remote("monitor", "check", "NAME")
    assert ended.code == 5
    assert "drifted" in ended.out
    assert remote.ok("monitor", "check", "NAME", "--dry-run").out.startswith(
        "would check monitor\n"
    )


def test_a_look_at_too_few_rows_says_so(remote: Mill, host: ExampleHost) -> None:
    host.answer("monitors.check", None)
    try:
        assert remote.ok("monitor", "check", "NAME").out == "too few rows came in for a look\n"
        assert remote.ok("monitor", "check", "NAME", "--json").out == "null\n"
    finally:
        host.answers.clear()


def test_a_file_goes_over_the_wire_and_comes_back(remote: Mill, host: ExampleHost) -> None:
    content = "a,b\n1,2\n"
    remote.write("loans.csv", content)
    remote.ok("data", "add", "loans.csv", "--name", "credit", "--reason", "why")
    _, arguments, _ = host.calls[-1]
    digest = digest_bytes(content.encode())
    assert arguments == {
        "name": "credit",
        "digest": digest,
        "format": "csv",
        "source": "loans.csv",
        "reason": "why",
    }
    assert host.artifacts.read_bytes(digest) == content.encode()


def test_who_may_not_is_told_with_the_servers_words(remote: Mill, host: ExampleHost) -> None:
    remote.environment["MILLWRIGHT_TOKEN"] = host.person("viewer", Role.VIEWER)
    ended = remote("deploy", "abort", "d", "--reason", "x")
    assert (ended.code, ended.out) == (4, "")
    assert "viewer" in ended.err
    del remote.environment["MILLWRIGHT_TOKEN"]
    assert remote("data", "list").code == 4


def test_a_server_that_does_not_answer_exits_7(nowhere: Mill) -> None:
    ended = nowhere("--url", "http://127.0.0.1:9", "access", "list")
    assert ended.code == 2
    ended = nowhere("status", "--url", "not an address")
    assert ended.code == 2


def test_what_needs_a_home_of_this_machine_says_so(remote: Mill) -> None:
    remote.write("p.py", "")
    for words in (["run", "p.py"], ["doctor"]):
        ended = remote(*words)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.splitlines()[-1].startswith("fix: ")


def test_without_a_token_the_fix_is_one_of_the_command_line(remote: Mill) -> None:
    ended = remote("model", "list", environment={"MILLWRIGHT_TOKEN": ""})
    assert (ended.code, ended.err.splitlines()[-1]) == (
        4,
        "fix: set MILLWRIGHT_TOKEN; a token is made there by: mill token create NAME",
    )


def test_the_address_of_a_project_is_told_from_that_of_a_server(remote: Mill, address: str) -> None:
    ended = remote("--url", f"{address}/projects/credit/", "runs", "list")
    assert ended.code in {1, 7}
    assert ended.err.splitlines()[-1] == (
        f"fix: name the project by itself: --url {address} --project credit"
    )
