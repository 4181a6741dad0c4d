"""The demo, told once, and everything it says confirmed by other commands on the same home."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.demos import segment_rows
from fixtures.mill_processes import ask, mill, processes_of

pytestmark = pytest.mark.sockets

STAGES = {
    "data",
    "pipeline",
    "model",
    "gate",
    "deployment",
    "predictions",
    "drift",
    "retrain",
    "rollout",
    "decision",
    "audit",
}
LIMIT_S = 90.0
COLUMNS = 30
ADULT = Path(__file__).parents[3] / "shared/data/adult.parquet"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A telling of the demo."""

    folder: Path
    json: Record
    talk: str
    seconds: float

    @property
    def database(self) -> Path:
        return self.folder / ".millwright/millwright.db"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told") / "demo"
    begin = time.monotonic()
    done = mill(folder.parent, "demo", "--json", "--home", str(folder), timeout_s=240)
    seconds = time.monotonic() - begin
    assert done.code == 0, done.err
    return Told(folder, done.record(Record), done.err, seconds)


def test_every_stage_did_its_work_and_says_what_came_of_it(told: Told) -> None:
    stages = {name: told.json[name] for name in STAGES}
    assert STAGES | {"scenario", "seed", "folder", "seconds"} == set(told.json)
    assert {name: stage["ok"] for name, stage in stages.items()} == dict.fromkeys(STAGES, True)
    assert all(isinstance(stage["outcome"], str) and stage["outcome"] for stage in stages.values())
    assert told.seconds < LIMIT_S


def test_the_dataset_is_the_one_that_is_stored(told: Told) -> None:
    data = told.json["data"]
    shown = ask(told.folder, Record, "data", "show", "demo@v1")
    assert (shown["id"], shown["digest"]) == (data["id"], data["digest"])
    assert (shown["row_count"], len(shown["schema"]["columns"])) == (data["rows"], data["columns"])
    assert "569 rows × 30 columns" in data["source"]


def test_the_second_run_took_every_step_from_the_cache(told: Told) -> None:
    pipeline = told.json["pipeline"]
    assert pipeline["steps"] == pipeline["second_run"]["cached"] >= 6
    for run, outcome in ((pipeline["run"], "ran"), (pipeline["second_run"]["run"], "cached")):
        steps = ask(told.folder, Record, "runs", "steps", run)["steps"]
        assert [step["outcome"] for step in steps] == [outcome] * pipeline["steps"]
        assert [step["step"] for step in steps] == pipeline["step_names"]
    run = ask(told.folder, Record, "runs", "show", pipeline["run"])
    assert (run["id"], run["status"], run["pipeline"]) == (pipeline["run"], "finished", "demo")


def test_the_models_history_has_both_versions_and_the_champions_way(told: Told) -> None:
    model, retrain, rollout = (told.json[name] for name in ("model", "retrain", "rollout"))
    history = ask(told.folder, Record, "model", "history", "demo")
    assert [(one["id"], one["digest"]) for one in history["versions"]] == [
        (model["id"], model["digest"]),
        (retrain["id"], retrain["digest"]),
    ]
    moves = [(one["alias"], one["version"]) for one in history["aliases"]]
    assert moves == [("champion", 1), ("champion", 2)]
    assert history["model"]["aliases"] == {"champion": rollout["champion_now"]}
    assert "max_depth" in model["parameters"]
    assert set(model["metrics"]) == {"auc", "accuracy"}


def test_both_verdicts_are_stored_with_their_evidence(told: Told) -> None:
    for gate, version in ((told.json["gate"], 1), (told.json["retrain"]["gate"], 2)):
        shown = ask(told.folder, Record, "gate", "show", gate["id"])
        assert (shown["digest"], shown["verdict"]) == (gate["verdict_digest"], gate["verdict"])
        assert shown["version"] == version
        metrics = {name: gate[name] for name in ("auc", "accuracy")}
        assert {name: shown["metrics"][name] for name in metrics} == metrics
        low, high = gate["interval"]
        assert low <= high
        assert gate["n"] > 100
        assert gate["margin"] > 0
    second = told.json["retrain"]["gate"]
    assert second["interval_of"] == "auc-against-champion"
    assert second["interval"][0] > -second["margin"]


