"""The server as a process."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from fixtures.example_host import ExampleHost, running, serving
from millwright.core.clock import SystemClock
from millwright.core.errors import Invalid
from millwright.records.serving import Plans
from millwright.server.process import make_server


def test_open_to_other_machines_is_refused(host: ExampleHost) -> None:
    with pytest.raises(Invalid, match=r"will not listen on 0\.0\.0\.0 without authentication"):
        make_server(host, clock=SystemClock(), address="0.0.0.0", port=0, open_on_loopback=True)
    assert make_server(host, clock=SystemClock(), address="0.0.0.0", port=0)


@pytest.mark.sockets
def test_what_a_proxy_says_of_its_client_counts_for_nothing(host: ExampleHost) -> None:
    with serving(host, open_on_loopback=True) as address:
        # Were the header heard, a stranger's 127.0.0.1 would be heard as well.
        headers = {"X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9"}
        answer = httpx.get(f"{address}/api/v1/me", headers=headers, trust_env=False)
        assert answer.status_code == 200


@pytest.mark.sockets
def test_stopping_ends_those_who_wait(host: ExampleHost) -> None:
    host.answer("serving.plans", Plans(revision=0, plans=[]))
    server = make_server(
        host, clock=SystemClock(), address="127.0.0.1", port=0, open_on_loopback=True
    )
    looks = host.looks
    with ThreadPoolExecutor(1) as pool, running(server) as address:
        wait = pool.submit(
            httpx.get,
            f"{address}/api/v1/serving/plans?after=0&wait_s=60",
            trust_env=False,
            timeout=30,
        )
        while host.looks < looks + 2:
            time.sleep(0.01)
        began = time.monotonic()
        server.should_exit = True
        assert wait.result().json() == {"revision": 0, "plans": []}
        assert time.monotonic() - began < 5
