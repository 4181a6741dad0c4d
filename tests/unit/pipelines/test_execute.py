from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.pipelines import make_host, outcomes, pipeline_in, run_flow, write_module
from millwright.artifacts.store import key_of
from millwright.core.errors import Invalid, NotFound
from millwright.metadata.database import Database
from millwright.pipelines.execute import execute, plan
from millwright.pipelines.executor import Executor, Message
from millwright.pipelines.executors.local import LocalExecutor
from millwright.pipelines.graph import Given
from millwright.pipelines.host import Host, StepEvent
from millwright.records.pipelines import PipelineRun
from millwright.records.runs import Run
from millwright.testing.executors import InProcessExecutor
from millwright.tracking.runs import Runs

FLOW = """
    from helpers import scale
    from millwright.pipelines.context import StepContext
    from millwright.pipelines.graph import pipeline
    from millwright.pipelines.step import step

    @step
    def load(n: int) -> list[int]:
        return list(range(n))

    @step
    def count(rows: list[int]) -> int:
        return len(rows) // 10

    @step
    def train(rows: list[int], depth: int, ctx: StepContext) -> dict[str, float]:
        print("training")
        ctx.log_metric("auc", 0.5)
        ctx.log_param("depth", depth)
        return {"score": scale(sum(rows)) * depth}

    @step
    def report(size: int) -> str:
        return f"{size}"

    @pipeline
    def flow(n: int = 11, depth: int = 3):
        rows = load(n)
        train(rows, depth)
        report(count(rows))
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    before = list(sys.path)
    folder = tmp_path / "project"
    folder.mkdir()
    write_module(folder, "flow", FLOW)
    write_module(folder, "helpers", "def scale(x):\n    return 2 * x\n")
    yield folder
    sys.path[:] = before


@pytest.fixture
def host(sqlite_address: str, root: Path, tmp_path: Path) -> Iterator[Host]:
    database = Database.at(sqlite_address)
    yield make_host(database, tmp_path / "home", root, InProcessExecutor())
    database.close()


@pytest.fixture
def either(database: Database, root: Path, tmp_path: Path) -> Host:
    """A host over each kind of database in turn, for tests of what is stored."""
    return make_host(database, tmp_path / "home", root, InProcessExecutor())


@pytest.fixture
def local(sqlite_address: str, root: Path, tmp_path: Path) -> Iterator[Host]:
    """A host whose steps run in processes."""
    executor = LocalExecutor(2)
    database = Database.at(sqlite_address)
    yield make_host(database, tmp_path / "home", root, executor)
    executor.shutdown()
    database.close()


def read_run(host: Host, run: str) -> Run:
    assert isinstance(host.runs, Runs)
    return host.runs.get(host.act.project_key, run)


def whys(run: PipelineRun) -> dict[str, str]:
    return {step.step: step.why for step in run.steps}


TESTS = Path(__file__).parents[2]
ALL_RAN = {"load": "ran", "train": "ran", "count": "ran", "report": "ran"}
ALL_CACHED = dict.fromkeys(ALL_RAN, "cached")


class TestCaching:
    def test_a_second_run_is_all_cached(self, either: Host) -> None:
        first, second = run_flow(either), run_flow(either)
        assert (first.status, outcomes(first)) == ("finished", ALL_RAN)
        assert (second.status, outcomes(second)) == ("finished", ALL_CACHED)
        assert whys(first) == dict.fromkeys(ALL_RAN, "first time")
        makers = {step.step: step.run for step in first.steps}
        assert whys(second) == {name: f"cached by run {run}" for name, run in makers.items()}
        assert [step.outputs for step in second.steps] == [step.outputs for step in first.steps]

    def test_a_changed_parameter_runs_only_what_takes_it(self, either: Host) -> None:
        run_flow(either)
        changed = run_flow(either, params={"depth": 4})
        assert outcomes(changed) == ALL_CACHED | {"train": "ran"}
        assert whys(changed)["train"] == "parameter depth 3 → 4"

    def test_a_changed_helper_runs_only_what_reaches_it(self, host: Host, root: Path) -> None:
        run_flow(host)
        write_module(root, "helpers", "def scale(x):\n    return 3 * x\n")
        changed = run_flow(host)
        assert outcomes(changed) == ALL_CACHED | {"train": "ran"}
        assert whys(changed)["train"] == "function helpers.scale changed"
        write_module(root, "helpers", "def scale(x):  # as before\n    return 2 * x\n")
        assert outcomes(run_flow(host)) == ALL_CACHED

    def test_equal_outputs_cut_a_rerun_short(self, host: Host) -> None:
        run_flow(host)
        # 12 rows instead of 11: load, train and count run, and count says 1 as before.
        changed = run_flow(host, params={"n": 12})
        assert outcomes(changed) == ALL_RAN | {"report": "cached"}
        assert whys(changed)["train"] == "input rows changed"

    def test_a_damaged_result_is_made_again_and_repaired(self, host: Host) -> None:
        first = run_flow(host)
        digest = first.steps[0].outputs[0].digest
        path = Path(host.store.backend.place(key_of(digest)))
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[::-1])
        second = run_flow(host)
        assert outcomes(second) == ALL_CACHED | {"load": "ran"}
        assert "its cached result result is damaged" in whys(second)["load"]
        assert outcomes(run_flow(host)) == ALL_CACHED

    def test_a_result_that_is_gone_is_made_again(self, either: Host) -> None:
        first = run_flow(either)
        either.store.backend.delete(key_of(first.steps[0].outputs[0].digest))
        second = run_flow(either)
        assert outcomes(second) == ALL_CACHED | {"load": "ran"}
        assert "is gone" in whys(second)["load"]
        assert outcomes(run_flow(either)) == ALL_CACHED

    def test_a_step_with_effects_runs_every_time(self, host: Host, root: Path) -> None:
        write_module(
            root, "flow", FLOW.replace("@step\n    def load", "@step(cache=False)\n    def load")
        )
        run_flow(host)
        second = run_flow(host)
        assert outcomes(second) == ALL_CACHED | {"load": "ran"}
        assert whys(second)["load"] == "it has effects outside its results, and runs every time"

    def test_a_stored_input_counts_by_its_content(self, host: Host, root: Path) -> None:
        write_module(
            root, "flow", FLOW + "\n    @pipeline\n    def given(rows):\n        count(rows)\n"
        )

        def run(content: bytes) -> PipelineRun:
            given = Given(
                kind="json",
                digest=host.store.put_bytes(content),
                what="dataset_version",
                id="dsv_1",
            )
            return execute(pipeline_in(root, "flow", "given"), {"rows": given}, host=host)

        assert outcomes(run(b"[1]")) == {"count": "ran"}
        assert outcomes(run(b"[1]")) == {"count": "cached"}
        changed = run(b"[2]")
        assert whys(changed) == {"count": "input rows changed"}
        for one in (changed.run, changed.steps[0].run):
            links = read_run(host, one).links
            assert [(link.way, link.name, link.what, link.id) for link in links] == [
                ("input", "rows", "dataset_version", "dsv_1")
            ]


class TestPlan:
    def test_a_plan_does_nothing_and_says_what_would_be_done(self, host: Host, root: Path) -> None:
        def planned(**params: object) -> list[tuple[str, str, str]]:
            steps = plan(pipeline_in(root, "flow"), params, host=host)
            return [(step.step, step.action, step.why) for step in steps]

        unknown = [
            ("train", "unknown", "depends on load"),
            ("count", "unknown", "depends on load"),
            ("report", "unknown", "depends on count"),
        ]
        assert planned() == [("load", "run", "first time"), *unknown]
        first = run_flow(host)
        assert [action for _, action, _ in planned()] == ["reuse"] * 4
        assert planned(n=5) == [("load", "run", "parameter n 11 → 5"), *unknown]
        assert planned(depth=4)[1] == ("train", "run", "parameter depth 3 → 4")
        assert [step.run for step in run_flow(host).steps] != [step.run for step in first.steps]


class TestRecords:
    def test_runs_hold_what_was_given_logged_and_printed(self, either: Host) -> None:
        events: list[StepEvent] = []
        done = run_flow(either, on_event=events.append)
        whole = read_run(either, done.run)
        assert (whole.kind, whole.pipeline, whole.status) == ("pipeline", "flow", "finished")
        assert whole.params == {"n": "11", "depth": "3"}
        train = next(step for step in done.steps if step.step == "train")
        run = read_run(either, train.run)
        assert (run.kind, run.parent, run.status) == ("step", done.run, "finished")
        assert (run.params, run.metrics) == ({"depth": "3"}, {"auc": 0.5})
        assert train.log_digest is not None
        assert either.store.read_bytes(train.log_digest) == b"training\n"
        kinds = Counter(event.kind for event in events)
        assert kinds == {
            "run_started": 1,
            "started": 4,
            "log": 1,
            "metrics": 1,
            "finished": 4,
            "run_finished": 1,
        }

    def test_the_journal_tells_each_end(self, either: Host) -> None:
        run_flow(either)
        run_flow(either)
        with either.database.read() as tx:
            kinds = Counter(tx.column(str, "SELECT kind FROM event"))
        assert kinds == {
            "ExperimentCreated": 1,
            "RunStarted": 10,
            "RunFinished": 10,
            "StepSkipped": 4,
        }

    def test_a_parameter_given_two_values_fails_the_step(self, host: Host, root: Path) -> None:
        again = 'ctx.log_param("depth", depth)\n        ctx.log_param("depth", 9)'
        write_module(root, "flow", FLOW.replace('ctx.log_param("depth", depth)', again))
        run = run_flow(host)
        assert outcomes(run) == ALL_RAN | {"train": "failed"}
        assert "already has another value" in read_problem(host, run, "train")


def read_problem(host: Host, run: PipelineRun, name: str) -> str:
    step = next(step for step in run.steps if step.step == name)
    error = read_run(host, step.run).error
    assert error is not None
    return f"{error.what}\n{error.why}\n{error.fix}"


class TestFailure:
    def test_dependants_are_skipped_and_other_branches_end(self, either: Host, root: Path) -> None:
        write_module(root, "flow", FLOW.replace("len(rows) // 10", "len(rows) // 0"))
        events: list[StepEvent] = []
        run = run_flow(either, on_event=events.append)
        assert run.status == "failed"
        assert outcomes(run) == ALL_RAN | {"count": "failed", "report": "skipped"}
        assert whys(run)["report"] == "needs count"
        problem = read_problem(either, run, "count")
        assert problem.startswith("ZeroDivisionError: integer division or modulo by zero\nat ")
        assert "in count: return len(rows) // 0" in problem
        failed = next(event for event in events if event.kind == "failed")
        assert failed.step == "count"
        assert failed.text.splitlines()[-1].startswith("ZeroDivisionError")
        error = read_run(either, run.run).error
        assert error is not None
        assert error.what == "1 of 4 steps failed: count"

        write_module(root, "flow", FLOW)
        mended = run_flow(either)
        assert outcomes(mended) == ALL_CACHED | {"count": "ran", "report": "ran"}

    def test_a_result_that_cannot_be_kept_fails_its_step(self, host: Host, root: Path) -> None:
        write_module(root, "flow", FLOW.replace("return len(rows) // 10", "return iter(rows)"))
        run = run_flow(host)
        assert outcomes(run)["count"] == "failed"
        assert "step count, output result is a builtins.list_iterator" in read_problem(
            host, run, "count"
        )

    def test_bad_parameters_leave_no_trace(self, host: Host) -> None:
        with pytest.raises(Invalid, match="has no parameter 'm'"):
            run_flow(host, params={"m": 1})
        with pytest.raises(NotFound):
            read_run(host, "latest")

    def test_a_listener_that_breaks_closes_the_run(self, host: Host) -> None:
        def listen(event: StepEvent) -> None:
            if event.kind == "finished":
                raise BrokenPipeError("nobody reads")

        with pytest.raises(BrokenPipeError):
            run_flow(host, on_event=listen)
        assert isinstance(host.runs, Runs)
        page = host.runs.list_page(host.act.project_key)
        assert {run.status for run in page.runs} == {"finished", "failed"}
        assert next(run.status for run in page.runs if run.kind == "pipeline") == "failed"


class TestProcesses:
    def test_branches_run_at_once(self, local: Host, root: Path, tmp_path: Path) -> None:
        write_module(
            root,
            "flow",
            f"""
            import os, pathlib, time
            from millwright.pipelines.graph import pipeline
            from millwright.pipelines.step import step

            FOLDER = pathlib.Path({str(tmp_path)!r})

            @step
            def meet(mine: str, other: str) -> int:
                (FOLDER / mine).touch()
                deadline = time.monotonic() + 20
                while not (FOLDER / other).exists():
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                return os.getpid()

            @pipeline
            def flow():
                meet("a", "b")
                meet("b", "a")
            """,
        )
        run = run_flow(local)
        assert outcomes(run) == {"meet": "ran", "meet-2": "ran"}

    def test_a_killed_worker_s_step_is_started_again(
        self, local: Host, root: Path, tmp_path: Path
    ) -> None:
        dies = f"""
        import os, pathlib
        marker = pathlib.Path({str(tmp_path / "died")!r})
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return len(rows) // 10"""
        write_module(root, "flow", FLOW.replace("\n        return len(rows) // 10", dies))
        events: list[StepEvent] = []
        run = run_flow(local, on_event=events.append)
        assert outcomes(run) == ALL_RAN
        restarted = [event for event in events if event.kind == "restarted"]
        assert [event.why for event in restarted] == [
            "its process was killed by SIGKILL; started again"
        ]

    def test_a_step_that_always_dies_fails_in_words(self, local: Host, root: Path) -> None:
        write_module(
            root,
            "flow",
            FLOW.replace("return len(rows) // 10", "import os; os.kill(os.getpid(), 9)"),
        )
        run = run_flow(local)
        assert outcomes(run) == ALL_RAN | {"count": "failed", "report": "skipped"}
        problem = read_problem(local, run, "count")
        assert "step count was lost 2 times" in problem
        assert "killed by SIGKILL" in problem

    def test_a_step_with_effects_is_not_started_again(self, local: Host, root: Path) -> None:
        effects = FLOW.replace("@step\n    def count", "@step(cache=False)\n    def count").replace(
            "return len(rows) // 10", "import os; os.kill(os.getpid(), 9)"
        )
        write_module(root, "flow", effects)
        assert "is not started again by itself" in read_problem(local, run_flow(local), "count")

    def test_a_first_interrupt_lets_running_steps_end(self, local: Host) -> None:
        events: list[StepEvent] = []
        interrupted = replace(local, executor=InterruptedOnce(local.executor))
        run = run_flow(interrupted, on_event=events.append)
        assert run.status == "cancelled"
        assert outcomes(run) == dict.fromkeys(ALL_RAN, "skipped") | {"load": "ran"}
        assert "draining" in {event.kind for event in events}
        assert outcomes(run_flow(local)) == ALL_RAN | {"load": "cached"}

    def test_a_script_runs_its_own_pipeline(
        self, sqlite_address: str, root: Path, tmp_path: Path
    ) -> None:
        script = write_module(root, "script", FLOW)
        with script.open("a") as file:
            file.write('\nif __name__ == "__main__":\n')
            call = HOST.replace("run_flow(host)", "execute(flow, {{}}, host=host)")
            text = call.format(
                tests=str(TESTS),
                address=sqlite_address,
                home=str(tmp_path / "home"),
                root=str(root),
            )
            file.write("    from millwright.pipelines.execute import execute\n")
            file.write(textwrap.indent(text, "    "))
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, str(script)], capture_output=True, text=True, check=False
            )
            assert (done.stdout, done.stderr) == ("finished\n", "")


