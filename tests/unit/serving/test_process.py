"""A serving process under load, swaps, an absent control plane, and sudden death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from fixtures.serving import (
    Caller,
    FolderControl,
    make_plan,
    running,
    split,
    wait_until,
)
from millwright.core.errors import Conflict, Unreachable
from millwright.records.serving import Variant
from millwright.registry.package import LoadedModel, load_package, write_package
from millwright.serving.process import exclusive, listen

pytestmark = pytest.mark.sockets

TESTS = Path(__file__).parents[2]


@dataclass
class Load:
    """Callers that ask as fast as they can, and what they were answered."""

    port: int
    threads: int = 3
    answers: list[tuple[float, float, str, int]] = field(
        default_factory=list[tuple[float, float, str, int]]
    )
    """(a, prediction, decision id, version)"""
    failures: list[str] = field(default_factory=list[str])

    @contextmanager
    def running(self, *, pause_s: float = 0.0) -> Generator[None]:
        """Ask for the length of the block."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._ask, args=(stop, n, pause_s)) for n in range(self.threads)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)

    def _ask(self, stop: threading.Event, number: int, pause_s: float) -> None:
        caller = Caller(self.port)
        a = float(number)
        while not stop.is_set():
            a += self.threads
            try:
                reply = caller.infer([[a % 900, 0.0]], key=str(a))
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                caller.close()
                if not isinstance(error, ConnectionRefusedError):
                    continue
                return
            if reply.status != 200:
                self.failures.append(f"{reply.status} {reply.body!r}")
                continue
            outputs = cast("list[dict[str, list[float]]]", reply.json["outputs"])
            self.answers.append(
                (
                    a % 900,
                    outputs[0]["data"][0],
                    reply.headers["x-millwright-decision"],
                    int(str(reply.json["model_version"])),
                )
            )
            if pause_s:
                time.sleep(pause_s)
        caller.close()


@contextmanager
def child(
    control: FolderControl, state: Path, *options: str
) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Run a serving process of its own; kill it afterwards when it still lives."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "fixtures.serving_child",
            str(control.root),
            str(state),
            "0",
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait(10)}"
        yield process, int(line)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def wait_ready(port: int) -> None:
    """Return when the server on `port` is ready."""
    with Caller(port) as caller:
        wait_until(lambda: caller.get("/v2/models/demo/ready").status == 200)


@pytest.fixture
def control(tmp_path: Path) -> FolderControl:
    return FolderControl(tmp_path / "control")


def test_thirty_swaps_under_load_fail_no_request(control: FolderControl, tmp_path: Path) -> None:
    variants = [control.add_model(n, base=1000.0 * n) for n in range(1, 32)]
    control.publish(make_plan(variants[0]))
    with running(control, tmp_path / "state") as (service, port):
        wait_ready(port)
        load = Load(port)
        with load.running():
            for n in range(1, 31):
                # Every third step is a canary first, the others swap at once.
                if n % 3 == 0:
                    plan = make_plan(*split(variants[n - 1], variants[n], 5000), revision=10 * n)
                    control.publish(plan)
                    time.sleep(0.03)
                control.publish(make_plan(variants[n], revision=10 * n + 1))
                wait_until(
                    lambda wanted=10 * n + 1: service.engine.get("demo").plan.revision == wanted
                )
                time.sleep(0.02)
    assert load.failures == []
    assert {version for _, _, _, version in load.answers} >= set(range(2, 31))
    for a, prediction, _, version in load.answers:
        assert prediction == 1000.0 * version + a
    assert account(control) == {decision: prediction for _, prediction, decision, _ in load.answers}


def account(control: FolderControl) -> dict[str, object]:
    """Return the sealed decisions' predictions by id; numbering without holes is checked."""
    return {each.id: each.prediction for each in control.decisions()}


def test_without_control_plane_answers_go_on_and_are_accounted_for(
    control: FolderControl, tmp_path: Path
) -> None:
    control.publish(make_plan(control.add_model(1, base=1000.0)))
    with running(control, tmp_path / "state") as (service, port):
        wait_ready(port)
        load = Load(port, threads=1)
        with load.running(pause_s=0.002), control.down():
            wait_until(lambda: service.uploader.waiting() >= 2)
            assert control.headers() == []
            with Caller(port) as caller:
                assert caller.get("/v2/health/ready").status == 200
        assert load.failures == []
    assert account(control) == {decision: prediction for _, prediction, decision, _ in load.answers}


