"""The port's own values."""

from __future__ import annotations

from millwright.serving.protocol import Route


def test_only_an_inference_is_posted() -> None:
    assert Route("infer", "m").method == "POST"
    assert {Route(action).method for action in ("model", "server", "live", "ready")} == {"GET"}
