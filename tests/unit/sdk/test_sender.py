from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.away import SOURCE, FakeHome
from fixtures.serving import wait_until
from millwright.core.clock import SystemClock
from millwright.core.errors import Conflict, Denied, Failed, TimedOut, Unreachable
from millwright.core.ids import RunId, new_id
from millwright.sdk.items import Batch, Begun, Finished, Linked
from millwright.sdk.sender import BATCH_POINTS, MAX_FAILURES, Sender
from millwright.sdk.spool import FORMAT, Header, Spool

BEGUN = Begun(name="train", experiment="churn", source=SOURCE, start_us=1)
FINISHED = Finished(status="finished", error=None, log_digest=None, end_us=9)
FOR_EVER_S = 60.0


class Bench:
    """A home, and one sender to it at a time."""

    def __init__(self, folder: Path) -> None:
        self.home = FakeHome()
        self.run = RunId(new_id("run"))
        self.path = folder / "spool" / f"{self.run}.spool"
        self.sender = self.make()

    def make(self, *, linger_s: float = 0.005, max_queued: int = 50_000) -> Sender:
        header = Header(format=FORMAT, run=self.run, project="default", url=None)
        self.sender = Sender(
            self.home.door,
            Spool.adopt(self.path) or Spool(self.path, header),
            clock=SystemClock(),
            linger_s=linger_s,
            max_queued=max_queued,
            first_pause_s=0.01,
        )
        return self.sender

    def begin(self) -> None:
        self.sender.submit(BEGUN)
        assert self.sender.flush(FOR_EVER_S)

    def log(self, *steps: int) -> None:
        for step in steps:
            self.sender.log_one(("loss", step / 2, step, step))

    def steps(self) -> list[int]:
        return [step for step, _ in self.home.runs[self.run].metrics("loss")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.sender.stop()


def test_what_is_logged_arrives_by_itself(bench: Bench) -> None:
    bench.begin()
    bench.log(0, 1, 2)
    wait_until(lambda: bench.steps() == [0, 1, 2])


def test_flush_returns_when_all_before_it_has_arrived(bench: Bench) -> None:
    bench.make(linger_s=FOR_EVER_S)
    bench.begin()
    bench.log(*range(10))
    bench.sender.submit(Batch(params={"depth": "3"}, tags={"who": "ada"}))
    assert bench.sender.flush(FOR_EVER_S)
    kept = bench.home.only()
    assert (bench.steps(), kept.params, kept.tags) == (
        list(range(10)),
        {"depth": "3"},
        {"who": "ada"},
    )
    assert bench.home.calls == ["start", "log_batch"]


def test_a_thousand_points_do_not_wait_for_the_time(bench: Bench) -> None:
    bench.make(linger_s=FOR_EVER_S)
    bench.begin()
    bench.log(*range(BATCH_POINTS))
    wait_until(lambda: len(bench.steps()) == BATCH_POINTS)


def test_many_threads_lose_nothing(bench: Bench) -> None:
    bench.begin()

    def work(number: int) -> None:
        bench.log(*range(number * 1000, number * 1000 + 1000))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.sender.flush(FOR_EVER_S)
    assert sorted(bench.steps()) == list(range(8000))


def test_a_home_that_goes_away_and_comes_back_gets_all_in_order(bench: Bench) -> None:
    bench.begin()
    bench.log(1)
    assert bench.sender.flush(FOR_EVER_S)
    bench.home.shut()
    bench.log(2)
    assert not bench.sender.flush(FOR_EVER_S)
    assert bench.sender.away
    assert bench.sender.reason == "no server answers at home"
    bench.log(3)
    wait_until(lambda: bench.sender.backlog.waiting >= 2)
    bench.home.open()
    bench.log(4)
    wait_until(lambda: bench.steps() == [1, 2, 3, 4])
    wait_until(lambda: not bench.sender.away)
    bench.log(5)
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2, 3, 4, 5]
    assert not bench.path.exists()


def test_an_answer_that_is_lost_doubles_nothing(bench: Bench) -> None:
    bench.begin()

    def lose(name: str) -> None:
        bench.home.after = lambda _: None
        raise Unreachable("the connection broke")

    bench.home.after = lose
    bench.log(1, 2)
    wait_until(lambda: bench.home.calls.count("log_batch") >= 2)
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2]


def test_more_than_memory_may_hold_goes_to_disk_while_a_call_hangs(bench: Bench) -> None:
    bench.make(max_queued=1500)
    bench.begin()
    entered, goes_on = threading.Event(), threading.Event()

    def hang(name: str) -> None:
        entered.set()
        goes_on.wait(FOR_EVER_S)

    bench.home.before = hang
    bench.log(0)
    assert entered.wait(FOR_EVER_S)
    bench.log(*range(1, 5000))
    assert bench.sender.backlog.waiting > 0
    # The first stands in the file too, before the others, in case its call fails.
    assert bench.path.exists()
    goes_on.set()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == list(range(5000))