class InterruptedOnce:
    """Passes everything on to an executor; Ctrl-C comes during the first wait."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._interrupted = False
        self.submit = executor.submit
        self.cancel = executor.cancel
        self.shutdown = executor.shutdown

    def wait_any(self, timeout_s: float | None = None) -> Message | None:
        if not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt
        return self._executor.wait_any(timeout_s)


def test_two_runs_at_once_do_not_disturb_each_other(
    database: Database, root: Path, tmp_path: Path
) -> None:
    found = pipeline_in(root, "flow")
    hosts = [make_host(database, tmp_path / "home", root, LocalExecutor(1)) for _ in range(2)]
    runs: list[PipelineRun] = []

    def work(host: Host) -> None:
        runs.append(execute(found, {}, host=host))

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for host in hosts:
        host.executor.shutdown()
    assert [run.status for run in runs] == ["finished", "finished"]
    assert {step.outcome for run in runs for step in run.steps} <= {"ran", "cached"}
    assert runs[0].steps[0].outputs == runs[1].steps[0].outputs


HOST = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fixtures.pipelines import make_host, run_flow
from millwright.metadata.database import Database
from millwright.pipelines.executor import Executor, Message
from millwright.pipelines.executors.local import LocalExecutor
host = make_host(Database.at({address!r}), Path({home!r}), Path({root!r}), LocalExecutor(2))
run = run_flow(host)
print(run.status, flush=True)
host.executor.shutdown()
"""


