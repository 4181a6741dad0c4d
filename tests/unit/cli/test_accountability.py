"""Journal, people, tokens, projects, rules, labels, monitors: through the embedded door."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import Mill
from millwright.cli.labels import parse_cell, read_labels
from millwright.core.errors import Invalid
from millwright.core.ids import new_id
from millwright.doors.audit import Proof, Verification
from millwright.records.access import Actor, NewToken, Token
from millwright.records.automation import Rule
from millwright.records.events import Event
from millwright.workspace.open import system_user


def test_events_are_listed_in_order_by_kind_subject_and_place(mill: Mill) -> None:
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv", "--reason", "the first")
    events = mill.ok("audit", "list", "--json").record(list[Event])
    assert [one.place for one in events] == [0, 1, 2, 3, 4]
    newest = mill.ok("audit", "list", "--newest", "--limit", "1")
    assert newest.plain == (
        "place  time  kind  actor  what  reason  id\n"
        f"  4  TIME  DatasetVersionCreated  {system_user()}  dat_ID, dsv_ID  the first  evt_ID\n"
    )
    version = events[4].subjects[1].id
    found = mill.ok("audit", "list", "--subject", version, "--json").record(list[Event])
    assert found == events[4:]
    assert mill.ok("audit", "list", "--after", "3", "--json").record(list[Event]) == events[4:]
    assert mill.ok("audit", "list", "--limit", "2").err == (
        "There may be more: mill audit list --after 1\n"
    )
    assert mill.ok("audit", "list", "--kind", "Nothing").err == "There are no such events.\n"
    assert mill("audit", "list", "--subject", "loans").code == 2


def test_a_checkpoint_kept_outside_is_held_against_the_journal(mill: Mill) -> None:
    kept = mill.ok("audit", "checkpoint").out
    assert kept.startswith("millwright/hom_")
    mill.write("kept.txt", kept)
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv")
    ended = mill.ok("audit", "verify", "--against", "kept.txt")
    assert ended.plain == "OK  5 events, root HASH\n"
    assert ended.err.startswith("Cannot be excluded: entries from place 4 on")
    found = mill.ok("audit", "verify", "--json").record(Verification)
    assert (found.ok, found.size) == (True, 5)
    mill.write("other.txt", kept.replace("\n4\n", "\n3\n"))
    assert mill("audit", "verify", "--against", "other.txt").code != 0
    assert mill("audit", "verify", "--against", "gone.txt").code == 3


def test_an_event_is_proved(mill: Mill) -> None:
    event = mill.ok("audit", "list", "--json").record(list[Event])[1]
    proof = mill.ok("audit", "prove", event.id, "--json").record(Proof)
    assert (proof.event, proof.index, proof.size) == (event.id, 1, 4)
    assert proof.root in mill.ok("audit", "prove", event.id).out
    assert mill("audit", "prove", new_id("evt")).code == 3


def test_people_are_made_given_roles_and_held_to_them(mill: Mill) -> None:
    ended = mill.ok("user", "create", "ada")
    assert ended.plain == "name  ada\nkind  person\nid  act_ID\ncreated  TIME\n"
    assert ended.err == "It may do nothing yet: mill user grant ada ROLE\n"
    assert mill("data", "list", "--as", "ada").code == 4
    assert mill.ok("user", "grant", "ada", "viewer").out == "ada is viewer\n"
    mill.ok("data", "list", "--as", "ada")
    names = [one.name for one in mill.ok("user", "list", "--json").record(list[Actor])]
    assert "ada" in names
    ended = mill("user", "grant", "ada", "vewer")
    assert (ended.code, ended.err.splitlines()[-1]) == (2, "fix: did you mean 'viewer'?")
    revoked = mill.ok("user", "revoke", "ada", "viewer")
    assert revoked.out == "ada is not viewer in this project\n"
    assert mill("data", "list", "--as", "ada").code == 4
    assert mill("user", "revoke", "ada", "vewer").code == 2
    assert mill("user", "create", "ada").code == 6
    mill.ok("user", "create", "bot", "--kind", "service", "--role", "service")
    assert mill("user", "create", "x", "--kind", "robot").code == 2
    assert "disabled" in mill.ok("user", "disable", "bot", "--reason", "retired").plain
    assert mill("data", "list", "--as", "bot").code == 4
    assert mill("user", "disable", system_user()).code == 6


def test_a_token_shows_its_secret_once(mill: Mill) -> None:
    assert mill.ok("token", "list").err.startswith("There are no tokens yet.")
    ended = mill.ok("token", "create", "ci", "--scope", "data.read", "--days", "1")
    assert ended.out.startswith("mw_")
    assert "It is shown once. Use it as MILLWRIGHT_TOKEN.\n" in ended.err
    made = mill.ok("token", "create", "cd", "--json").record(NewToken)
    listed = mill.ok("token", "list", "--json")
    assert made.secret not in listed.out
    assert {one.name for one in listed.record(list[Token])} == {"ci", "cd"}
    dry = mill.ok("token", "revoke", made.token.id, "--dry-run")
    assert dry.plain == "would revoke token\n  id  tok_ID\n"
    assert mill.ok("token", "revoke", made.token.id).out.endswith(" opens nothing any more\n")
    revoked = {
        one.name: one.revoked_us is not None
        for one in mill.ok("token", "list", "--json").record(list[Token])
    }
    assert revoked == {"ci": False, "cd": True}


def test_projects_are_made_and_worked_in(mill: Mill) -> None:
    assert mill.ok("project", "create", "other", "--dry-run").out.endswith("the name is free\n")
    ended = mill.ok("project", "create", "other", "--reason", "for tests")
    assert ended.plain == "project  other\nid  prj_ID\ncreated  TIME\n"
    mill.write("loans.csv", "a\n1\n")
    mill.ok("data", "add", "loans.csv", "--project", "other")
    assert mill.ok("data", "list", "--json").out == "[]\n"
    assert mill("data", "list", "--project", "thrid").code == 3
    assert mill("project", "create", "other").code == 6


def test_a_rule_is_read_from_a_file(mill: Mill) -> None:
    assert (
        mill.ok("rule", "list").err == "There are no rules yet. Make one: mill rule set NAME FILE\n"
    )
    mill.write(
        "rule.yaml",
        "event: AlertRaised\nwhere: {kind: drift}\njob: pipeline.run\n"
        "args: {pipeline: train.py}\ncool_down_s: 3600\n",
    )
    mill.ok("rule", "set", "retrain", "rule.yaml", "--dry-run")
    ended = mill.ok("rule", "set", "retrain", "rule.yaml")
    assert ended.plain == (
        'rule  retrain\nid  rul_ID\non  AlertRaised\nwhere  {"kind":"drift"}\njob  pipeline.run\n'
        'arguments  {"pipeline":"train.py"}\ncool down  1 h\nacts as  act_ID\nenabled  yes\n'
    )
    rules = mill.ok("rule", "list", "--json").record(list[Rule])
    assert [one.name for one in rules] == ["retrain"]
    for content in ("event: x\n", "- 1\n", "event: [\n", "event: x\njob: y\nargz: {}\n"):
        mill.write("rule.yaml", content)
        ended = mill("rule", "set", "retrain", "rule.yaml")
        assert (ended.code, ended.err.split()[1]) == (2, "rule.yaml")
    assert mill("rule", "set", "retrain", "gone.yaml").code == 3
    assert mill.ok("rule", "list", "--json").record(list[Rule]) == rules


@pytest.mark.parametrize(
    "words",
    [
        ["deploy", "show", "x"],
        ["deploy", "abort", "x", "--reason", "y"],
        ["monitor", "show", "x"],
        ["monitor", "check", "x"],
        ["monitor", "create", "m", "--deployment", "x"],
        ["alert", "show", new_id("alr")],
        ["alert", "close", new_id("alr"), "--reason", "y"],
        ["decision", "show", new_id("dec")],
        ["decision", "explain", new_id("dec")],
        ["job", "show", new_id("job")],
        ["job", "cancel", new_id("job")],
        ["model", "show", "x"],
        ["model", "history", "x"],
        ["gate", "show", new_id("gat")],
        ["runs", "show", "latest"],
        ["token", "revoke", new_id("tok")],
        ["user", "grant", "x", "viewer"],
        ["user", "revoke", "x", "viewer"],
        ["user", "disable", "x"],
    ],
)
def test_what_is_not_there_exits_3(mill: Mill, words: list[str]) -> None:
    ended = mill(*words)
    assert (ended.code, ended.out) == (3, ""), ended.err


@pytest.mark.parametrize(
    "noun", ["alert", "deploy", "experiment", "job", "model", "monitor", "runs"]
)
def test_an_empty_listing_says_how_to_fill_it(mill: Mill, noun: str) -> None:
    ended = mill.ok(noun, "list")
    assert ended.out == ""
    assert "mill " in ended.err
    assert mill.ok(noun, "list", "-q").err == ""


def test_labels_are_read_from_csv_and_json(tmp_path: Path) -> None:
    one, two = new_id("dec"), new_id("dec")
    path = tmp_path / "labels"
    path.write_text(f"decision,value,note\n{one},1,x\n{two},yes,\n")
    assert [(label.decision, label.value) for label in read_labels(path)] == [
        (one, 1),
        (two, "yes"),
    ]
    path.write_text(f'[{{"decision": "{one}", "value": null}}]')
    assert [(label.decision, label.value) for label in read_labels(path)] == [(one, None)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no column decision and no column value"),
        ("decision,valu\nx,1\n", "has no column value"),
        ("decision,value\n", "holds no labels"),
        ("decision,value\nx,1\n", "label 1: 'x' is not the id of a decision"),
        ("[{}]", "is not a list of labels"),
    ],
)
def test_labels_that_cannot_be_read_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(Invalid) as raised:
        read_labels(path)
    assert said in raised.value.what


def test_a_cell_is_what_it_reads_like() -> None:
    assert [parse_cell(one) for one in ("1", "0.5", "true", " ", "north", "[1]", '"1"')] == [
        1,
        0.5,
        True,
        None,
        "north",
        "[1]",
        '"1"',
    ]
