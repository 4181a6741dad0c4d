from __future__ import annotations

import pytest

from fixtures.command_line import Mill
from millwright.core.errors import Unreachable
from millwright.doors.door import Door
from millwright.records.runs import Run
from millwright.sdk.current import Options, start_in
from millwright.sdk.losses import LoggingWarning
from millwright.workspace.config import Config, load_config

QUIET = Options(console=False, system=False)


def test_what_was_logged_while_the_server_was_away_is_sent(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mill.ok("runs", "sync").out == "Nothing waits.\n"
    config = load_config(environment={}, folder=mill.folder)

    def away(config: Config, *, create: bool = False) -> Door:
        raise Unreachable("no server answers")

    with monkeypatch.context() as patched:
        for module in ("current", "route", "syncing"):
            patched.setattr(f"millwright.sdk.{module}.open_door", away)
        with pytest.warns(LoggingWarning, match="is kept on this machine"):
            run = start_in(config, "night", options=QUIET)
        with run:
            run.log_metric("auc", 0.75)
        ended = mill("runs", "sync")
        assert ended.code == Unreachable.exit_code
        assert ended.out == f"waits    {run.id}: no server answers\n"

    spool = config.home / "spool" / f"{run.id}.spool"
    spool.write_bytes(spool.read_bytes() + b"half a")
    assert mill.ok("runs", "sync", run.id).out == (
        f"sent     {run.id}\ntorn     {run.id}: its end is not whole, 6 bytes are left out\n"
    )
    shown = mill.ok("runs", "show", run.id, "--json").record(Run)
    assert shown.metrics == {"auc": 0.75}
    assert mill.ok("runs", "sync", "--json").out == (
        '{"delivered":[],"waiting":{},"refused":[],"torn":{}}\n'
    )


def test_a_name_that_is_no_id_is_refused(mill: Mill) -> None:
    ended = mill("runs", "sync", "night")
    assert ended.code == 2
    assert "night" in ended.err
