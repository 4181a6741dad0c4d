from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from millwright.core.clock import SystemClock, to_datetime, to_text


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