def test_predictions_count_is_the_number_of_decisions_in_the_segments(told: Told) -> None:
    rows = segment_rows(told.folder)
    decisions = [row.decision for row in rows if row.decision is not None]
    predictions = told.json["predictions"]
    assert len(rows) == len(decisions) == len({one.id for one in decisions})
    assert len(decisions) == predictions["count"] == predictions["sent"]
    assert sum(one.error is not None for one in decisions) == predictions["errors"] == 0
    assert {one.version for one in decisions} == {1, 2}


def test_drift_holds_every_column_and_names_only_the_changed_one(told: Told) -> None:
    drift = told.json["drift"]
    assert len(drift["columns"]) == COLUMNS
    for column in drift["columns"].values():
        assert 0.0 <= column["low"] <= column["distance"] <= column["high"] <= 1.0
    changed = drift["simulated"]["column"]
    assert drift["named"] == [changed]
    drifted = [name for name, column in drift["columns"].items() if column["drifted"]]
    assert drifted == drift["named"]
    assert "SIMULATED" in told.talk
    alert = ask(told.folder, Record, "alert", "show", drift["alert"])
    assert (alert["id"], alert["columns"]) == (drift["alert"], drift["named"])


def test_the_rollout_is_the_deployments_own(told: Told) -> None:
    rollout, deployment = told.json["rollout"], told.json["deployment"]
    shown = ask(told.folder, Record, "deploy", "show", "demo")
    assert shown["id"] == deployment["id"]
    assert [(one["role"], one["version"]) for one in shown["variants"]] == [
        ("champion", rollout["champion_now"])
    ]
    assert rollout["looks"]
    last = rollout["looks"][-1]
    assert last["action"] == "promote"
    for measure in ("errors", "slow"):
        difference, low, high = last[measure]
        assert low <= difference <= high


def test_the_decision_leads_back_to_what_the_demo_says(told: Told) -> None:
    decision = told.json["decision"]
    chain = ask(told.folder, Record, "decision", "show", decision["id"])
    assert chain["decision"]["prediction"] == decision["prediction"]
    assert chain["decision"]["score"] == decision["score"]
    assert chain["model_version"]["id"] == decision["model_version"]
    assert chain["model_version"]["digest"] == decision["model_digest"]
    assert chain["run"]["id"] == decision["run"] == told.json["retrain"]["run"]
    assert [one["digest"] for one in chain["datasets"]] == decision["datasets"]
    assert decision["datasets"] == [told.json["retrain"]["dataset_digest"]]
    assert [one["id"] for one in chain["gates"]] == decision["gates"]
    assert (chain["segment"]["id"], chain["segment"]["root"]) == (
        decision["segment"],
        decision["root"],
    )
    explained = ask(told.folder, Record, "decision", "explain", decision["id"])
    assert explained["contributions"] == decision["contributions"]
    assert set(explained["contributions"]) == set(chain["decision"]["inputs"])
    total = explained["base"] + sum(explained["contributions"].values())
    assert total == pytest.approx(explained["output"], abs=1e-9)


def test_the_journal_tells_the_same_story(told: Told) -> None:
    events = ask(told.folder, list[Record], "audit", "list", "--limit", "1000")
    assert [event["place"] for event in events] == list(range(len(events)))
    # Reading a decision is itself an event.
    assert {event["kind"] for event in events[told.json["audit"]["events"] :]} <= {"DecisionRead"}
    by_kind: dict[str, list[Record]] = {}
    for event in events:
        by_kind.setdefault(event["kind"], []).append(event)
    wanted = {
        "AlertRaised": [told.json["drift"]["alert"]],
        "RolloutEnded": [told.json["rollout"]["id"]],
        "GateEvaluated": [told.json["gate"]["id"], told.json["retrain"]["gate"]["id"]],
        "ModelVersionRegistered": [told.json["model"]["id"], told.json["retrain"]["id"]],
    }
    for kind, ids in wanted.items():
        found = [{one["id"] for one in event["subjects"]} for event in by_kind[kind]]
        assert len(found) == len(ids), kind
        for subjects, expected in zip(found, ids, strict=True):
            assert expected in subjects, kind
    status = ask(told.folder, Record, "status")
    assert (status["datasets"], status["models"], status["deployments"]) == (2, 1, 1)
    assert (status["queued_jobs"], status["running_jobs"], status["open_alerts"]) == (0, 0, 1)
    assert status["events"] >= told.json["audit"]["events"]


