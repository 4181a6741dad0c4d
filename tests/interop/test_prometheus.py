"""What we expose, read by Prometheus' own checker."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from millwright.cli.processes import CONTROL_PORT, SERVING_PORT
from millwright.cli.up import processes
from millwright.workspace.config import load_config
from millwright.workspace.open import Home

pytestmark = [pytest.mark.interop, pytest.mark.sockets]


def test_promtool_finds_nothing_wrong_with_our_metrics(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    config = load_config(environment={}, folder=tmp_path)
    Home.create(config.home).close()
    with processes(config, port=CONTROL_PORT, serving_port=SERVING_PORT) as running:
        for url in (running.url, running.serving_url):
            with urllib.request.urlopen(f"{url}/metrics") as answer:
                text = answer.read()
            done = subprocess.run(
                [promtool, "check", "metrics"], input=text, capture_output=True, check=False
            )
            assert (done.returncode, done.stderr.decode()) == (0, ""), f"{url}:\n{text.decode()}"
