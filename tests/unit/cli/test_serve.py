from __future__ import annotations

import pytest

from millwright.cli.serve import check_host
from millwright.core.errors import Invalid


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_this_machine_may_ask_for_predictions(host: str) -> None:
    check_host(host, open_to_network=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "models.example"])
def test_other_machines_may_when_it_is_said(host: str) -> None:
    check_host(host, open_to_network=True)
    with pytest.raises(Invalid, match="not offered on") as caught:
        check_host(host, open_to_network=False)
    assert caught.value.exit_code == 2
    assert "--open-to-network" in caught.value.fix
