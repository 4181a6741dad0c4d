"""Time, passed in: every part that needs the time is handed a Clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from millwright.core.errors import Invalid

US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S
MAX_DAYS = 36_500


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC; may step when the machine's clock is set."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Return seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`."""
        time.sleep(seconds)


def to_datetime(us: int) -> datetime:
    """Return the aware UTC datetime of `us` microseconds since 1970."""
    seconds, micro = divmod(us, US_PER_S)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micro)


def to_text(us: int) -> str:
    """Return `us` as RFC 3339 UTC text with microseconds.

    >>> to_text(0)
    '1970-01-01T00:00:00.000000Z'
    """
    return to_datetime(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def deadline_us(now_us: int, days: float) -> int:
    """Return the time before which something happened that long ago or longer.

    What happened in this very microsecond is meant by 0 days, too. Raises Invalid for a time
    that cannot be.

    >>> deadline_us(86_400_000_000, 1)
    1
    """
    if not 0 <= days <= MAX_DAYS:
        raise Invalid(f"nothing is {days:g} days old", why=f"days are 0 to {MAX_DAYS:,}")
    return now_us - int(days * US_PER_DAY) + 1
