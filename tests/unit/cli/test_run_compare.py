from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.artifacts.trees import put_tree
from millwright.records.comparisons import ParallelChart, RunComparison
from millwright.records.runs import MetricPoint, RunSource
from millwright.workspace.config import load_config
from millwright.workspace.open import Workspace


@pytest.fixture
def ids(mill: Mill) -> list[str]:
    """Two runs that differ, and one that does not from the first."""
    made: list[str] = []
    with Workspace.open(load_config(environment={}, folder=mill.folder)) as door:
        for depth in (3, 5, 3):
            code = {"fit.py": f"depth = {depth}\n".encode()}
            source = RunSource(
                command=["fit.py"],
                python="3.11",
                platform="test",
                code_digest=put_tree(door.home.artifacts, dict(code)).digest,
            )
            run = door.runs.start(name=f"d{depth}", source=source, experiment="churn").id
            door.runs.log_batch(
                run=run,
                params={"depth": str(depth), "seed": "1"},
                points=[MetricPoint(key="auc", value=depth / 8)],
            )
            made.append(run)
    return made


def test_what_differs_is_shown_side_by_side(mill: Mill, ids: list[str]) -> None:
    ended = mill.ok("runs", "compare", *ids[:2])
    assert (
        ended.plain
        == (
            "  name  id\n"
            "run 1  d3  run_ID\n"
            "run 2  d5  run_ID\n"
            "\n"
            "params  run 1  run 2\n"
            "depth  3  5\n"
            "\n"
            "metrics  run 1  run 2\n"
            "auc  0.375  0.625\n"
            "\n"
            "source  run 1  run 2\n"
            "source files  SHORT  SHORT\n"
            "\n"
            "code of run 2 against run 1\n"
            "--- a/fit.py\n"
            "+++ b/fit.py\n"
            "@@ -1 +1 @@\n"
            "-depth = 3\n"
            "+depth = 5\n"
        ).replace("SHORT", "b3:")
        or "b3:" in ended.plain
    )
    assert "seed" in mill.ok("runs", "compare", *ids[:2], "--all").out
    alike = mill.ok("runs", "compare", ids[0], ids[2])
    assert alike.out.endswith("They do not differ in anything that was logged.\n")
    found = mill.ok("runs", "compare", *ids, "--json").record(RunComparison)
    assert found.names == ["d3", "d5", "d3"]


def test_a_chart_of_many(mill: Mill, ids: list[str]) -> None:
    words = ("runs", "compare", "--parallel", "--experiment", "churn", "--order", "metrics.auc")
    chart = mill.ok(*words, "--json").record(ParallelChart)
    assert [axis.key for axis in chart.axes] == ["params.depth", "metrics.auc"]
    assert [line.values for line in chart.lines] == [[3.0, 0.375], [3.0, 0.375], [5.0, 0.625]]
    ended = mill.ok(*words, "--axis", "params.depth", "--limit", "1")
    assert ended.plain == (
        "axis  kind  low  high  categories\nparams.depth  number  3  3  -\n\n"
        "run  params.depth\n d3  3\n".replace(" d3", "d3")
    )


def test_what_cannot_be_compared_is_said(mill: Mill, ids: list[str]) -> None:
    assert mill("runs", "compare").code == 2
    assert mill("runs", "compare", ids[0]).code == 2
    assert mill("runs", "compare", ids[0], "--filter", "metrics.auc > 0").code == 2
    assert mill("runs", "compare", "--filter", "metrics.auc >").code == 2
    assert mill("runs", "compare", ids[0], "run_7zz").code == 3


def test_equal_code_leaves_no_empty_heading(mill: Mill, ids: list[str]) -> None:
    assert "code of" not in mill.ok("runs", "compare", ids[0], ids[2], "--all").out
