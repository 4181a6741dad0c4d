from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.away import FakeHome
from millwright.core.clock import SystemClock
from millwright.core.errors import Conflict
from millwright.core.ids import RunId, new_id
from millwright.sdk.items import Batch, Refusal, Resumed
from millwright.sdk.losses import LoggingWarning, tell_losses
from millwright.sdk.sender import Sender
from millwright.sdk.spool import FORMAT, Header, Spool


def test_what_waits_what_is_lost_and_what_was_refused_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunId(new_id("run"))
    header = Header(format=FORMAT, run=run, project="default", url=None)
    spool = Spool(tmp_path / "run.spool", header)
    sender = Sender(FakeHome().door, spool, clock=SystemClock())
    tell_losses(sender, 0)
    assert capsys.readouterr().err == ""
    sender.refusals.append(Refusal(Batch(params={"depth": "3"}), Conflict("it has another value")))
    sender.lose("note.txt", OSError(28, "No space left on device"))
    with pytest.warns(LoggingWarning) as told:
        tell_losses(sender, sender.stop(Resumed()))
    assert [str(one.message) for one in told] == [
        f"run {run} lost a value: note.txt cannot be kept: No space left on device",
        f"run {run}: a value was refused: depth: it has another value",
    ]
    assert f"The rest waits in {spool.path}" in capsys.readouterr().err
