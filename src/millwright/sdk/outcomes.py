"""How a run ends: what the exception that ended it, or its script, says."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from millwright.core.errors import Failed, MillwrightError
from millwright.records.runs import Problem, RunStatus
from millwright.sdk.checks import unicode_of

MAX_PROBLEM_CHARS = 2000


def outcome_of(error: BaseException | None) -> tuple[RunStatus, Problem | None]:
    """Return how a run ends that this exception left, or none."""
    match error:
        case None | SystemExit(code=None | 0):
            return "finished", None
        case KeyboardInterrupt():
            return "cancelled", None
        case MillwrightError():
            what, why, fix = map(unicode_of, (error.what, error.why, error.fix))
            return "failed", Problem(code=error.code, what=what, why=why, fix=fix)
        case _:
            words = unicode_of("".join(traceback.format_exception_only(error)).strip())
            return "failed", Problem(
                code=Failed.code, what=words[:MAX_PROBLEM_CHARS], why=_where(error)
            )


def what_ended_the_script() -> BaseException | None:
    """Return the exception that nobody caught, as the interpreter exits; None at a prompt."""
    # In a notebook or at the prompt an exception ends nothing, and the last one may be hours old.
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return None
    return getattr(sys, "last_value", None)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"in {last.name}, {Path(last.filename).name} line {last.lineno}"
