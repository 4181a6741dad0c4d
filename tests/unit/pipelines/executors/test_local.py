from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from millwright.artifacts.store import ArtifactStore
from millwright.core.digest import digest_file
from millwright.core.errors import Invalid
from millwright.pipelines.arguments import Address, Plain
from millwright.pipelines.context import answer_with
from millwright.pipelines.executor import Broke, Executor, Finished, Logged, Lost, Task
from millwright.pipelines.executors.local import LocalExecutor
from millwright.testing.executors import ExecutorSuite, MakeTask, read_results, run_all

MakeOwn = Callable[[str, str], Task]


class TestLocalExecutor(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        executor = LocalExecutor(2)
        yield executor
        executor.shutdown()

    @pytest.fixture
    def own(self, make_task: MakeTask) -> MakeOwn:
        """Make a task of a module written for the test."""

        def make(module: str, body: str) -> Task:
            template = make_task("double")
            path = Path(template.root) / f"{module}.py"
            head = "from millwright.pipelines.step import step\n\n@step\ndef main():\n"
            path.write_text(head + textwrap.indent(textwrap.dedent(body), "    "))
            return Task(
                id=template.id,
                step="main",
                address=Address(module=module, attribute="main", path=str(path)),
                arguments={},
                store=template.store,
                root=template.root,
                search=template.search,
                sources={str(path): digest_file(path)},
            )

        return make

    def test_two_tasks_run_at_once(self, executor: Executor, own: MakeOwn, tmp_path: Path) -> None:
        body = """
            import pathlib, time
            pathlib.Path({mine!r}).touch()
            deadline = time.monotonic() + 20
            while not pathlib.Path({other!r}).exists():
                assert time.monotonic() < deadline
                time.sleep(0.005)
        """
        a, b = str(tmp_path / "a"), str(tmp_path / "b")
        tasks = [own("one", body.format(mine=a, other=b)), own("two", body.format(mine=b, other=a))]
        assert all(isinstance(one, Finished) for one in run_all(executor, tasks).values())

    def test_what_c_code_and_children_print_is_logged(
        self, executor: Executor, own: MakeOwn
    ) -> None:
        task = own(
            "prints",
            """
            import ctypes, os, subprocess
            os.write(1, b"raw\\n")
            ctypes.CDLL(None).puts(b"from C")
            subprocess.run(["echo", "from a child"], check=True)
            """,
        )
        executor.submit(task, answer_with(None))
        log = b""
        while not isinstance(message := executor.wait_any(None), Finished):
            assert isinstance(message, Logged), message
            log += message.text
        assert sorted(log.splitlines()) == [b"from C", b"from a child", b"raw"]

    def test_a_killed_worker_loses_its_task_and_is_replaced(
        self, executor: Executor, own: MakeOwn, make_task: MakeTask
    ) -> None:
        task = own("dies", "import os\nprint('so far')\nos.kill(os.getpid(), 9)")
        executor.submit(task, answer_with(None))
        logged, lost = executor.wait_any(None), executor.wait_any(None)
        assert logged == Logged(task=task.id, text=b"so far\n")
        assert lost == Lost(task=task.id, why="its process was killed by SIGKILL")
        again = make_task("double", n=Plain(value=2))
        assert isinstance(run_all(executor, [again])[again.id], Finished)

    def test_a_worker_that_exits_says_its_code(self, executor: Executor, own: MakeOwn) -> None:
        task = own("exits", "import os\nos._exit(3)")
        assert run_all(executor, [task])[task.id] == Lost(
            task=task.id, why="its process ended by itself with exit code 3"
        )

    def test_a_running_task_is_cancelled_with_its_children(
        self, executor: Executor, own: MakeOwn
    ) -> None:
        task = own(
            "sleeps",
            """
            import subprocess, time
            child = subprocess.Popen(["sleep", "60"])
            print(child.pid)
            time.sleep(60)
            """,
        )
        executor.submit(task, answer_with(None))
        logged = executor.wait_any(None)
        assert isinstance(logged, Logged)
        executor.cancel(task.id)
        assert executor.wait_any(None) == Lost(task=task.id, why="cancelled", cancelled=True)
        _wait_until_gone(int(logged.text))

    def test_a_step_that_forks_and_returns_twice_ends_once(
        self, executor: Executor, own: MakeOwn, make_task: MakeTask
    ) -> None:
        task = own("forks", "import os\nos.fork()")
        after = make_task("double", n=Plain(value=1))
        ended = run_all(executor, [task, after])
        assert all(isinstance(one, Finished) for one in ended.values())
        assert executor.wait_any(0) is None

    def test_new_code_is_run_by_a_new_worker(
        self, executor: Executor, own: MakeOwn, store: ArtifactStore
    ) -> None:
        for number in (1, 2):
            task = own("changes", f"return {number}")
            ended = run_all(executor, [task])[task.id]
            assert read_results(store, ended) == {"result": number}

    def test_code_changed_since_the_fingerprint_is_not_run(
        self, executor: Executor, own: MakeOwn
    ) -> None:
        task = own("edited", "return 1")
        Path(task.address.path).write_text(Path(task.address.path).read_text() + "# edited\n")
        ended = run_all(executor, [task])[task.id]
        assert isinstance(ended, Broke)
        assert "was changed after the run began" in ended.problem.what

    def test_workers_end_with_their_host(self, own: MakeOwn, tmp_path: Path) -> None:
        task = own("waits", "import os, time\nprint(os.getpid())\ntime.sleep(60)")
        script = tmp_path / "host.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import msgspec
                from millwright.pipelines.context import answer_with
                from millwright.pipelines.executor import Task
                from millwright.pipelines.executors.local import LocalExecutor
                executor = LocalExecutor(1)
                task = msgspec.json.decode({(_as_json(task))!r}, type=Task)
                executor.submit(task, answer_with(None))
                print(executor.wait_any(None).text.decode().strip(), flush=True)
                executor.wait_any(None)
                """
            )
        )
        with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as host:
            assert host.stdout is not None
            worker = int(host.stdout.readline())
            host.send_signal(signal.SIGKILL)
        _wait_until_gone(worker)

    def test_no_workers_is_refused(self) -> None:
        with pytest.raises(Invalid, match="0 workers"):
            LocalExecutor(0)


def _as_json(task: Task) -> bytes:
    return msgspec.json.encode(task)


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while _is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie has ended; whoever adopted it has not looked yet.
    return state != "Z"
