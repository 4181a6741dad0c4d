from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.pipelines import make_host
from millwright.core.digest import digest_bytes
from millwright.core.ids import RunId
from millwright.metadata.database import Database
from millwright.metadata.tables import pipelines as tables
from millwright.pipelines.cache import Cache, Cached, Missed
from millwright.pipelines.host import Host
from millwright.records.pipelines import Fingerprint, StepOutput
from millwright.testing.executors import InProcessExecutor

PRINT = Fingerprint(digest=digest_bytes(b"f"), parts={"param:n": "1"})


@pytest.fixture
def host(database: Database, tmp_path: Path) -> Host:
    return make_host(database, tmp_path / "home", tmp_path, InProcessExecutor())


@pytest.fixture
def cache(host: Host) -> Cache:
    return Cache(host.database, host.store, host.act.project_key)


def start(host: Host) -> RunId:
    with host.database.write() as tx:
        return host.runs.start_in(
            tx,
            host.act,
            name="s",
            source=host.source,
            kind="step",
            experiment="Default",
            parent=None,
            pipeline=None,
        )


def output(host: Host, content: bytes) -> StepOutput:
    return StepOutput(name="o", kind="json", digest=host.store.put_bytes(content))


def test_the_first_result_for_a_fingerprint_stays(host: Host, cache: Cache) -> None:
    assert cache.look_up(PRINT) == Missed()
    runs = [start(host), start(host)]
    outputs = [[output(host, b"1")], [output(host, b"2")]]
    kept: list[bool] = []
    for run, one in zip(runs, outputs, strict=True):
        with host.database.write() as tx:
            kept.append(cache.keep(tx, PRINT, run, one, 7))
    assert kept == [True, False]
    assert cache.look_up(PRINT) == Cached(runs[0], outputs[0])
    elsewhere = Cache(host.database, host.store, host.act.project_key + 1)
    assert elsewhere.look_up(PRINT) == Missed()


def test_a_result_that_is_gone_is_forgotten_unless_replaced(host: Host, cache: Cache) -> None:
    gone = StepOutput(name="o", kind="json", digest=digest_bytes(b"never stored"))
    run = start(host)
    with host.database.write() as tx:
        cache.keep(tx, PRINT, run, [gone], 7)
    missed = cache.look_up(PRINT)
    assert isinstance(missed, Missed)
    assert missed.trouble.startswith("its cached result o is gone: ")
    sound = [output(host, b"1")]
    with host.database.write() as tx:
        cache.forget(tx, PRINT, missed)
        assert cache.keep(tx, PRINT, run, sound, 8)
    with host.database.write() as tx:
        # Somebody else found the same trouble earlier and comes only now.
        cache.forget(tx, PRINT, missed)
    assert cache.look_up(PRINT) == Cached(run, sound)


def test_a_run_that_is_none_of_a_pipeline_is_not_found(host: Host) -> None:
    run = start(host)
    with host.database.read() as tx:
        assert tables.read_pipeline_run(tx, project=host.act.project_key, run=run) is None
