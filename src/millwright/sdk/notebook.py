"""The source of a run that was made in a notebook: the cells that were executed.

A notebook has no script whose text could be kept. What ran is in IPython's history, and may
differ from what lies on disk; so the executed cells are kept, and beside them the notebook's
file where one can tell which it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast

import msgspec

EXECUTED = "notebook/executed.ipynb"
FOLDER = "notebook"


class History(Protocol):
    """What we use of IPython's history."""

    def get_range(self, session: int, *, raw: bool, output: bool) -> Iterable[tuple[int, int, str]]:
        """Iterate over the session, number and text of each cell."""
        ...


class Shell(Protocol):
    """What we use of IPython's shell."""

    @property
    def history_manager(self) -> History | None:
        """What was executed."""
        ...

    @property
    def user_ns(self) -> dict[str, object]:
        """The user's names."""
        ...


def find_shell() -> Shell | None:
    """Return the IPython shell that this code runs in, or None."""
    module = sys.modules.get("IPython")
    find = getattr(module, "get_ipython", None)
    return None if find is None else cast("Shell | None", find())


def sources(shell: Shell, place: str | None) -> dict[str, bytes]:
    """Return path in the run -> content of what a notebook's run was made from.

    `place` is the notebook's file where the environment tells it.
    """
    found = {EXECUTED: notebook_of(executed_cells(shell))}
    named = shell.user_ns.get("__vsc_ipynb_file__") or place
    if isinstance(named, str):
        path = Path(named)
        try:
            if path.suffix == ".ipynb" and path.is_file():
                found[f"{FOLDER}/{path.name}"] = path.read_bytes()
        except OSError:
            return found
    return found


def executed_cells(shell: Shell) -> list[str]:
    """Return the text of each cell executed in this session, in the order of execution."""
    history = shell.history_manager
    if history is None:
        return []
    return [text for _, _, text in history.get_range(0, raw=True, output=False) if text.strip()]


def notebook_of(cells: Iterable[str]) -> bytes:
    """Return a notebook file (nbformat 4.4) of code cells."""
    document: dict[str, object] = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": number,
                "metadata": {},
                "outputs": [],
                "source": text.splitlines(keepends=True),
            }
            for number, text in enumerate(cells, start=1)
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