def test_a_killed_host_resumes_without_running_a_finished_step_again(
    address: str, root: Path, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.touch()
    write_module(
        root,
        "flow",
        f"""
        import os
        from millwright.pipelines.graph import pipeline
        from millwright.pipelines.step import step

        @step
        def mark(n: int) -> int:
            with open({str(marks)!r}, "a") as file:
                file.write(f"{{n}}\\n")
            return n + 1

        @step
        def kill_host(n: int) -> int:
            with open({str(marks)!r}) as file:
                lines = file.read().split()
            if "killed" not in lines:
                with open({str(marks)!r}, "a") as file:
                    file.write("killed\\n")
                os.kill(os.getppid(), 9)
                while True:
                    pass
            return n

        @pipeline
        def flow():
            mark(kill_host(mark(mark(1))))
        """,
    )
    script = tmp_path / "host.py"
    script.write_text(
        HOST.format(
            tests=str(TESTS),
            address=address,
            home=str(tmp_path / "home"),
            root=str(root),
        )
    )

    def run_host() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
        )

    assert run_host().returncode == -signal.SIGKILL
    again = run_host()
    assert (again.returncode, again.stdout, again.stderr) == (0, "finished\n", "")
    assert marks.read_text().split() == ["1", "2", "killed", "3"]
