from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millwright.core.digest import digest_bytes
from millwright.core.ids import ActorId, LoggedModelId, RunId, new_id
from millwright.records.comparisons import CodeDifference, ComparedValue
from millwright.records.runs import Infinite, LoggedDataset, ModelUse, Run, RunLink, RunSource
from millwright.tracking.compare import compare_runs, only_differing, side_by_side

MAPPINGS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2", 1.0, 2.5])), min_size=1
)


def run(
    *,
    params: dict[str, str] | None = None,
    metrics: dict[str, float | Infinite | None] | None = None,
    links: list[RunLink] | None = None,
    datasets: list[LoggedDataset] | None = None,
    models: list[ModelUse] | None = None,
    commit: str | None = None,
) -> Run:
    return Run(
        id=RunId(new_id("run")),
        experiment="Default",
        parent=None,
        pipeline=None,
        kind="script",
        name="fit",
        status="finished",
        actor=ActorId(new_id("act")),
        start_us=0,
        end_us=1,
        source=RunSource(
            command=["fit.py", "--fast"], python="3.11", platform="test", git_commit=commit
        ),
        error=None,
        log_digest=None,
        telemetry_digest=None,
        params=params or {},
        tags={},
        metrics=metrics or {},
        links=links or [],
        datasets=datasets or [],
        models=models or [],
    )


@given(MAPPINGS)
def test_every_key_stands_once_with_the_value_of_each(
    mappings: list[dict[str, str | float]],
) -> None:
    found = side_by_side(mappings)
    assert [one.key for one in found] == sorted({key for one in mappings for key in one})
    for one in found:
        assert one.values == [mapping.get(one.key) for mapping in mappings]
        assert one.differs == (len(set(one.values)) > 1)


def test_what_a_run_reads_is_compared_by_digest() -> None:
    digest, model = digest_bytes(b"rows"), LoggedModelId(new_id("lgm"))
    link = RunLink(way="input", name="rows", what="dataset_version", id="dsv_1", digest=digest)
    datasets = [
        LoggedDataset(name="iris", digest="1", context="training"),
        LoggedDataset(name="iris", digest="2"),
    ]
    models = [ModelUse(way="input", model=model), ModelUse(way="output", model=model)]
    first = run(links=[link], datasets=datasets, models=models)
    found = compare_runs([first, run()], [{}, {}], [])
    assert {one.key: one.values for one in found.data} == {
        "rows": [digest, None],
        "iris (training)": ["1", None],
        "iris": ["2", None],
        "logged models": [model, None],
    }


def test_only_what_differs_is_left() -> None:
    runs = [
        run(params={"depth": "3", "seed": "1"}, metrics={"auc": 0.9, "loss": None}, commit="a"),
        run(params={"depth": "5", "seed": "1"}, metrics={"auc": 0.9, "loss": 1.0}, commit="b"),
    ]
    same = CodeDifference(base=runs[0].id, run=runs[1].id, files=[])
    whole = compare_runs(runs, [{"numpy": "1"}, {"numpy": "2"}], [same])
    assert [one.key for one in whole.source] == ["command", "python", "platform", "git commit"]
    found = only_differing(whole)
    assert found.params == [ComparedValue(key="depth", values=["3", "5"], differs=True)]
    assert found.metrics == [ComparedValue(key="loss", values=["NaN", 1.0], differs=True)]
    assert found.source == [ComparedValue(key="git commit", values=["a", "b"], differs=True)]
    assert found.environment == [ComparedValue(key="numpy", values=["1", "2"], differs=True)]
    assert (found.tags, found.data, found.code) == ([], [], [])
    assert found.runs == [one.id for one in runs]


def test_an_environment_that_is_not_known_differs_from_none() -> None:
    runs = [run(), run(), run()]
    found = compare_runs(runs, [{"numpy": "1"}, {}, {"numpy": "1"}], []).environment
    assert found == [ComparedValue(key="numpy", values=["1", None, "1"], differs=False)]
