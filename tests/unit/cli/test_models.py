"""A model's way from a package to requests: `mill model`, `mill gate`, `mill deploy`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.command_line import Mill
from fixtures.estimators import frame, labels
from fixtures.pickled import pickled_package
from millwright.cli.deploy import parse_steps
from millwright.core.errors import Invalid
from millwright.doors.models import ModelHistory
from millwright.records.deployments import Deployment, Rollout
from millwright.records.models import Approval, GateReport, ModelVersion
from millwright.workspace.open import system_user

GATE = "checks:\n- {check: floor, metric: auc, at_least: 0.8}\n"
STRICT = "checks:\n- {check: floor, metric: auc, at_least: 0.99999}\n"


@pytest.fixture
def project(mill: Mill, packages: list[Path]) -> Mill:
    """A project with two packages beside it, labelled rows, and two gates."""
    for n, folder in enumerate(packages):
        shutil.copytree(folder, mill.folder / f"m{n}")
    rows = frame().with_columns(target=labels())
    rows.write_csv(mill.folder / "rows.csv")
    mill.ok("data", "add", "rows.csv")
    mill.write("gate.yaml", GATE)
    settings = mill.folder / "millwright.toml"
    settings.write_text(settings.read_text() + '\n[policy]\ngate = "gate.yaml"\n')
    mill.write("strict.yaml", STRICT)
    return mill


def judged(mill: Mill, ref: str) -> GateReport:
    return mill.ok(
        "gate",
        "check",
        ref,
        "--data",
        "rows",
        "--target",
        "target",
        "--spec",
        "gate.yaml",
        "--json",
    ).record(GateReport)


def test_a_model_from_its_package_to_requests_and_back(project: Mill) -> None:
    mill = project
    assert mill.ok("model", "list").err.startswith("There are no models yet.")
    dry = mill.ok("model", "register", "m0", "--name", "churn", "--dry-run")
    assert "a new model" in dry.out
    ended = mill.ok("model", "register", "m0", "--name", "churn", "--reason", "first fit")
    assert ended.plain.startswith("model  churn@v1\nid  mov_ID\ndigest  DIGEST\npackage  DIGEST\n")
    assert ended.err == (
        "Example rows: 256 answered as when it was packaged.\n"
        "Judge it: mill gate check churn@v1 --data DATASET --target COLUMN\n"
    )
    again = mill.ok("model", "register", "m0", "--name", "churn")
    assert again.out == ended.out
    assert "\nchurn@v1 was this model already: nothing was added.\n" in again.err
    second = mill.ok("model", "register", "m1", "--name", "churn", "--json").record(ModelVersion)
    assert second.version == 2

    # Nothing is promoted that no gate has passed.
    ended = mill("model", "promote", "churn@v1")
    assert (ended.code, ended.out) == (5, "")

    ended = mill.ok("gate", "check", "churn@v1", "--data", "rows", "--target", "target",
                    "--spec", "gate.yaml")  # fmt: skip
    first, last = ended.plain.splitlines()
    assert first.startswith("PASS")
    assert last == "all of 1 check passed. Evidence: mill gate show gat_ID"
    shown = last and mill.ok("gate", "show", ended.out.split()[-1])
    assert "\nevidence\n" in shown.out

    change = mill.ok("model", "promote", "churn@v1", "--reason", "it is good")
    assert change.plain == "alias  champion\nfrom  -\nto  v1\nevent  evt_ID\n"
    assert "champion v1" in mill.ok("model", "list").out

    made = mill.ok("deploy", "create", "churn", "churn@champion")
    assert made.plain.endswith("role  version  keys  digest\nchampion  v1  100 %  DIGEST\n")
    judged(mill, "churn@v2")
    begun = mill.ok("deploy", "promote", "churn", "churn@v2", "--steps", "10,50", "--json")
    assert begun.record(Rollout).plan.steps == (1000, 5000)
    assert "candidate  v2  10 %  DIGEST" in mill.ok("deploy", "show", "churn").plain
    assert mill("deploy", "promote", "churn", "churn@v2").code == 6
    dry = mill.ok("deploy", "abort", "churn", "--reason", "no", "--dry-run")
    assert "rollout rol_" in dry.out
    ended = mill.ok("deploy", "abort", "churn", "--reason", "not today")
    assert "state  aborted" in ended.plain
    assert "rollout rol_" not in mill.ok("deploy", "list").out
    assert "why      not today" in mill.ok("deploy", "show", "churn", "--rollouts").out

    mill.ok("model", "promote", "churn@v2")
    rolled = mill.ok("model", "rollback", "churn", "--reason", "worse for the north")
    assert rolled.plain == "alias  champion\nfrom  v2\nto  v1\nevent  evt_ID\n"
    history = mill.ok("model", "history", "churn", "--json").record(ModelHistory)
    assert [(one.alias, one.version, one.reason) for one in history.aliases] == [
        ("champion", 1, "it is good"),
        ("champion", 2, ""),
        ("champion", 1, "worse for the north"),
    ]
    said = mill.ok("model", "history", "churn").plain
    assert f"TIME  champion  v2  v1  {system_user()}  worse for the north" in said
    deployment = mill.ok("deploy", "show", "churn", "--json").record(Deployment)
    assert deployment.rollout is None


def test_a_gate_that_says_no_exits_5_and_the_last_line_says_where_to_look(project: Mill) -> None:
    project.ok("model", "register", "m0", "--name", "churn")
    words = ["gate", "check", "churn", "--data", "rows", "--target", "target"]
    ended = project(*words, "--spec", "strict.yaml")
    assert ended.code == 5
    first, last = ended.plain.splitlines()
    assert first.startswith(("FAIL", "UNSURE"))
    assert last.endswith(". Evidence: mill gate show gat_ID")
    report = project(*words, "--spec", "strict.yaml", "--json")
    assert report.code == 5
    assert report.record(GateReport).verdict != "pass"
    assert len(project.ok("gate", "list", "churn@v1").out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--data", "rows", "--target", "trget"], 3, "trget"),
        (["--data", "rws", "--target", "target"], 3, "no dataset rws"),
        (["--data", "rows", "--target", "target", "--spec", "gone.yaml"], 3, "no file gone.yaml"),
        (["--data", "rows", "--target", "target", "--spec", "rows.csv"], 2, "gate"),
        (["--data", "rows", "--target", "target", "--baseline", "x"], 3, "x"),
    ],
)
def test_a_gate_that_cannot_judge_says_why_and_records_nothing(
    project: Mill, words: list[str], code: int, said: str
) -> None:
    project.ok("model", "register", "m0", "--name", "churn")
    for more in ([], ["--dry-run"]) if "trget" in words else ([],):
        ended = project("gate", "check", "churn", *words, *more)
        assert (ended.code, ended.out) == (code, ""), ended.err
        assert said in ended.err.splitlines()[0]
    empty = project.ok("gate", "list", "churn")
    assert empty.err.startswith("Nobody has judged it yet: mill gate check churn ")


def test_a_model_of_high_risk_waits_for_somebody_else(project: Mill) -> None:
    mill = project
    mill.ok("model", "register", "m0", "--name", "credit", "--risk", "high")
    judged(mill, "credit")
    ended = mill("model", "promote", "credit@v1", "--reason", "please")
    assert (ended.code, ended.out) == (6, "")
    assert mill.ok("status").err == "Somebody waits for a yes: mill model approvals\n"
    waiting = mill.ok("model", "approvals", "--state", "waiting", "--json")
    assert [one.alias for one in waiting.record(list[Approval])] == ["champion"]
    assert mill("model", "approve", "credit@v1").code == 4
    mill.ok("user", "create", "ada", "--role", "approver")
    yes = mill.ok("model", "approve", "credit@v1", "--as", "ada", "--reason", "seen")
    assert "state  approved" in yes.plain
    assert "decided by  ada\n" in yes.plain
    # An approver may not see who else there is; an admin may.
    assert "act_" not in mill.ok("model", "approvals").out
    assert yes.err == "Now it can be promoted: mill model promote credit@v1 --alias champion\n"
    mill.ok("model", "promote", "credit@v1")
    assert " used " in mill.ok("model", "approvals").out


def test_a_promotion_may_be_refused(project: Mill) -> None:
    project.ok("model", "register", "m0", "--name", "credit", "--risk", "high")
    judged(project, "credit")
    assert project("model", "promote", "credit@v1").code == 6
    project.ok("user", "create", "ada", "--role", "approver")
    ended = project.ok("model", "reject", "credit@v1", "--as", "ada", "--reason", "too old")
    assert "state  rejected" in ended.plain
    assert "reason  too old" in ended.plain


def test_a_folder_that_is_no_package_is_refused(project: Mill) -> None:
    (project.folder / "empty").mkdir()
    ended = project("model", "register", "empty", "--name", "churn")
    assert (ended.code, ended.err.splitlines()[0]) == (3, "error: empty is not a model package")
    assert project("model", "register", "m0", "--name", "churn", "--risk", "some").code == 2
    assert project.ok("model", "list", "--json").out == "[]\n"


def test_a_folder_that_cannot_be_stored_leaves_no_model_behind(project: Mill) -> None:
    (project.folder / "m0" / "more").symlink_to(project.folder)
    ended = project("model", "register", "m0", "--name", "churn")
    assert (ended.code, "more is a symbolic link" in ended.err) == (2, True)
    assert project.ok("model", "list", "--json").out == "[]\n"


def test_a_model_that_cannot_be_loaded_is_kept_and_not_sent_to_a_gate(project: Mill) -> None:
    pickled_package(project.folder / "old")
    ended = project.ok("model", "register", "old", "--name", "old")
    assert "model.pkl is a pickle" in ended.err
    assert ended.err.endswith("\nGates and servers refuse what they cannot load: "
                              "mill model show old@v1\n")  # fmt: skip


def test_approvals_are_asked_for_by_states_that_there_are(project: Mill) -> None:
    assert project.ok("model", "approvals", "--state", "used").out == ""
    ended = project("model", "approvals", "--state", "open")
    assert (ended.code, "none of waiting, approved, rejected, used" in ended.err) == (2, True)


def test_an_alias_needs_a_reason_to_go_back(project: Mill) -> None:
    ended = project("model", "rollback", "churn")
    assert (ended.code, ended.err) == (
        2,
        "error: Missing option '--reason'.\nfix: see mill model rollback --help\n",
    )


def test_steps_are_percents_that_rise() -> None:
    assert parse_steps("0.5,5,25") == (50, 500, 2500)
    for wrong in ("", "5,5", "50,25", "100", "0", "a"):
        with pytest.raises(Invalid):
            parse_steps(wrong)
