from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from millwright.sdk.notebook import EXECUTED, executed_cells, find_shell, notebook_of, sources


class FakeHistory:
    def __init__(self, cells: list[str]) -> None:
        self._cells = cells

    def get_range(self, session: int, *, raw: bool, output: bool) -> list[tuple[int, int, str]]:
        assert (session, raw, output) == (0, True, False)
        return [(session, number, text) for number, text in enumerate(self._cells, start=1)]


class FakeShell:
    def __init__(self, cells: list[str], **names: object) -> None:
        self.history_manager: FakeHistory | None = FakeHistory(cells)
        self.user_ns: dict[str, object] = dict(names)


def test_outside_of_ipython_there_is_no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert find_shell() is None


def test_the_shell_is_the_one_that_ipython_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = FakeShell([])
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)  # pyright: ignore[reportArgumentType]
    assert find_shell() is shell


def test_executed_cells_are_kept_as_a_notebook() -> None:
    shell = FakeShell(["import x\nx.fit()", "  ", "%timeit x"])
    assert executed_cells(shell) == ["import x\nx.fit()", "%timeit x"]
    document = json.loads(notebook_of(executed_cells(shell)))
    assert document["nbformat"] == 4
    assert [cell["source"] for cell in document["cells"]] == [
        ["import x\n", "x.fit()"],
        ["%timeit x"],
    ]
    assert {cell["cell_type"] for cell in document["cells"]} == {"code"}


def test_a_shell_without_history_has_no_cells() -> None:
    shell = FakeShell(["x"])
    shell.history_manager = None
    assert executed_cells(shell) == []


def test_the_file_is_kept_beside_what_was_executed(tmp_path: Path) -> None:
    file = tmp_path / "train.ipynb"
    file.write_bytes(b"{}")
    assert sources(FakeShell(["x"]), str(file))["notebook/train.ipynb"] == b"{}"
    told = FakeShell(["x"], __vsc_ipynb_file__=str(file))
    assert list(sources(told, None)) == [EXECUTED, "notebook/train.ipynb"]


@pytest.mark.parametrize("place", [None, "gone.ipynb", "secrets.txt"])
def test_only_a_notebook_that_is_there_is_kept(place: str | None, tmp_path: Path) -> None:
    (tmp_path / "secrets.txt").write_text("x")
    named = None if place is None else str(tmp_path / place)
    assert list(sources(FakeShell(["x"]), named)) == [EXECUTED]
