"""`mill experiment`: made, named, tagged, put away and taken back."""

from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.cli.verbs import parse_tags
from millwright.core.errors import Invalid
from millwright.records.runs import Experiment


def shown(mill: Mill, ref: str) -> Experiment:
    return mill.ok("experiment", "show", ref, "--json").record(Experiment)


def test_an_experiment_from_its_name_to_its_end_and_back(mill: Mill) -> None:
    assert mill.ok("experiment", "list").err.startswith("There are no experiments yet")
    assert "would create experiment\n" in mill.ok("experiment", "create", "churn", "--dry-run").out
    made = mill.ok("experiment", "create", "churn", "--tag", "team=risk", "--json")
    assert made.record(Experiment).tags == {"team": "risk"}
    assert mill("experiment", "create", "churn").code == 6
    ended = mill.ok("experiment", "show", "churn")
    assert ended.plain == (
        "experiment  churn\nnumber  1\nid  exp_ID\ncreated  TIME\nchanged  TIME\ndeleted  -\n"
        "location  -\nruns  0\ndeleted runs  -\n\ntags\n team  risk\n".replace(" team", "  team")
    )
    assert ended.err == "Its runs: mill runs list --experiment 'churn'\n"
    renamed = mill.ok("experiment", "rename", "churn", "churn 2026", "--json").record(Experiment)
    assert (renamed.name, renamed.number) == ("churn 2026", 1)
    assert mill("experiment", "show", "churn").code == 3

    mill.ok("experiment", "tag", "#1", "team=", "stage=final", "note=a=b")
    assert shown(mill, "#1").tags == {"stage": "final", "note": "a=b"}

    assert "0 runs" in mill.ok("experiment", "delete", "#1", "--dry-run").out
    ended = mill.ok("experiment", "delete", "#1", "--reason", "done")
    assert ended.out == "deleted churn 2026 with 0 runs\n"
    assert ended.err == "Take it back: mill experiment restore 'churn 2026'\n"
    assert mill("experiment", "list").out == ""
    assert "churn 2026" in mill.ok("experiment", "list", "--deleted").out
    assert mill("experiment", "tag", "#1", "a=b").code == 6
    restored = mill.ok("experiment", "restore", "churn 2026", "--json").record(Experiment)
    assert restored.deleted_us is None
    assert mill("experiment", "restore", "churn 2026").code == 6


def test_tags_are_pairs() -> None:
    assert parse_tags(["a=b=c", "d="]) == ({"a": "b=c"}, ["d"])
    for pair in ("a", "=b", ""):
        with pytest.raises(Invalid, match="is no tag"):
            parse_tags([pair])
