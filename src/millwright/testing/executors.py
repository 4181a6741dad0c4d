"""What every executor must do, and one that runs steps in this process.

An executor's own test says how to make one and inherits the rest:

    class TestLocalExecutor(ExecutorSuite):
        @pytest.fixture
        def executor(self) -> Iterator[Executor]:
            executor = LocalExecutor(2)
            yield executor
            executor.shutdown()
"""

from __future__ import annotations

import contextlib
import io
import secrets
import sys
import tempfile
import textwrap
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import msgspec
import pytest

from millwright.artifacts.backend import load_backend
from millwright.artifacts.store import ArtifactStore
from millwright.core.clock import SystemClock
from millwright.core.digest import Digest
from millwright.core.errors import Conflict, Invalid, NotFound
from millwright.core.ids import new_id
from millwright.pipelines.arguments import Address, Argument, Many, Plain, Stored
from millwright.pipelines.context import Sent, answer_with
from millwright.pipelines.executor import (
    Answer,
    Broke,
    Called,
    Executor,
    Finished,
    Logged,
    Lost,
    Message,
    Noted,
    Progressed,
    Reply,
    StoreAddress,
    Task,
)
from millwright.pipelines.loading import load_file
from millwright.pipelines.step import Step
from millwright.pipelines.task import perform

STEPS = """
    import sys
    from typing import Protocol

    from millwright.core.errors import NotFound, Refused
    from millwright.pipelines.context import StepContext
    from millwright.pipelines.step import step


    class Stock(Protocol):
        def count(self, what: str) -> int: ...


    @step
    def double(n: int) -> int:
        return 2 * n

    @step
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @step(outputs=("low", "high"))
    def both(n: int):
        return n - 1, n + 1

    @step
    def speak(ctx: StepContext) -> None:
        print("to the log")
        print("and this too", file=sys.stderr)
        ctx.log_param("depth", 3)
        ctx.log_metric("auc", 0.5, step=1)
        ctx.set_tag("kind", "test")
        ctx.progress(1, 4)

    @step
    def ask(what: str, ctx: StepContext) -> int:
        return ctx.door(Stock, "stock").count(what)

    @step
    def ask_in_vain(ctx: StepContext) -> str:
        try:
            return str(ctx.door(Stock, "stock").count("unicorns"))
        except NotFound as error:
            return error.what

    @step
    def divide(n: int) -> float:
        return 1 / n

    @step
    def refuse() -> None:
        raise Refused("no", why="because", fix="ask again")

    @step
    def leave() -> None:
        sys.exit(3)
"""


class Stock:
    """A noun of the door that the suite's steps ask."""

    def count(self, what: str) -> int:
        """Return how many there are; raises NotFound for what nobody has."""
        if what == "unicorns":
            raise NotFound("there are no unicorns", fix="ask for horses")
        return len(what)


@dataclass(frozen=True)
class Door:
    """The door that the suite's steps are given."""

    stock: Stock


class InProcessExecutor:
    """Runs a task in this process when its first message is waited for; for tests.

    A task that kills its process kills the test's.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Task, Answer]] = deque()
        self._messages: deque[Message] = deque()
        self._closed = False

    def submit(self, task: Task, answer: Answer) -> None:
        """Take a task."""
        if self._closed:
            raise Conflict("the executor was shut down")
        self._waiting.append((task, answer))

    def wait_any(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message, running a task when there is none."""
        if not self._messages and self._waiting:
            self._run(*self._waiting.popleft())
        if self._messages:
            return self._messages.popleft()
        if timeout_s is None:
            raise Invalid("no task is under way")
        return None

    def cancel(self, task_id: str) -> None:
        """Drop a task that has not run."""
        for item in list(self._waiting):
            if item[0].id == task_id:
                self._waiting.remove(item)
                self._messages.append(Lost(task=task_id, why="cancelled", cancelled=True))

    def shutdown(self) -> None:
        """Drop every task."""
        self._closed = True
        self._waiting.clear()

    def _run(self, task: Task, answer: Answer) -> None:
        printed = io.StringIO()

        def find_step(address: Address) -> Step[..., object]:
            module = sys.modules.get(address.module)
            if module is None or module.__file__ != address.path:
                module = load_file(Path(address.path), Path(task.root))
            return cast("Step[..., object]", getattr(module, address.attribute))

        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            ended = perform(
                task,
                find_step=find_step,
                channel=_Channel(self._messages, answer),
                scratch=Path(folder),
                clock=SystemClock(),
            )
        if printed.getvalue():
            self._messages.append(Logged(task=task.id, text=printed.getvalue().encode()))
        self._messages.append(ended)


