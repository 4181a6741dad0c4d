"""A clock that tests set: it stands still until it is told to move."""

from __future__ import annotations

from millwright.core.clock import US_PER_S, Clock


class FakeClock(Clock):
    """Time that passes only by `advance` and `sleep`, at once and exactly."""

    def __init__(self, now_us: int = 1_750_000_000 * US_PER_S) -> None:
        self._now_us = now_us
        self._elapsed_us = 0

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01 UTC."""
        return self._now_us

    def monotonic_s(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        return self._elapsed_us / US_PER_S

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass without waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both times on by `seconds`, rounded to a microsecond."""
        passed_us = round(seconds * US_PER_S)
        self._now_us += passed_us
        self._elapsed_us += passed_us
