from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millwright.pipelines.log import HALF_BYTES, StepLog


@given(pieces=st.lists(st.binary(max_size=40)))
def test_a_short_log_is_kept_whole(pieces: list[bytes]) -> None:
    log = StepLog()
    for piece in pieces:
        log.add(piece)
    assert log.content() == b"".join(pieces)


def test_a_long_log_keeps_both_ends_and_says_what_is_missing() -> None:
    log = StepLog()
    log.add(b"a" * HALF_BYTES)
    log.add(b"b" * 1000)
    log.add(b"c" * (HALF_BYTES - 1) + b"\n")
    content = log.content()
    assert content[:HALF_BYTES] == b"a" * HALF_BYTES
    assert b"\n\xe2\x80\xa6 1000 bytes were not kept \xe2\x80\xa6\n" in content
    assert content.endswith(b"c" * (HALF_BYTES - 1) + b"\n")


def test_the_last_lines_are_for_a_report() -> None:
    log = StepLog()
    log.add(b"one\ntwo\nthr\xff\nfour\n")
    assert log.last_lines(2) == "thr\ufffd\nfour"
    assert StepLog().last_lines(5) == ""
