"""A run in a real Jupyter kernel, with real matplotlib, plotly and PIL.

Needs `.interop/jupyter` with ipykernel, nbclient, matplotlib, pillow and plotly, and what our
client needs: msgspec, httpx, blake3.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from contracts.house import ROOT
from fixtures.example_host import serving
from fixtures.tools import python_of
from millwright.doors.door import Door
from millwright.server.host import Host
from millwright.workspace.open import Home

pytestmark = [pytest.mark.interop, pytest.mark.sockets]

CELLS = [
    "import millwright as mw\nrun = mw.start_run('cells', experiment='notebooks')",
    "mw.log_metric('auc', 0.5)\nprint('epoch', 1)",
    (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
        "figure, axes = plt.subplots()\naxes.plot([1, 2])\n"
        "mw.log_figure(figure, 'plots/line.png')\nmw.log_figure(figure, 'plots/line.svg')"
    ),
    "import plotly.graph_objects as go\nmw.log_figure(go.Figure(go.Bar(y=[1, 2])), 'bars.html')",
    (
        "from PIL import Image\nmw.log_image(Image.new('RGB', (3, 2), 'red'), 'red.png')\n"
        "import numpy as np\nours = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)\n"
        "mw.log_image(ours, 'ours.png')"
    ),
    "mw.end_run()",
]

RUN = """
import json, sys
from nbclient import NotebookClient
import nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
"""

LOOK = """
import sys
from PIL import Image
image = Image.open(sys.argv[1])
image.load()
print(image.size, image.mode, list(image.tobytes()[:6]))
"""


@pytest.fixture
def python() -> Path:
    return python_of("jupyter", "nbclient")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "home")
    yield home
    home.close()


def notebook_of(cells: list[str]) -> str:
    code: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": text,
        }
        for number, text in enumerate(cells)
    ]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebooks_run_is_whole(python: Path, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "train.ipynb"
    file.write_text(notebook_of(CELLS))
    with serving(cast("Host", home), open_on_loopback=True) as address:
        done = subprocess.run(
            [python, "-c", RUN, str(file)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ
            | {
                "MILLWRIGHT_URL": address,
                "PYTHONPATH": str(ROOT / "src"),
                "JPY_SESSION_NAME": str(file),
            },
            check=False,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr
    door = cast("Door", home.door(home.local_principal(), "default"))
    (listed,) = door.runs.page().runs
    run = door.runs.show(ref=listed.id)
    assert (run.name, run.experiment, run.status) == ("cells", "notebooks", "finished")
    assert run.metrics["auc"] == 0.5
    assert run.log_digest is not None
    door.artifacts.fetch(run.log_digest, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "epoch 1\n"
    files = {link.name: link.digest for link in run.links}
    assert set(files) == {
        "plots/line.png",
        "plots/line.svg",
        "bars.html",
        "red.png",
        "ours.png",
        "notebook/executed.ipynb",
        "notebook/train.ipynb",
    }
    door.artifacts.fetch(files["notebook/executed.ipynb"], tmp_path / "executed")
    executed = json.loads((tmp_path / "executed").read_text())
    assert ["".join(cell["source"]) for cell in executed["cells"]] == CELLS
    for name, expected in (
        ("ours.png", "(4, 2) RGB [0, 1, 2, 3, 4, 5]"),
        ("red.png", "(3, 2) RGB [255, 0, 0, 255, 0, 0]"),
    ):
        door.artifacts.fetch(files[name], tmp_path / name)
        seen = subprocess.run(
            [python, "-c", LOOK, str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        assert seen.stdout.strip() == expected
