from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from millwright.cli.demo import called
from millwright.core.version import VERSION


def test_where_mill_is_not_on_path_it_is_named_in_full(tmp_path: Path) -> None:
    mill = tmp_path / "mill"
    mill.write_text("#!/bin/sh\n")
    mill.chmod(0o755)
    assert called(str(tmp_path)) == "mill"
    words = shlex.split(called(""))
    printed = subprocess.run(
        [*words, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"millwright {VERSION}\n"