def test_a_process_starts_and_answers_alone(control: FolderControl, tmp_path: Path) -> None:
    control.publish(make_plan(control.add_model(1, base=1000.0)))
    with running(control, tmp_path / "state") as (_, port):
        wait_ready(port)
    (control.root / "down").touch()
    with running(control, tmp_path / "state") as (_, port):
        with Caller(port) as caller:
            reply = caller.infer([[1, 2]])
        assert (reply.status, reply.headers["x-millwright-version"]) == (200, "1")
        # The stop would wait for the control plane otherwise.
        (control.root / "down").unlink()
    assert [each.id for each in control.decisions()] == reply.decisions


def test_a_killed_process_has_recorded_every_answer_it_gave(
    control: FolderControl, tmp_path: Path
) -> None:
    control.publish(make_plan(control.add_model(1, base=1000.0)))
    state = tmp_path / "state"
    with child(control, state) as (process, port):
        wait_ready(port)
        load = Load(port)
        with load.running():
            wait_until(lambda: len(load.answers) > 300)
            process.kill()
            process.wait(10)
    (wal,) = state.rglob("*.wal")
    with wal.open("ab") as file:
        file.write(b'{"salt":"torn')
    with child(control, state) as (process, port):
        wait_ready(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    found = account(control)
    answered = {decision: prediction for _, prediction, decision, _ in load.answers}
    assert found.items() >= answered.items()
    # At most one for each caller was recorded and killed before it was answered.
    assert len(found) - len(answered) <= load.threads
    assert "recovery" in {header.sealed_by for header in control.headers()}
    assert not list(state.rglob("*.wal"))


def test_a_stop_loses_no_answer_and_exits_with_0(control: FolderControl, tmp_path: Path) -> None:
    control.publish(make_plan(control.add_model(1, base=1000.0, delay_s=0.01)))
    with child(control, tmp_path / "state") as (process, port):
        wait_ready(port)
        load = Load(port, threads=8)
        with load.running():
            wait_until(lambda: len(load.answers) > 100)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    # What begins after the stop is refused at the door; what was begun is answered.
    assert [each for each in load.failures if "ConnectionRefused" not in each] == []
    assert account(control) == {decision: prediction for _, prediction, decision, _ in load.answers}


def test_real_models_are_served_without_database_frames_or_framework(
    control: FolderControl, tmp_path: Path
) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    random = np.random.default_rng(7)
    rows = random.normal(size=(300, 3))
    labels = (rows[:, 0] + rows[:, 1] > 0).astype(np.int64)
    columns = {name: rows[:, at] for at, name in enumerate("abc")}
    loaded: list[LoadedModel] = []
    variants: list[Variant] = []
    for version, model in enumerate(
        (
            RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0),
            HistGradientBoostingClassifier(max_iter=5, random_state=0),
        ),
        start=1,
    ):
        folder = tmp_path / f"package-{version}"
        folder.mkdir()
        package = write_package(model.fit(rows, labels), example=columns, folder=folder, now_us=0)
        loaded.append(load_package(folder))
        variants.append(control.add_package(folder, version, package.digest))
    one, two = variants
    control.publish(make_plan(*split(one, two, 5000)))
    with child(control, tmp_path / "state", "real", "refusing") as (process, port):
        wait_ready(port)
        caller = Caller(port)
        for version, model in enumerate(loaded, start=1):
            expected = model.predict({name: values[:5] for name, values in columns.items()})
            reply = caller.infer(rows[:5].tolist(), path=f"demo/versions/{version}")
            assert reply.status == 200, reply.body
            outputs = cast("list[dict[str, object]]", json.loads(reply.body)["outputs"])
            found = {str(each["name"]): each["data"] for each in outputs}
            assert found == {name: values.tolist() for name, values in expected.items()}
        metadata = caller.get("/v2/models/demo/versions/2").json
        assert metadata["platform"] == "sklearn"
        caller.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert len(control.decisions()) == 10


def test_one_process_has_the_folder_for_itself(tmp_path: Path) -> None:
    with exclusive(tmp_path / "state"):
        with (
            pytest.raises(Conflict, match="another process serves from"),
            exclusive(tmp_path / "state"),
        ):
            pass
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    with exclusive(tmp_path / "state"):
        pass


def test_the_next_free_port_is_taken() -> None:
    with listen("127.0.0.1", 0) as first:
        port = cast("int", first.getsockname()[1])
        with listen("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] < port + 20
    # An address for documentation (RFC 5737), which no machine has.
    with pytest.raises(Unreachable, match=r"cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", port)
