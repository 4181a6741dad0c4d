"""What of a run did not arrive, told as it ends."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millwright.sdk.sender import Sender


class LoggingWarning(UserWarning):
    """Something that was logged did not arrive."""


def tell_losses(sender: Sender, waiting: int) -> None:
    """Say on standard error what waits, and warn of what is lost and what was refused."""
    run, backlog = sender.run, sender.backlog
    if waiting:
        # Standard error may be a file on a full disk.
        with suppress(OSError):
            sys.stderr.write(
                f"run {run} is not delivered whole: {sender.reason or 'time ran out'}\n"
                f"The rest waits in {backlog.spool.path}; the next run that is started sends it.\n"
            )
    if backlog.lost:
        first = "; ".join(list(backlog.losses)[:3])
        values = "a value" if backlog.lost == 1 else f"{backlog.lost} values"
        warnings.warn(f"run {run} lost {values}: {first}", LoggingWarning, stacklevel=5)
    if sender.refusals:
        first = "; ".join(map(str, sender.refusals[:3]))
        count = len(sender.refusals)
        values = "a value was refused" if count == 1 else f"{count} values were refused"
        warnings.warn(f"run {run}: {values}: {first}", LoggingWarning, stacklevel=5)
