"""Streams into the store and out of it."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from fixtures.example_host import ExampleHost
from fixtures.slow_uploads import begin_uploads
from millwright.artifacts.store import key_of
from millwright.core.digest import Digest, digest_bytes
from millwright.server import artifacts, streaming
from millwright.server.app import STREAM_THREADS

pytestmark = pytest.mark.sockets

BIG = random.Random(5).randbytes(20 << 20)
DIGEST = digest_bytes(BIG)


def pieces_of(data: bytes) -> Iterator[bytes]:
    return (data[start : start + 100_000] for start in range(0, len(data), 100_000))


def stored_files(host: ExampleHost) -> list[str]:
    return sorted(host.artifacts.backend.list_keys())


def test_twenty_megabytes_there_and_back(host: ExampleHost, admin: httpx.Client) -> None:
    place = f"/api/v1/artifacts/{DIGEST}"
    assert admin.head(place).status_code == 404
    wrong = f"/api/v1/artifacts/{digest_bytes(b'other')}"
    refused = admin.put(wrong, content=pieces_of(BIG))
    assert refused.status_code == 400
    assert DIGEST in refused.json()["why"]
    assert stored_files(host) == []

    assert admin.put(place, content=pieces_of(BIG)).status_code == 204
    assert admin.put(place, content=BIG).status_code == 204
    assert stored_files(host) == [key_of(DIGEST)]

    head = admin.head(place.replace(":", "%3A"))
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(BIG)))
    answer = admin.get(place)
    assert answer.content == BIG
    assert answer.headers["content-length"] == str(len(BIG))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_at_all_is_content_too(admin: httpx.Client) -> None:
    place = f"/api/v1/artifacts/{digest_bytes(b'')}"
    assert admin.put(place, content=b"").status_code == 204
    assert admin.get(place).content == b""


@pytest.mark.parametrize("digest", ["b3:xyz", "..%2F..%2Fetc%2Fpasswd", "b3%253A00"])
def test_what_is_no_digest(digest: str, admin: httpx.Client) -> None:
    answer = admin.get(f"/api/v1/artifacts/{digest}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_what_is_not_stored(admin: httpx.Client) -> None:
    assert admin.get(f"/api/v1/artifacts/{digest_bytes(b'never')}").status_code == 404


def test_a_damaged_object_is_named_before_any_of_it_goes(
    host: ExampleHost, admin: httpx.Client
) -> None:
    digest = damaged(host, BIG[: 3 << 20])
    answer = admin.get(f"/api/v1/artifacts/{digest}")
    assert (answer.status_code, answer.json()["code"]) == (500, "corrupt")
    assert digest in answer.json()["detail"]


def test_a_large_one_is_never_handed_out_whole(
    host: ExampleHost, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "CHECK_FIRST_BYTES", 1 << 20)
    digest = damaged(host, BIG[: 4 << 20])
    with pytest.raises(httpx.RemoteProtocolError):
        admin.get(f"/api/v1/artifacts/{digest}")


def damaged(host: ExampleHost, data: bytes) -> Digest:
    digest = host.artifacts.put_bytes(data)
    file = Path(host.artifacts.backend.place(key_of(digest)))
    file.chmod(0o600)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return digest


def test_who_breaks_off_leaves_nothing(
    host: ExampleHost, address: str, admin_token: str, admin: httpx.Client
) -> None:
    before = stored_files(host)
    parsed = urlsplit(address)
    head = (
        f"PUT /api/v1/artifacts/{digest_bytes(BIG + b'.')} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {admin_token}\r\nContent-Length: {len(BIG) + 1}\r\n\r\n"
    )
    folder = Path(host.artifacts.backend.place(key_of(DIGEST))).parents[2]
    with socket.create_connection((parsed.hostname or "", parsed.port or 0)) as raw:
        raw.sendall(head.encode() + BIG[: 4 << 20])
        wait_until(lambda: bool(list(folder.rglob("*.part"))))
    wait_until(lambda: not list(folder.rglob("*.part")))
    assert stored_files(host) == before
    assert admin.get("/health").status_code == 200


def test_uploads_that_wait_keep_nobody_else_waiting(
    host: ExampleHost, address: str, admin_token: str, admin: httpx.Client
) -> None:
    folder = Path(host.artifacts.backend.place(key_of(DIGEST))).parents[2]
    # The store works on as many, and no more, as there are places.
    begun = begin_uploads(address, f"/api/v1/artifacts/{DIGEST}", STREAM_THREADS, token=admin_token)
    try:
        wait_until(lambda: len(list(folder.rglob("*.part"))) == STREAM_THREADS)
        place = f"/api/v1/artifacts/{digest_bytes(b'short')}"
        assert admin.put(place, content=b"short").status_code == 204
        assert admin.get(place).content == b"short"
    finally:
        for raw in begun:
            raw.close()
    wait_until(lambda: not list(folder.rglob("*.part")))


def test_an_upload_that_sends_nothing_is_given_up(
    host: ExampleHost, address: str, admin_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SILENCE_S", 0.1)
    before = stored_files(host)
    (raw,) = begin_uploads(address, f"/api/v1/artifacts/{DIGEST}", 1, token=admin_token)
    with raw:
        assert raw.recv(1 << 16).startswith(b"HTTP/1.1 504 ")
    assert stored_files(host) == before


def wait_until(come: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not come():
        assert time.monotonic() < until
        time.sleep(0.005)