def test_the_journal_verifies_also_against_the_checkpoint_that_was_kept(told: Told) -> None:
    done = mill(told.folder, "audit", "verify", "--against", "checkpoint.txt", "--json")
    assert done.code == 0, done.err
    found = done.record(Record)
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["size"] >= told.json["audit"]["events"]


def test_a_changed_byte_is_found_and_its_place_named(told: Told, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(told.folder, tmp_path / "copy"))
    place = told.json["audit"]["events"] // 2
    with sqlite3.connect(copy / ".millwright/millwright.db") as connection:
        (leaf,) = connection.execute("SELECT leaf FROM event WHERE place = ?", (place,)).fetchone()
        changed = bytes([*leaf[:-1], leaf[-1] ^ 1])
        connection.execute("UPDATE event SET leaf = ? WHERE place = ?", (changed, place))
    connection.close()
    done = mill(copy, "audit", "verify")
    assert done.code == 5, done.err
    assert f"place {place}" in done.out


def test_nothing_is_left_running(told: Told) -> None:
    assert processes_of(told.folder) == []
    assert list((told.folder / ".millwright/run").iterdir()) == []


def test_told_again_in_its_folder_it_is_over_at_once_and_the_same(told: Told) -> None:
    begin = time.monotonic()
    done = mill(told.folder.parent, "demo", "--json", "--home", str(told.folder))
    seconds = time.monotonic() - begin
    assert done.code == 0, done.err
    assert done.record(Record) | {"seconds": 0} == told.json | {"seconds": 0}
    assert seconds < 10.0


def test_a_folder_with_another_telling_is_refused_and_left_as_it_is(told: Told) -> None:
    before = told.database.read_bytes()
    done = mill(told.folder.parent, "demo", "--seed", "9", "--home", str(told.folder))
    assert done.code == 1
    assert "another telling" in done.err
    assert told.database.read_bytes() == before


def tell(folder: Path, *options: str) -> tuple[int, Record]:
    """Tell the demo in a folder, and return its exit code and what it printed."""
    done = mill(folder.parent, "demo", *options, "--json", "--home", str(folder), timeout_s=300)
    assert done.code in {0, 6}, done.err
    assert processes_of(folder) == []
    return done.code, done.record(Record)


def digests(telling: Record) -> dict[str, str]:
    """What must be the same wherever the same seed is told."""
    return {
        "dataset": telling["data"]["digest"],
        "model": telling["model"]["digest"],
        "gate": telling["gate"]["verdict_digest"],
        "drift": telling["drift"]["verdict_digest"],
        "second dataset": telling["retrain"]["dataset_digest"],
        "second model": telling["retrain"]["digest"],
        "second gate": telling["retrain"]["gate"]["verdict_digest"],
        "rollout": telling["rollout"]["verdict_digest"],
    }


@pytest.mark.storm
def test_healthy_nothing_changes_and_nothing_is_done(tmp_path: Path) -> None:
    code, telling = tell(tmp_path / "demo", "--scenario", "healthy")
    assert code == 0
    assert (telling["drift"]["alert"], telling["drift"]["named"]) == (None, [])
    assert telling["retrain"]["version"] is None
    assert ask(tmp_path / "demo", list[Record], "alert", "list") == []
    history = ask(tmp_path / "demo", Record, "model", "history", "demo")
    assert [one["version"] for one in history["versions"]] == [1]


