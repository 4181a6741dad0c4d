from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.core.clock import US_PER_DAY, SystemClock, deadline_us, to_datetime, to_text
from millwright.core.errors import Invalid


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - aware below
def test_microseconds_and_datetimes_agree_to_the_last_digit(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    us = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    assert to_datetime(us) == aware
    assert datetime.fromisoformat(to_text(us)) == aware


def test_the_system_clock_tells_utc_and_monotonic_time() -> None:
    clock = SystemClock()
    assert abs(to_datetime(clock.now_us()) - datetime.now(UTC)).total_seconds() < 5
    first = clock.monotonic_s()
    clock.sleep(0)
    assert clock.monotonic_s() >= first


@given(st.integers(0, 10**16), st.integers(0, 3650))
def test_what_is_so_many_days_old_lies_before_the_deadline(now_us: int, days: int) -> None:
    deadline = deadline_us(now_us, days)
    assert now_us - days * US_PER_DAY < deadline
    assert now_us - days * US_PER_DAY + 1 >= deadline


def test_days_that_cannot_be_are_refused() -> None:
    for days in (-0.5, 40_000.0, float("nan"), float("inf")):
        with pytest.raises(Invalid, match="days old"):
            deadline_us(0, days)
