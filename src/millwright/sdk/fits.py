"""The run to which a fit is logged that nobody began a run for."""

from __future__ import annotations

from dataclasses import dataclass

from millwright.records.runs import Problem, RunStatus
from millwright.sdk.active import ActiveRun
from millwright.sdk.connection import find_config
from millwright.sdk.current import Options, active_run, start_in


@dataclass(frozen=True, slots=True)
class FitRun:
    """A run that a fit is logged to, and whether it begins and ends with the fit."""

    run: ActiveRun
    ours: bool

    def end(self, status: RunStatus = "finished", *, error: Problem | None = None) -> None:
        """End the run where it began with the fit."""
        if self.ours and not self.run.ended:
            self.run.end(status, error=error)


def run_for_fit(name: str, *, experiment: str | None = None) -> FitRun:
    """Return the run for the next fit here.

    The active run takes one fit, since two would disagree on their parameters; each further one
    is nested in it. Without an active run it is a run of its own. Raises what beginning raises.
    """
    outer = active_run()
    if outer is not None and not outer.has_fit:
        outer.has_fit = True
        return FitRun(outer, ours=False)
    options = Options() if outer is None else Options(console=False, system=False)
    run = start_in(
        find_config(), name, experiment=experiment, nested=outer is not None, options=options
    )
    run.has_fit = True
    return FitRun(run, ours=True)
