from __future__ import annotations

import pytest

from millwright.core import plugins
from millwright.core.errors import NotFound


def test_an_installed_peer_is_found_by_name() -> None:
    # pytest offers this group itself, whatever else is installed.
    assert "pytest" in plugins.names("console_scripts")
    assert callable(plugins.load("console_scripts", "pytest"))


def test_an_unknown_peer_is_told_what_there_is() -> None:
    with pytest.raises(NotFound, match="nothing called 'pytset'") as caught:
        plugins.load("console_scripts", "pytset")
    assert caught.value.fix == "did you mean 'pytest'?"
