"""Runs found by the data that they read, whichever way these were logged."""

from __future__ import annotations

import pytest

from fixtures.homes import SOURCE, Place
from millwright.core.digest import digest_bytes
from millwright.records.runs import LoggedDataset, RunLink

DIGEST = digest_bytes(b"data")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("datasets.name = 'loans'", ["described", "version"]),
        (f"datasets.digest = '{DIGEST}'", ["version"]),
        ("datasets.name LIKE 'lo%' and datasets.digest = 'd1'", ["described"]),
        ("datasets.name = 'model'", []),
        ("datasets.context = 'loans'", []),
        ("datasets.name != 'loans'", ["other"]),
    ],
)
def test_versions_and_what_clients_describe(place: Place, text: str, names: list[str]) -> None:
    runs = place.me.runs
    for name, way, called in (
        ("version", "input", "loans"),
        ("other", "input", "people"),
        ("made", "output", "loans"),
    ):
        run = runs.start(name=name, source=SOURCE).id
        link = RunLink(
            way="input" if way == "input" else "output",
            name=called,
            what="dataset_version",
            id="dsv_1",
            digest=DIGEST if name == "version" else digest_bytes(b"other"),
        )
        model = RunLink(way="input", name="model", what="model_version", id="m", digest=DIGEST)
        runs.log_links(run=run, links=[link, model])
    run = runs.start(name="described", source=SOURCE).id
    runs.log_datasets(run=run, datasets=[LoggedDataset(name="loans", digest="d1")])
    assert sorted(run.name for run in runs.search(filter=text).runs) == names