def test_tags_keep_their_order_when_a_call_fails_late(bench: Bench) -> None:
    bench.make(max_queued=1)
    bench.begin()
    entered, goes_on = threading.Event(), threading.Event()

    def hang(name: str) -> None:
        bench.home.before = lambda _: None
        entered.set()
        goes_on.wait(FOR_EVER_S)
        raise Unreachable("too late")

    bench.home.before = hang
    bench.sender.submit(Batch(tags={"k": "old"}))
    assert entered.wait(FOR_EVER_S)
    bench.sender.submit(Batch(tags={"k": "new"}))
    bench.log(*range(BATCH_POINTS + 1))
    goes_on.set()
    wait_until(lambda: bench.home.runs[bench.run].tags == {"k": "new"})
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.home.only().tags == {"k": "new"}


def test_what_is_left_at_the_end_waits_for_the_next(bench: Bench) -> None:
    bench.begin()
    bench.home.shut()
    bench.log(1, 2)
    assert bench.sender.stop(FINISHED) == 2
    bench.home.open()
    bench.make()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2]
    kept = bench.home.only()
    assert (kept.status, kept.end_us) == ("finished", 9)
    assert not bench.path.exists()


def test_the_end_does_not_wait_for_a_silent_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millwright.sdk.sender._JOIN_S", 0.05)
    bench.begin()
    entered, goes_on = threading.Event(), threading.Event()

    def hang(name: str) -> None:
        entered.set()
        goes_on.wait(FOR_EVER_S)

    bench.home.before = hang
    bench.log(1)
    assert entered.wait(FOR_EVER_S)
    began = time.monotonic()
    assert not bench.sender.flush(0.05)
    assert bench.sender.stop(FINISHED) == 2
    assert time.monotonic() - began < 5
    bench.home.before = lambda _: None
    goes_on.set()
    wait_until(lambda: bench.home.closed == bench.home.opened)
    bench.make()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]


def test_what_is_refused_is_told_and_the_rest_arrives(bench: Bench) -> None:
    bench.begin()
    bench.sender.submit(Batch(params={"a": "1"}))
    assert bench.sender.flush(FOR_EVER_S)
    bench.sender.log([("bad", 1.0, 0, 1)])
    bench.sender.submit(Batch(params={"a": "2", "b": "3"}, tags={"k": "v"}))
    assert bench.sender.flush(FOR_EVER_S)
    kept = bench.home.only()
    assert (kept.params, kept.tags, kept.points) == ({"a": "1", "b": "3"}, {"k": "v"}, {})
    assert [str(refusal) for refusal in bench.sender.refusals] == [
        "bad: 'bad' cannot be the name of a metric",
        "a: parameter 'a' already has another value",
    ]
    bench.log(1)
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]


def test_a_token_that_has_run_out_loses_nothing(bench: Bench) -> None:
    bench.begin()
    bench.home.away = Denied("may not write runs")
    bench.log(1)
    assert not bench.sender.flush(FOR_EVER_S)
    bench.home.open()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]


def test_a_server_that_breaks_loses_nothing_however_long_it_does(bench: Bench) -> None:
    bench.begin()
    broken = 0

    def break_down(name: str) -> None:
        nonlocal broken
        broken += 1
        raise Failed("internal error")

    bench.home.before = break_down
    bench.log(1)
    wait_until(lambda: broken > 2 * MAX_FAILURES)
    bench.home.before = lambda _: None
    assert bench.sender.flush(FOR_EVER_S)
    assert (bench.steps(), bench.sender.refusals) == ([1], [])


def test_an_item_that_can_never_be_sent_is_given_up(bench: Bench) -> None:
    bench.begin()
    broken = 0

    def break_over_links(name: str) -> None:
        nonlocal broken
        if name == "log_links":
            broken += 1
            raise TypeError("cannot be encoded")

    bench.home.before = break_over_links
    bench.sender.submit(Linked(links=[]))
    bench.log(1)
    wait_until(lambda: bool(bench.sender.refusals))
    assert broken == MAX_FAILURES
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]


def test_a_beginning_that_is_refused_takes_nothing_else_with_it(bench: Bench) -> None:
    def refuse(name: str) -> None:
        if name == "start":
            raise Conflict("experiment 'churn' is deleted")

    bench.home.before = refuse
    bench.sender.submit(BEGUN)
    bench.log(1)
    assert not bench.sender.flush(FOR_EVER_S)
    assert bench.sender.reason == "experiment 'churn' is deleted"
    bench.home.before = lambda _: None
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]
    assert bench.sender.refusals == []