@pytest.mark.storm
def test_bad_candidate_the_gate_says_no_and_the_champion_stays(tmp_path: Path) -> None:
    code, telling = tell(tmp_path / "demo", "--scenario", "bad-candidate")
    assert code == 0
    assert telling["retrain"]["gate"]["verdict"] != "pass"
    assert telling["rollout"]["state"] is None
    history = ask(tmp_path / "demo", Record, "model", "history", "demo")
    assert history["model"]["aliases"] == {"champion": 1}
    assert [one["version"] for one in history["versions"]] == [1, 2]
    promoting = mill(tmp_path / "demo", "model", "promote", "demo@v2", "--reason", "all the same")
    assert promoting.code == 5, promoting.err


@pytest.mark.storm
def test_faulty_canary_is_rolled_back_by_itself(tmp_path: Path) -> None:
    code, telling = tell(tmp_path / "demo", "--scenario", "faulty-canary")
    assert code == 0
    assert telling["rollout"]["state"] == "rolled_back"
    assert telling["rollout"]["looks"][-1]["action"] == "roll_back"
    history = ask(tmp_path / "demo", Record, "model", "history", "demo")
    assert history["model"]["aliases"] == {"champion": 1}


@pytest.mark.storm
def test_unapproved_waits_for_somebody_else(tmp_path: Path) -> None:
    code, telling = tell(tmp_path / "demo", "--scenario", "unapproved")
    assert code == 6
    assert telling["rollout"]["outcome"] == "waits for approval"
    again, _ = tell(tmp_path / "demo", "--scenario", "unapproved")
    assert again == 6
    history = ask(tmp_path / "demo", Record, "model", "history", "demo")
    assert history["model"]["aliases"] == {"champion": 1}
    approving = ("model", "approve", "demo@v2", "--reason", "seen")
    by_other = mill(tmp_path / "demo", *approving, "--as", "demo-approver")
    assert by_other.code == 0, by_other.err
    (approval,) = [
        one
        for one in ask(tmp_path / "demo", list[Record], "model", "approvals")
        if one["id"] == telling["rollout"]["approval"]
    ]
    assert approval["state"] == "approved"
    assert approval["requested_by"] != approval["decided_by"]


@pytest.mark.storm
def test_the_same_seed_gives_the_same_digests_and_another_gives_others(
    told: Told, tmp_path: Path
) -> None:
    _, same = tell(tmp_path / "same")
    assert digests(same) == digests(told.json)
    _, other = tell(tmp_path / "other", "--seed", "1")
    first, second = digests(told.json), digests(other)
    for name in ("dataset", "model", "gate", "second dataset", "second model", "second gate"):
        assert first[name] != second[name], name


@pytest.mark.storm
@pytest.mark.parametrize(
    "change",
    ["worst_area:scale", "mean_smoothness:shift", "mean_radius:missing", "area_error:stuck"],
)
def test_a_change_of_any_column_is_answered_by_an_alert_that_names_it(
    change: str, tmp_path: Path
) -> None:
    _, telling = tell(tmp_path / "demo", "--drift", change)
    named = telling["drift"]["named"]
    assert change.partition(":")[0] in named
    assert len(named) <= 2


@pytest.mark.storm
def test_a_protected_column_is_reported_not_learnt_from_and_needs_another_persons_yes(
    tmp_path: Path,
) -> None:
    if not ADULT.exists():
        pytest.skip(f"{ADULT.name} is not at hand")
    options = ("--data", str(ADULT), "--target", "income-per-year", "--protected", "sex")
    code, telling = tell(tmp_path / "demo", *options)
    assert code == 0
    for gate in (telling["gate"], telling["retrain"]["gate"]):
        assert gate["groups"]
        for group in gate["groups"]:
            assert group["n"] > 0
            assert group["verdict"] in {"breach", "clear", "undetermined"}
    version = ask(tmp_path / "demo", Record, "model", "show", "demo@v1")
    assert "sex" not in {column["name"] for column in version["signature"]["inputs"]}
    approvals = ask(tmp_path / "demo", list[Record], "model", "approvals")
    assert [one["state"] for one in approvals] == ["used"] * len(approvals)
    assert all(one["requested_by"] != one["decided_by"] for one in approvals)