@dataclass(frozen=True)
class _Channel:
    messages: deque[Message]
    answer: Answer

    def send(self, message: Sent) -> None:
        self.messages.append(message)

    def call(self, called: Called) -> Reply:
        return self.answer(called)


class MakeTask(Protocol):
    """Makes a task for one of the suite's steps."""

    def __call__(self, step: str, /, **arguments: Argument) -> Task:
        """Return a fresh task."""
        ...


class ExecutorSuite:
    """The behaviour of the port; a subclass has a fixture `executor`, shut down afterwards."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        """Return the store that tasks read from and write to."""
        folder = tmp_path / "artifacts"
        folder.mkdir(exist_ok=True)
        return ArtifactStore(load_backend("local", str(folder)))

    @pytest.fixture
    def make_task(self, tmp_path: Path, store: ArtifactStore) -> MakeTask:
        """Return what makes tasks; `store` is the one they use."""
        root = tmp_path / "project"
        root.mkdir()
        module = f"steps_{secrets.token_hex(4)}"
        path = root / f"{module}.py"
        path.write_text(textwrap.dedent(STEPS))
        assert store.has(store.put_bytes(b"the store is there"))

        def make(step: str, /, **arguments: Argument) -> Task:
            return Task(
                id=new_id("run"),
                step=step,
                address=Address(module=module, attribute=step, path=str(path)),
                arguments=arguments,
                store=StoreAddress(backend="local", location=str(tmp_path / "artifacts")),
                root=str(root),
                search=[str(root)],
                sources={},
            )

        return make

    def test_a_result_is_stored(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """A finished task names its result by digest."""
        task = make_task("double", n=Plain(value=21))
        assert read_results(store, run_all(executor, [task])[task.id]) == {"result": 42}

    def test_several_results_have_their_names(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """A step with two outputs gives two."""
        task = make_task("both", n=Plain(value=5))
        assert read_results(store, run_all(executor, [task])[task.id]) == {"low": 4, "high": 6}

    def test_inputs_are_read_from_the_store(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """Stored values and plain ones come together in one argument."""
        one = Stored(kind="json", digest=store.put_bytes(b"20"))
        task = make_task("total", numbers=Many(items=[one, Plain(value=3)]))
        assert read_results(store, run_all(executor, [task])[task.id]) == {"result": 23}

    def test_many_tasks_end_once_each(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """More tasks than workers wait their turn."""
        tasks = [make_task("double", n=Plain(value=number)) for number in range(12)]
        ended = run_all(executor, tasks)
        got = [read_results(store, ended[task.id])["result"] for task in tasks]
        assert got == [2 * number for number in range(12)]
        assert executor.wait_any(0) is None

    def test_what_a_step_says_comes_before_its_end(
        self, executor: Executor, make_task: MakeTask
    ) -> None:
        """Log, parameters, metrics, tags and progress are passed on."""
        task = make_task("speak")
        executor.submit(task, answer_with(None))
        messages = _until_the_end(executor)
        assert isinstance(messages[-1], Finished)
        log = b"".join(one.text for one in messages if isinstance(one, Logged))
        assert sorted(log.splitlines()) == [b"and this too", b"to the log"]
        noted = [one for one in messages if isinstance(one, Noted)]
        assert [one.params for one in noted if one.params] == [{"depth": "3"}]
        assert [one.tags for one in noted if one.tags] == [{"kind": "test"}]
        points = [(point.key, point.value, point.step) for one in noted for point in one.metrics]
        assert points == [("auc", 0.5, 1)]
        assert Progressed(task=task.id, done=1, total=4) in messages

    def test_a_step_asks_the_host(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """A call on the door is carried out by the host, and its answer comes back."""
        task = make_task("ask", what=Plain(value="horses"))
        ended = run_all(executor, [task], door=Door(Stock()))
        assert read_results(store, ended[task.id]) == {"result": 6}

    def test_an_error_of_the_host_is_raised_in_the_step(
        self, executor: Executor, make_task: MakeTask, store: ArtifactStore
    ) -> None:
        """It keeps its class, so that the step can catch it."""
        task = make_task("ask_in_vain")
        ended = run_all(executor, [task], door=Door(Stock()))
        assert read_results(store, ended[task.id]) == {"result": "there are no unicorns"}

    def test_a_step_that_raises_breaks(self, executor: Executor, make_task: MakeTask) -> None:
        """The problem says what, and where in the project."""
        task = make_task("divide", n=Plain(value=0))
        executor.submit(task, answer_with(None))
        messages = _until_the_end(executor)
        ended = messages[-1]
        assert isinstance(ended, Broke)
        assert ended.problem.what == "ZeroDivisionError: division by zero"
        assert "in divide: return 1 / n" in ended.problem.why
        log = b"".join(one.text for one in messages if isinstance(one, Logged))
        assert b"Traceback" in log

    def test_an_error_of_ours_keeps_its_parts(
        self, executor: Executor, make_task: MakeTask
    ) -> None:
        """Code, what, why and fix are those of the error."""
        task = make_task("refuse")
        ended = run_all(executor, [task])[task.id]
        assert isinstance(ended, Broke)
        problem = ended.problem
        assert (problem.code, problem.what, problem.why, problem.fix) == (
            "refused",
            "no",
            "because",
            "ask again",
        )

    def test_a_step_that_exits_breaks(self, executor: Executor, make_task: MakeTask) -> None:
        """sys.exit ends the step, not the worker."""
        task, after = make_task("leave"), make_task("double", n=Plain(value=1))
        ended = run_all(executor, [task, after])
        broke = ended[task.id]
        assert isinstance(broke, Broke)
        assert broke.problem.what == "the step called sys.exit(3)"
        assert isinstance(ended[after.id], Finished)

    def test_an_input_that_is_gone_breaks(self, executor: Executor, make_task: MakeTask) -> None:
        """The problem names what is not there."""
        gone = Digest("b3:" + "0" * 64)
        task = make_task("double", n=Stored(kind="json", digest=gone))
        ended = run_all(executor, [task])[task.id]
        assert isinstance(ended, Broke)
        assert ended.problem.code == "not-found"

    def test_waiting_for_nothing_is_refused(self, executor: Executor) -> None:
        """Without a task a wait without end is a mistake; a look is not."""
        assert executor.wait_any(0) is None
        with pytest.raises(Invalid):
            executor.wait_any(None)

    def test_a_cancelled_task_is_lost(self, executor: Executor, make_task: MakeTask) -> None:
        """It ends once, as cancelled, unless it was quicker."""
        task = make_task("double", n=Plain(value=1))
        executor.submit(task, answer_with(None))
        executor.cancel(task.id)
        ended = _until_the_end(executor)[-1]
        assert isinstance(ended, Finished) or (isinstance(ended, Lost) and ended.cancelled)

    def test_nothing_is_taken_after_the_shutdown(
        self, executor: Executor, make_task: MakeTask
    ) -> None:
        """A second shutdown does nothing."""
        executor.shutdown()
        executor.shutdown()
        with pytest.raises(Conflict):
            executor.submit(make_task("refuse"), answer_with(None))


def run_all(
    executor: Executor, tasks: Sequence[Task], *, door: object = None
) -> Mapping[str, Finished | Broke | Lost]:
    """Submit tasks and return how each ended; fails when one ends twice."""
    for task in tasks:
        executor.submit(task, answer_with(door))
    ended: dict[str, Finished | Broke | Lost] = {}
    while len(ended) < len(tasks):
        message = executor.wait_any(None)
        if isinstance(message, Finished | Broke | Lost):
            assert message.task not in ended
            ended[message.task] = message
    return ended


def read_results(store: ArtifactStore, ended: Finished | Broke | Lost) -> dict[str, object]:
    """Return a finished task's JSON results by name."""
    assert isinstance(ended, Finished), ended
    return {
        output.name: msgspec.json.decode(store.read_bytes(output.digest))
        for output in ended.outputs
    }


def _until_the_end(executor: Executor) -> list[Message]:
    messages: list[Message] = []
    while not (messages and isinstance(messages[-1], Finished | Broke | Lost)):
        message = executor.wait_any(None)
        if message is not None:
            messages.append(message)
    return messages