def test_the_home_itself_may_be_away_when_the_run_begins(bench: Bench) -> None:
    tries = 0

    def open_door() -> None:
        nonlocal tries
        tries += 1
        raise Unreachable("the database is away")

    real = bench.home.door
    bench.home.door = open_door  # pyright: ignore[reportAttributeAccessIssue]
    bench.make()
    bench.sender.submit(BEGUN)
    assert not bench.sender.flush(FOR_EVER_S)
    assert tries == 1
    bench.sender.stop()
    bench.home.door = real
    bench.make()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.home.only().name == "train"


def test_while_the_interpreter_shuts_down_flush_delivers_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    bench.sender.submit(BEGUN)
    bench.log(1, 2)
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2]
    bench.home.shut()
    bench.log(3)
    assert not bench.sender.flush(FOR_EVER_S)
    bench.home.open()
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2, 3]


def test_what_breaks_in_a_strange_way_waits(bench: Bench) -> None:
    bench.begin()

    def divide(name: str) -> None:
        _ = 1 / 0

    bench.home.before = divide
    bench.log(1)
    assert not bench.sender.flush(FOR_EVER_S)
    assert "ZeroDivisionError" in bench.sender.reason
    bench.home.before = lambda _: None
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1]


def test_a_disk_that_takes_nothing_loses_nothing_while_there_is_memory(
    bench: Bench, tmp_path: Path
) -> None:
    bench.make(max_queued=4)
    bench.begin()
    bench.home.shut()
    (tmp_path / "spool").write_text("a file where the folder should be")
    bench.log(1, 2, 3)
    assert not bench.sender.flush(FOR_EVER_S)
    bench.home.open()
    bench.log(4)
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.steps() == [1, 2, 3, 4]
    bench.home.shut()
    for step in range(5, 11):
        bench.log(step)
        assert not bench.sender.flush(FOR_EVER_S)
    assert bench.sender.backlog.lost == 2
    assert bench.sender.stop() == 0
    assert bench.sender.backlog.lost == 6
    assert "cannot be written" in "".join(bench.sender.backlog.losses)


def test_a_home_that_cannot_be_closed_on_a_full_disk_ends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = bench.home.door()

    def full() -> None:
        raise Failed("no space left to write millwright.db")

    monkeypatch.setattr(door, "close", full)
    monkeypatch.setattr(bench.home, "door", lambda: door)
    bench.make()
    bench.begin()
    # A thread that ended with an error would be a warning, and so fail the test.
    assert bench.sender.stop() == 0


acts = st.lists(
    st.one_of(
        st.integers(1, 40).map(lambda n: ("log", n)),
        st.sampled_from(["shut", "open", "lose", "flush", "restart"]).map(lambda act: (act, 0)),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(acts, st.integers(1, 60))
def test_whatever_happens_all_arrives_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], max_queued: int
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.make(max_queued=max_queued)
    bench.sender.submit(BEGUN)
    logged = 0

    def lose(name: str) -> None:
        bench.home.after = lambda _: None
        raise Unreachable("the connection broke")

    for act, count in acts:
        match act:
            case "log":
                bench.log(*range(logged, logged + count))
                logged += count
                bench.sender.submit(Batch(tags={"last": str(logged)}))
            case "shut":
                bench.home.shut()
            case "open":
                bench.home.open()
            case "lose":
                bench.home.after = lose
            case "flush":
                bench.sender.flush(FOR_EVER_S)
            case _:
                bench.sender.stop()
                bench.make(max_queued=max_queued)
    bench.home.open()
    bench.home.after = lambda _: None
    assert bench.sender.flush(FOR_EVER_S)
    assert bench.sender.stop() == 0
    assert bench.steps() == list(range(logged))
    assert bench.home.only().tags == ({"last": str(logged)} if logged else {})
    assert not bench.path.exists()
    assert bench.home.closed == bench.home.opened


def test_a_home_that_keeps_silent_is_told_from_one_that_is_away(bench: Bench) -> None:
    bench.begin()
    bench.home.away = TimedOut("it took more than 5 s")
    bench.log(1)
    assert not bench.sender.flush(FOR_EVER_S)
    assert bench.sender.silent
    bench.home.shut()
    assert not bench.sender.flush(FOR_EVER_S)
    assert (bench.sender.away, bench.sender.silent) == (True, False)
    bench.home.open()
    assert bench.sender.flush(FOR_EVER_S)
    assert (bench.sender.away, bench.sender.silent) == (False, False)
