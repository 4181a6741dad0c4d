from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from millwright.sdk.console import Console


def put_streams(monkeypatch: pytest.MonkeyPatch) -> tuple[io.StringIO, io.StringIO]:
    """Give this test streams of its own; pytest sets others before it calls the test."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    return out, err


def write(text: str) -> None:
    sys.stdout.write(text)


def test_both_streams_are_kept_and_still_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    write("before\n")
    console.start()
    write("epoch 1 ä\n")
    sys.stderr.write("careful\n")
    sys.stdout.writelines(["a\n", "b\n"])
    sys.stdout.flush()
    path = console.stop()
    write("after\n")
    assert path is not None
    assert path.read_text(encoding="utf-8") == "epoch 1 ä\ncareful\na\nb\n"
    assert streams[0].getvalue() == "before\nepoch 1 ä\na\nb\nafter\n"
    assert streams[1].getvalue() == "careful\n"
    assert sys.stdout is streams[0]
    assert sys.stderr is streams[1]


def test_nothing_printed_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    console.start()
    assert console.stop() is None
    assert not (tmp_path / "run.log").exists()
    assert console.stop() is None


def test_the_beginning_and_the_end_of_much_output_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_streams(monkeypatch)
    console = Console(tmp_path / "run.log", head_bytes=10, tail_bytes=6)
    console.start()
    write("0123456789abc")
    for letter in "defghijkl":
        write(letter)
    path = console.stop()
    assert path is not None
    assert path.read_text(encoding="utf-8") == "0123456789\n… 6 bytes are not kept …\nghijkl"


def test_the_stream_is_what_it_was_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    console.start()
    assert sys.stdout.isatty() is False
    assert sys.stdout.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    console.stop()


def test_a_stream_that_somebody_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    console.start()
    tee = sys.stdout
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    console.stop()
    assert sys.stdout is other
    tee.write("late\n")
    assert streams[0].getvalue() == "late\n"
    assert not (tmp_path / "run.log").exists()


def test_one_inside_another_keeps_its_own_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = put_streams(monkeypatch)
    outer, inner = Console(tmp_path / "outer.log"), Console(tmp_path / "inner.log")
    outer.start()
    write("one\n")
    inner.start()
    write("two\n")
    inner.stop()
    write("three\n")
    outer.stop()
    assert (tmp_path / "outer.log").read_text() == "one\ntwo\nthree\n"
    assert (tmp_path / "inner.log").read_text() == "two\n"
    assert sys.stdout is streams[0]


def test_ended_in_any_order_the_first_stream_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = put_streams(monkeypatch)
    one, two, three = (Console(tmp_path / f"{number}.log") for number in range(3))
    one.start()
    two.start()
    three.start()
    two.stop()
    one.stop()
    write("only three\n")
    three.stop()
    assert sys.stdout is out
    assert (tmp_path / "2.log").read_text() == "only three\n"
    assert not (tmp_path / "0.log").exists()


def test_threads_do_not_mix_within_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    console.start()

    def work(letter: str) -> None:
        for _ in range(200):
            write(letter * 20 + "\n")

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = console.stop()
    assert path is not None
    lines = path.read_text().splitlines()
    assert len(lines) == 800
    assert {line for line in lines if len(set(line)) != 1 or len(line) != 20} == set()


def test_a_folder_that_is_gone_breaks_no_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = put_streams(monkeypatch)
    console = Console(tmp_path / "gone" / "run.log")
    console.start()
    write("still here\n")
    assert console.stop() is None
    assert streams[0].getvalue() == "still here\n"


def test_a_program_without_streams_has_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console = Console(tmp_path / "run.log")
    console.start()
    assert console.stop() is None


def test_what_a_forked_child_prints_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_streams(monkeypatch)
    console = Console(tmp_path / "run.log")
    console.start()
    write("parent\n")
    child = os.fork()
    if child == 0:
        write("child\n")
        os._exit(0)
    os.waitpid(child, 0)
    path = console.stop()
    assert path is not None
    assert path.read_text() == "parent\n"
