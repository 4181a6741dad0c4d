from __future__ import annotations

import re

from millwright.server.mlflow.names import new_name


def test_names_can_be_said_and_seldom_come_twice() -> None:
    names = {new_name() for _ in range(200)}
    assert len(names) > 190
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", name) for name in names)
